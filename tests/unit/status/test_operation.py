# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one table that an operator looks at."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import RENDERED
from ansible_collections.digitalsys.agents.plugins.module_utils._status.operation import _describe, health
from ansible_collections.digitalsys.agents.plugins.module_utils._status.table import table
from tests.unit.builders import READY, RUNNING, agent, live_of, pod, running_deployment, served, waiting

AVAILABLE = running_deployment(updated=1, replicas=1, available=1)
NONE_YET = running_deployment(updated=1, replicas=1)
REFUSED = {"terminated": {"exitCode": 66, "message": "expected 0a1b, found none"}}
UP = pod(READY, state=RUNNING, phase="Running")


@pytest.mark.parametrize(
    ("live", "pods", "word"),
    [
        (None, [], "missing"),
        (None, [UP], "missing"),
        (AVAILABLE, [UP], "running"),
        (NONE_YET, [], "starting"),
        (NONE_YET, [pod(state=RUNNING, phase="Running")], "starting"),
        (NONE_YET, [pod(state=waiting("ContainerCreating"))], "starting"),
        (NONE_YET, [pod(state=waiting("CrashLoopBackOff"), restarts=3)], "crashing"),
        (NONE_YET, [pod(state=waiting("ImagePullBackOff"))], "no image"),
        (NONE_YET, [pod(state=waiting("ErrImagePull"))], "no image"),
        (NONE_YET, [pod(state=waiting("PodInitializing"), init=waiting("ImagePullBackOff"))], "no image"),
        (NONE_YET, [pod(state=waiting("PodInitializing"), init=waiting("CrashLoopBackOff"))], "crashing"),
        (NONE_YET, [pod(state=waiting("PodInitializing"), init=REFUSED)], "no memory"),
        (running_deployment(replicas=1, paused=True), [UP], "paused"),
        ({**running_deployment(), "spec": {"replicas": 0}}, [], "stopped"),
        (AVAILABLE, [UP, pod(READY, name="roberval-new-y", state=RUNNING)], "two pods"),
        (
            AVAILABLE,
            [UP, pod(name="roberval-old-x", state=RUNNING, deletionTimestamp="2026-11-01T10:00:00Z")],
            "running",
        ),
        (AVAILABLE, [UP, pod(name="roberval-old-x", phase="Failed")], "running"),
        (NONE_YET, [pod(name="roberval-old-x", phase="Failed"), pod(state=waiting("CrashLoopBackOff"))], "crashing"),
        ({"metadata": {}, "spec": {"replicas": 1}}, [], "starting"),
    ],
)
def test_an_agents_health_is_one_word(live: Any, pods: list[Any], word: str) -> None:
    assert health(live, pods) == word


def shown(**fields: Any) -> dict[str, Any]:
    row = {
        "agent": "roberval",
        "health": "running",
        "image": f"reg.example/a@sha256:{'a1' * 32}",
        "tag": "latest",
        "secret_version": "4",
        "secret_ready": True,
        "volume": "10Gi",
        "volume_phase": "Bound",
        "volume_trouble": "",
        "drift": [],
        "gateway": [],
        "restarts": 0,
        "release": "r3",
        "locked_by": "",
    }
    return {**row, **fields}


def test_the_table_has_a_line_for_each_agent_and_aligned_columns() -> None:
    head, *lines = table([shown(), shown(agent="clementina", health="two pods", tag="v1.2.3")])
    assert len(lines) == 2
    for column, cells in (("health", ("running", "two pods")), ("volume", ("10Gi", "10Gi")), ("lock", ("-", "-"))):
        assert [line[head.index(column) :].startswith(cell) for line, cell in zip(lines, cells, strict=True)] == [
            True,
            True,
        ]
    assert all(line == line.rstrip() for line in (head, *lines))


@pytest.mark.parametrize(
    ("fields", "cell"),
    [
        ({}, "latest a1a1a1a1a1a1"),
        ({"tag": ""}, "a1a1a1a1a1a1"),
        ({"image": "", "tag": ""}, "-"),
        ({}, "v4"),
        ({"secret_ready": False}, "v4 !"),
        ({"secret_version": "unproved"}, "unproved"),
        ({"secret_version": ""}, "-"),
        ({"volume": "", "volume_phase": "Pending"}, "Pending"),
        ({"volume": "", "volume_phase": ""}, "-"),
        ({"release": ""}, "-"),
        ({"locked_by": "job 812 (alice), 40 s"}, "job 812 (alice), 40 s"),
        ({"restarts": 7}, "7"),
    ],
)
def test_a_cell_says_what_is_or_a_dash(fields: dict[str, Any], cell: str) -> None:
    (line,) = table([shown(**fields)])[1:]
    assert f"  {cell}  " in f"  {line}  ".replace("   ", "  ").replace("   ", "  ")


def test_an_empty_fleet_is_the_columns_alone() -> None:
    assert table([]) == ["agent  health  image  secret  volume  restarts  release  lock"]


def test_one_agent_is_described_from_the_lists_of_its_kinds() -> None:
    live = live_of(agent(), Stamps("4", ""))
    found = {kind: {one["metadata"]["name"]: one} for kind, one in live.objects.items()}
    found["PersistentVolumeClaim"]["roberval-state"]["status"] = {"phase": "Bound", "capacity": {"storage": "10Gi"}}
    found["ExternalSecret"]["roberval-env-secret"]["status"] = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "refreshTime": "2026-11-01T10:00:00Z",
    }
    found["SecretStore"]["roberval-vault"]["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
    stamps = {"acquireTime": "2026-11-01T10:00:00Z", "renewTime": "2026-11-01T10:00:40Z"}
    spec = {"holderIdentity": "job 812 (alice) #ff", **stamps}
    found["Lease"] = {"fleet-roberval": {"metadata": {}, "spec": spec}}
    mine = pod(READY, state=RUNNING, restarts=2, labels={"app.kubernetes.io/instance": "roberval"})
    neighbours = pod(READY, name="clovis-x", state=RUNNING, restarts=9, labels={"app.kubernetes.io/instance": "clovis"})
    for one, claim in ((mine, "roberval-state"), (neighbours, "clovis-state")):
        one["spec"]["volumes"] = [{"name": "state", "persistentVolumeClaim": {"claimName": claim}}]
    row = _describe("roberval", "bots", found, [neighbours, mine], 0.0)
    assert (row["health"], row["tag"], row["secret_version"], row["secret_ready"]) == ("running", "latest", "4", True)
    assert (row["volume"], row["restarts"], row["pods"], row["node"]) == ("10Gi", 2, ["roberval-new-x"], "node-1")
    assert (row["release"], row["locked_by"]) == ("r1", "job 812 (alice), 40 s")
    # Trials C18: what a store cannot reach was told by the next sync alone.
    found["SecretStore"]["roberval-vault"]["status"] = {"conditions": [{"type": "Ready", "status": "False"}]}
    assert not _describe("roberval", "bots", found, [neighbours, mine], 0.0)["secret_ready"]


def test_an_agent_of_which_nothing_is_there_is_described_too() -> None:
    kinds = ("Deployment", "PersistentVolumeClaim", "ExternalSecret", "SecretStore", "ConfigMap", "Lease")
    row = _describe("roberval", "bots", {kind: {} for kind in kinds}, [], 0.0)
    assert row["health"] == "missing"
    assert len(table([row])) == 2


def test_a_sidecar_in_front_is_not_taken_for_the_gateway() -> None:
    live = served(live_of(agent(), Stamps("4", "")).objects["Deployment"])
    image = live["spec"]["template"]["spec"]["containers"][0]["image"]
    live["spec"]["template"]["spec"]["containers"].insert(0, {"name": "sidecar", "image": "other"})
    kinds = ("PersistentVolumeClaim", "ExternalSecret", "SecretStore", "ConfigMap", "Lease")
    row = _describe("roberval", "bots", {"Deployment": {"roberval": live}, **{kind: {} for kind in kinds}}, [], 0.0)
    assert row["image"] == image


def test_what_keeps_an_agent_from_its_memory_is_marked_and_said_beneath() -> None:
    """Trials A13: `status` said nothing of a claim that goes."""
    live = live_of(agent(), Stamps("4", ""))
    found = {kind: {one["metadata"]["name"]: one} for kind, one in live.objects.items()}
    found["Lease"] = {}
    found["PersistentVolumeClaim"]["roberval-state"]["metadata"]["deletionTimestamp"] = "2026-11-02T10:00:00Z"
    row = _describe("roberval", "bots", found, [], 0.0)
    assert "was deleted at 2026-11-02T10:00:00Z" in row["volume_trouble"]
    lines = table([row])
    assert " !  " in lines[1]
    assert lines[2] == row["volume_trouble"]


def test_what_other_hands_have_changed_is_said_beneath_and_our_own_newer_release_is_not() -> None:
    live = live_of(agent(), Stamps("4", ""))
    found = {kind: {one["metadata"]["name"]: one} for kind, one in live.objects.items()}
    found["Lease"] = {}
    deployment = found["Deployment"]["roberval"]
    seal = deployment["metadata"]["annotations"][RENDERED]
    deployment["metadata"]["annotations"][RENDERED] = "newer"
    deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 60
    assert _describe("roberval", "bots", found, [], 0.0)["drift"] == []
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}, "f:minReadySeconds": {}}}
    by_hand = {"manager": "kubectl-edit", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}
    deployment["metadata"]["managedFields"] = [by_hand]
    deployment["spec"]["replicas"] = 3
    row = _describe("roberval", "bots", found, [], 0.0)
    assert row["drift"] == ["spec.replicas: 3 -> 1 (by kubectl-edit)"]
    assert table([row])[2] == "roberval: changed by hand: spec.replicas: 3 -> 1 (by kubectl-edit)"
    # A number of 0 has no owner, and a field that was taken away has none either.
    deployment["metadata"].update(managedFields=[])
    deployment["metadata"]["annotations"][RENDERED] = seal
    deployment["spec"]["replicas"] = 0
    assert _describe("roberval", "bots", found, [], 0.0)["drift"] == [
        "spec.replicas: 0 -> 1",
        "spec.template.spec.terminationGracePeriodSeconds: 60 -> 330",
    ]

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done for an agent, and why."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.version import VERSION
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import (
    AgentPlan,
    decide,
    refuse_what_cannot_be,
    stamps_for,
)
from tests.unit.builders import DIGEST, OTHER_DIGEST, REPOSITORY, agent, live_of, served

STAMPS = Stamps("4", "job-1")


def changed(live: Live, kind: str, change: Any) -> Live:
    """The same agent, with one object changed by hand."""
    objects = copy.deepcopy(live.objects)
    change(objects[kind])
    return Live(live.agent, objects)


def planned(live: Live, stamps: Stamps = STAMPS, **options: Any) -> AgentPlan:
    return decide(agent(**options), live, stamps)


def test_a_second_run_has_nothing_to_do() -> None:
    plan = planned(live_of(agent(), STAMPS))
    assert (plan.todo, plan.reasons, plan.restarts) == (False, [], False)


def test_an_agent_that_is_not_there_is_made_whole() -> None:
    plan = planned(Live("roberval"))
    assert plan.restarts
    assert plan.reasons == [
        f"{kind} is to be made"
        for kind in (
            "Deployment",
            "ServiceAccount",
            "PersistentVolumeClaim",
            "NetworkPolicy",
            "SecretStore",
            "ExternalSecret",
        )
    ]


@pytest.mark.parametrize(
    "kind", ["ServiceAccount", "PersistentVolumeClaim", "NetworkPolicy", "SecretStore", "ExternalSecret"]
)
def test_an_object_that_was_deleted_by_hand_is_made_again_without_a_restart(kind: str) -> None:
    live = live_of(agent(), STAMPS)
    del live.objects[kind]
    plan = planned(live)
    assert plan.reasons == [f"{kind} is to be made"]
    assert not plan.restarts


def test_a_deployment_that_was_deleted_and_waits_for_its_pod_is_made_anew() -> None:
    """Trials A11: equal in every field, and on its way."""

    def delete(found: dict[str, Any]) -> None:
        found["metadata"]["deletionTimestamp"] = "2026-11-28T02:00:00Z"

    plan = planned(changed(live_of(agent(), STAMPS), "Deployment", delete))
    assert plan.restarts
    assert plan.reasons == ["Deployment was deleted and is on its way; it is to be made anew"]


def test_a_new_image_is_told_by_its_digest_and_tag() -> None:
    plan = planned(live_of(agent(), STAMPS), image=f"{REPOSITORY}:v2@{OTHER_DIGEST}")
    assert plan.reasons[0] == "image a1a1a1a1a1a1 -> b2b2b2b2b2b2 (v2)"
    assert plan.restarts


def test_another_tag_for_the_same_digest_makes_no_new_pod() -> None:
    plan = planned(live_of(agent(), STAMPS), image=f"{REPOSITORY}:v2@{DIGEST}")
    assert plan.reasons == ["Deployment metadata.annotations.agents.digitalsys/image-tag: 'latest' -> 'v2'"]
    assert not plan.restarts


def test_a_new_secret_version_is_a_new_pod() -> None:
    plan = planned(live_of(agent(), STAMPS), Stamps("5", "job-1"))
    assert plan.reasons == ["secret version 4 -> 5"]
    assert plan.restarts


def test_a_restart_is_done_once_for_its_key() -> None:
    first = planned(live_of(agent(), STAMPS), Stamps("4", "job-2"))
    assert (first.reasons, first.restarts) == (["restart job-2"], True)
    assert not planned(live_of(agent(), Stamps("4", "job-2")), Stamps("4", "job-2")).todo


def test_a_changed_template_is_a_new_pod_and_told_field_by_field() -> None:
    plan = planned(live_of(agent(), STAMPS), grace_seconds=60)
    assert plan.reasons == ["Deployment spec.template.spec.terminationGracePeriodSeconds: 330 -> 60"]
    assert plan.restarts


def _probed_by_release_0_1_0(live: dict[str, Any]) -> None:
    """All three by exec, the startup probe asking one route."""
    gateway = live["spec"]["template"]["spec"]["containers"][0]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        gateway[name].pop("httpGet", None)
        gateway[name]["exec"] = {"command": ["sh", "-c", f"curl -fsS http://127.0.0.1:18789/{name} | jq --slurp ."]}


def test_the_probes_of_an_older_collection_are_told_in_one_line_and_make_a_new_pod() -> None:
    plan = planned(changed(live_of(agent(), STAMPS), "Deployment", _probed_by_release_0_1_0))
    assert plan.reasons == [
        "probes: startup by another script, readiness exec -> httpGet, liveness exec -> httpGet",
    ]
    assert plan.restarts


def test_other_probes_are_no_reason_to_hide_what_else_changes() -> None:
    old = changed(live_of(agent(), STAMPS), "Deployment", _probed_by_release_0_1_0)
    plan = planned(old, grace_seconds=60, startup_seconds=30)
    assert plan.reasons == [
        "probes: startup by another script, readiness exec -> httpGet, liveness exec -> httpGet",
        "Deployment spec.template.spec.terminationGracePeriodSeconds: 330 -> 60",
        "Deployment spec.template.spec.containers[openclaw].startupProbe.failureThreshold: 100 -> 10",
    ]


def test_an_agent_that_goes_to_the_loopback_address_is_asked_from_inside() -> None:
    words = ["openclaw", "gateway", "run", "--bind", "loopback", "--port", "18789"]
    plan = planned(live_of(agent(), STAMPS), args=words)
    assert plan.reasons == [
        "probes: readiness httpGet -> exec, liveness httpGet -> exec",
        "Deployment spec.template.spec.containers[openclaw].args[4]: 'lan' -> 'loopback'",
    ]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda probe: probe.update(periodSeconds=5), ".periodSeconds: 5 -> 30"),
        (lambda probe: probe["httpGet"].update(path="/readyz"), ".httpGet.path: '/readyz' -> '/healthz'"),
        (lambda probe: probe.pop("httpGet"), ".httpGet is missing"),
    ],
)
def test_a_hand_edited_probe_is_told_field_by_field(edit: Any, words: str) -> None:
    def of(live: dict[str, Any]) -> None:
        edit(live["spec"]["template"]["spec"]["containers"][0]["livenessProbe"])

    plan = planned(changed(live_of(agent(), STAMPS), "Deployment", of))
    assert plan.reasons == [f"Deployment spec.template.spec.containers[openclaw].livenessProbe{words}"]


def test_a_probe_that_was_taken_away_by_hand_is_missed() -> None:
    def edit(live: dict[str, Any]) -> None:
        del live["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]

    plan = planned(changed(live_of(agent(), STAMPS), "Deployment", edit))
    assert plan.reasons == ["Deployment spec.template.spec.containers[openclaw].livenessProbe is missing"]


def test_a_bigger_volume_is_no_restart() -> None:
    plan = planned(live_of(agent(), STAMPS), volume_size="25Gi")
    assert plan.reasons == ["PersistentVolumeClaim spec.resources.requests.storage: '10Gi' -> '25Gi'"]
    assert not plan.restarts


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("Deployment", lambda one: one["spec"].update(replicas=3), "Deployment spec.replicas: 3 -> 1"),
        (
            "Deployment",
            lambda one: one["spec"].update(strategy={"type": "RollingUpdate"}),
            "Deployment spec.strategy.type: 'RollingUpdate' -> 'Recreate'",
        ),
        (
            "ExternalSecret",
            lambda one: one["spec"].update(refreshInterval="24h"),
            "ExternalSecret spec.refreshInterval: '24h' -> '1m0s'",
        ),
        (
            "SecretStore",
            lambda one: one["spec"]["provider"]["vault"].update(path="other"),
            "SecretStore spec.provider.vault.path: 'other' -> 'kv'",
        ),
        (
            "ServiceAccount",
            lambda one: one.update(automountServiceAccountToken=True),
            "ServiceAccount automountServiceAccountToken: True -> False",
        ),
    ],
)
def test_a_hand_edit_is_shown_as_drift_field_by_field(kind: str, change: Any, words: str) -> None:
    plan = planned(changed(live_of(agent(), STAMPS), kind, change))
    assert plan.reasons == [words]
    assert not plan.restarts


def test_a_hand_edited_image_of_the_init_container_alone_is_named() -> None:
    def edit(live: dict[str, Any]) -> None:
        live["spec"]["template"]["spec"]["initContainers"][0]["image"] = "other"

    plan = planned(changed(live_of(agent(), STAMPS), "Deployment", edit))
    assert len(plan.reasons) == 1
    assert "initContainers[seed].image: 'other'" in plan.reasons[0]
    assert plan.restarts


def test_what_others_added_is_left_alone() -> None:
    def edit(live: dict[str, Any]) -> None:
        live["metadata"]["annotations"]["team"] = "x"
        live["spec"]["template"]["metadata"]["annotations"]["sidecar.example.com/injected"] = "yes"
        live["spec"]["template"]["spec"]["containers"].insert(0, {"name": "sidecar", "image": "x"})

    assert not planned(changed(live_of(agent(), STAMPS), "Deployment", edit)).todo


@pytest.mark.parametrize(
    ("before", "after"),
    [({"env": {"A": "1"}}, {}), ({"node_selector": {"pool": "x"}}, {}), ({"limits": {"memory": "4Gi"}}, {})],
)
def test_a_field_that_is_not_wanted_any_more_is_something_to_do(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert planned(live_of(agent(**before), STAMPS), **after).reasons == [
        "Deployment: a field that is not wanted any more"
    ]


def test_a_toleration_taken_out_of_the_inventory_is_something_to_do() -> None:
    assert planned(live_of(agent(tolerations=[{"key": "a"}, {"key": "b"}]), STAMPS), tolerations=[{"key": "a"}]).todo


def test_opening_the_network_removes_the_policy() -> None:
    assert planned(live_of(agent(), STAMPS), network="open").reasons == [
        "NetworkPolicy is to be removed (agent_network: open)"
    ]


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1},
        {
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "availableReplicas": 1,
            "conditions": [{"type": "Progressing", "reason": "ReplicaSetUpdated"}],
        },
    ],
)
def test_an_agent_that_does_not_run_is_something_to_do(status: dict[str, Any]) -> None:
    plan = planned(changed(live_of(agent(), STAMPS), "Deployment", lambda one: one.update(status=status)))
    assert (plan.reasons, plan.restarts) == (["no pod is available"], False)


def test_a_status_of_the_generation_before_proves_nothing() -> None:
    plan = planned(changed(live_of(agent(), STAMPS), "Deployment", lambda one: one["metadata"].update(generation=2)))
    assert plan.reasons == ["no pod is available"]


def test_a_run_killed_before_it_recorded_is_finished_by_the_next() -> None:
    assert planned(live_of(agent(), STAMPS, recorded=False)).reasons == ["the running release was not recorded yet"]


# Refused after a look, before the first write


@pytest.mark.parametrize(
    ("live_size", "asked", "refused"),
    [
        ("25Gi", "10Gi", True),
        ("10Gi", "10G", True),
        ("1Gi", "1023Mi", True),
        ("10Gi", "10Gi", False),
        ("10Gi", "10240Mi", False),
        ("10Gi", "25Gi", False),
    ],
)
def test_volumes_never_shrink(live_size: str, asked: str, refused: bool) -> None:
    live = live_of(agent(volume_size=live_size), STAMPS)
    if not refused:
        return refuse_what_cannot_be(agent(volume_size=asked), live)
    with pytest.raises(AgentError, match=f"is {live_size}, asked .*; volumes never shrink") as caught:
        refuse_what_cannot_be(agent(volume_size=asked), live)
    assert caught.value.kind is ErrorKind.INVALID
    return None


def test_another_storage_class_is_refused() -> None:
    with pytest.raises(AgentError, match="do-block-storage, asked fast"):
        refuse_what_cannot_be(agent(volume_class="fast"), live_of(agent(), STAMPS))


@pytest.mark.parametrize("place", [lambda one: one["metadata"], lambda one: one["spec"]["template"]["metadata"]])
@pytest.mark.parametrize(
    "annotation",
    ["reloader.stakater.com/auto", "secret.reloader.stakater.com/reload", "configmap.reloader.stakater.com/reload"],
)
def test_a_second_owner_of_restarts_is_a_stop(place: Any, annotation: str) -> None:
    live = changed(
        live_of(agent(), STAMPS),
        "Deployment",
        lambda one: place(one).setdefault("annotations", {}).update({annotation: "true"}),
    )
    with pytest.raises(AgentError, match="Reloader") as caught:
        refuse_what_cannot_be(agent(), live)
    assert caught.value.kind is ErrorKind.CONFLICT


def test_a_paused_deployment_is_a_stop_that_says_how_to_go_on() -> None:
    live = changed(live_of(agent(), STAMPS), "Deployment", lambda one: one["spec"].update(paused=True))
    with pytest.raises(AgentError, match="paused") as caught:
        refuse_what_cannot_be(agent(), live)
    assert caught.value.hint == "kubectl rollout resume deployment/roberval -n bots"


def test_a_healthy_agent_and_a_missing_one_are_no_stop() -> None:
    refuse_what_cannot_be(agent(), live_of(agent(), STAMPS))
    refuse_what_cannot_be(agent(), Live("roberval"))


def test_the_record_of_another_secret_version_is_no_record_of_this_one() -> None:
    live = live_of(agent(), STAMPS)
    live.objects["ConfigMap"] = served(releases.manifest(agent(), [], None))
    assert planned(live).reasons == ["the running release was not recorded yet"]


def test_a_newer_collection_is_named_as_the_cause_of_a_new_pod() -> None:
    live = live_of(agent(), STAMPS)
    kept = [replace(one, collection="0.1.0") for one in releases.read(live.releases)]
    live.objects["ConfigMap"] = served(releases.manifest(agent(), kept, None))
    template = live.objects["Deployment"]["spec"]["template"]
    del template["metadata"]["labels"]["app.kubernetes.io/component"]
    template["spec"]["initContainers"][0]["command"] = ["sh", "-c", "old"]
    assert planned(live).reasons == [f"digitalsys.agents 0.1.0 -> {VERSION}: init container, pod label"]
    assert planned(live).restarts
    now = changed(
        live_of(agent(), STAMPS), "Deployment", lambda one: one["spec"]["template"]["metadata"]["labels"].clear()
    )
    assert "digitalsys.agents" not in planned(now).reasons[0], "of the same version it is a hand's doing"


def test_what_makes_a_new_pod_is_said_before_what_does_not() -> None:
    def by_hand(one: Any) -> None:
        one["spec"]["minReadySeconds"] = 3
        one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 9

    reasons = planned(changed(live_of(agent(), STAMPS), "Deployment", by_hand)).reasons
    assert ["grace" in line.lower() for line in reasons] == [True, False]


@pytest.mark.parametrize("replicas", [0, 3])
def test_an_agent_that_was_scaled_to_nothing_gets_a_new_pod_of_it(replicas: int) -> None:
    """Whatever makes a new pod carries the version that is proved now."""
    live = changed(live_of(agent(), STAMPS), "Deployment", lambda one: one["spec"].update(replicas=replicas))
    assert planned(live).restarts is (replicas == 0)
    unproved = stamps_for(agent(), live, None, "").secret_version
    assert unproved == ("unproved" if replicas == 0 else "4")


def test_a_suspended_agent_is_as_it_is_wanted_without_a_pod() -> None:
    def suspended(one: Any) -> None:
        one["metadata"]["annotations"]["agents.digitalsys/suspended"] = "{}"
        one["spec"]["replicas"] = 0
        one["status"] = {"observedGeneration": 1}

    live = changed(live_of(agent(), STAMPS), "Deployment", suspended)
    # The seal is of what was rendered with one pod.
    assert planned(live).reasons == ["Deployment: a field that is not wanted any more"]
    assert not planned(live).restarts


def test_a_volume_that_was_refused_is_looked_at_again() -> None:
    plan = planned(live_of(agent(), STAMPS), Stamps("4", "volume/0a1b2c3d"))
    assert plan.reasons == ["its volume was refused: a new pod looks again"]
    assert plan.restarts

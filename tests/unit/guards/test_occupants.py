# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose pod keeps the agent's volume from the next one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import VolumeTroubled
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.occupants import (
    Hold,
    occupants,
    require_alone,
)
from tests.unit.builders import agent, served
from tests.unit.builders import deployment as deployment_of

DEPLOYMENT: dict[str, Any] = {"metadata": {"name": "roberval", "uid": "d-1"}}
GOING = {"metadata": {**DEPLOYMENT["metadata"], "deletionTimestamp": "2026-11-28T02:00:00Z"}}
CLAIMS = {"roberval-state"}


def owned(kind: str, uid: str, name: str = "roberval") -> list[dict[str, Any]]:
    return [{"kind": kind, "name": name, "uid": uid, "controller": True}]


def replica_set(uid: str = "r-1", deployment: str = "d-1", **metadata: Any) -> dict[str, Any]:
    owners = owned("Deployment", deployment) if deployment else []
    return {"metadata": {"uid": uid, "ownerReferences": owners, **metadata}}


def pod(owners: Any = None, claim: str = "roberval-state", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "state", "persistentVolumeClaim": {"claimName": claim}}]
    owners = owned("ReplicaSet", "r-1") if owners is None else owners
    meta = {"name": "roberval-x", "uid": "p-1", "ownerReferences": owners, **metadata}
    return {"metadata": meta, "spec": {"volumes": volumes}, "status": {"phase": phase}}


def hold(one: dict[str, Any], deployment: Any = DEPLOYMENT, sets: Any = None) -> Hold | None:
    found = occupants("roberval", deployment, [replica_set()] if sets is None else sets, [one], CLAIMS)
    return found[0].hold if found else None


def test_the_running_pod_of_the_deployment_itself_is_in_nobodys_way() -> None:
    assert hold(pod()) is None
    assert hold(pod(phase="Pending")) is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_ended_pod_is_history(phase: str) -> None:
    assert hold(pod(phase=phase)) is None
    assert hold(pod([], phase=phase)) is None


def test_another_agents_pod_is_none_of_ours() -> None:
    assert hold(pod([], claim="clovis-state")) is None


def test_one_that_is_on_its_way_out_is_waited_for_whoever_owns_it() -> None:
    for owners in (None, [], owned("Job", "j-1")):
        assert hold(pod(owners, deletionTimestamp="2026-11-28T02:00:00Z")) is Hold.ENDING


def test_the_deployments_own_is_waited_for_whatever_it_mounts() -> None:
    """Somebody had changed its claim by hand: two gateways with one token are two as well."""
    assert hold(pod(claim="another", deletionTimestamp="2026-11-28T02:00:00Z")) is Hold.ENDING
    assert hold(pod(owned("Job", "j-1"), claim="another", deletionTimestamp="2026-11-28T02:00:00Z")) is None


@pytest.mark.parametrize("deployment", [None, GOING, {"metadata": {"name": "roberval", "uid": "d-2"}}])
def test_what_a_deleted_deployment_left_running_is_waited_for(deployment: Any) -> None:
    assert hold(pod(), deployment) is Hold.ORPHANED
    assert hold(pod(), deployment, []) is Hold.ORPHANED
    assert hold(pod(), deployment, [replica_set(deletionTimestamp="2026-11-28T02:00:00Z")]) is Hold.ORPHANED


def test_a_pod_of_nobodys_or_of_somebody_elses_is_a_stranger() -> None:
    assert hold(pod([])) is Hold.STRANGER
    assert hold(pod(owned("Job", "j-1"))) is Hold.STRANGER
    # Of another Deployment that lives, with a copy of our volume's name.
    other = {"metadata": {"uid": "r-1", "ownerReferences": owned("Deployment", "d-9", "roberval-copy")}}
    assert hold(pod(), sets=[other]) is Hold.STRANGER
    # Its Deployment was deleted and it was told to stay.
    assert hold(pod(), None, [replica_set(deployment="")]) is Hold.STRANGER


# Of a plan, which has all pods of the namespace at hand


class Server:
    """Answers with these ReplicaSets, and counts how often it is asked."""

    def __init__(self, *sets: Any) -> None:
        self.sets = list(sets)
        self.asked = 0

    def list_objects(self, _kind: Any, _namespace: str) -> tuple[list[Any], str]:
        self.asked += 1
        return self.sets, "1"


def alone(*pods: Any, deployment: bool = True, sets: Any = None) -> Server:
    objects = {"Deployment": served(deployment_of(agent(), Stamps("4")), uid="d-1")} if deployment else {}
    server: Any = Server(*([replica_set()] if sets is None else sets))
    require_alone(server, "bots", {"roberval": agent()}, {"roberval": Live("roberval", objects)}, list(pods))
    return server


def test_the_one_pod_of_a_replica_set_leaves_no_doubt_and_costs_no_request() -> None:
    assert alone(pod(owned("ReplicaSet", "r-1", "roberval-6d4f8b9c7d"))).asked == 0
    assert alone(deployment=False).asked == 0
    assert alone(pod([], claim="clovis-state")).asked == 0


def test_two_pods_of_the_deployment_are_no_strangers() -> None:
    """One after the other, as it replaces them."""
    assert alone(pod(), pod(uid="p-2")).asked == 1


@pytest.mark.parametrize("deployment", [True, False])
def test_a_pod_of_nobodys_is_told_by_its_name(deployment: bool) -> None:
    with pytest.raises(VolumeTroubled, match="pod roberval-x, which nobody owns"):
        alone(pod([]), deployment=deployment)

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has an agent's volume: looked for by the claim that a pod mounts and by who owns the pod, never by a label. A pod
that was cut loose for debugging has lost its label, and still is a gateway with the agent's memory and its tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import ErrorKind, VolumeTroubled
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import is_going
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import REPLICA_SET
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import (
    claims_of,
    controller_of,
    is_ended,
    is_owned_by,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home


class Hold(Enum):
    """Why a pod keeps the volume from the next one."""

    #: It is on its way out.
    ENDING = "is ending"
    #: What made it is gone, or going: the cluster's own clean-up takes it next.
    ORPHANED = "is left over from a Deployment that was deleted"
    #: Somebody else's, or nobody's: perhaps a second gateway.
    STRANGER = "has the agent's volume and is no pod of its Deployment"


@dataclass(frozen=True)
class Occupant:
    pod: Object
    hold: Hold

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])


def _hold(pod: Object, agent: str, deployment_uid: str, replica_sets: dict[str, Object]) -> Hold | None:
    """None for the running pod of the Deployment itself: what follows is for its strategy, one after the other."""
    if pod["metadata"].get("deletionTimestamp"):
        return Hold.ENDING
    owner = controller_of(pod)
    if owner.get("kind") != REPLICA_SET.name:
        return Hold.STRANGER
    replica_set = replica_sets.get(owner["uid"])
    if replica_set is None or replica_set["metadata"].get("deletionTimestamp"):
        return Hold.ORPHANED
    if is_owned_by(replica_set, deployment_uid):
        return None
    # Of another Deployment that lives, nobody takes it away.
    return Hold.ORPHANED if controller_of(replica_set).get("name") == agent else Hold.STRANGER


def occupants(
    agent: str, deployment: Object | None, replica_sets: Iterable[Object], pods: Iterable[Object], claims: set[str]
) -> list[Occupant]:
    """Who keeps the volume from the next pod: all pods that have not ended and mount one of the claims, but the running
    one of the Deployment itself; of that one's also what is on its way out and mounts another."""
    uid = "" if deployment is None or is_going(deployment) else str(deployment["metadata"]["uid"])
    by_uid = {one["metadata"]["uid"]: one for one in replica_sets}
    found = []
    for pod in pods:
        if is_ended(pod):
            continue
        hold = _hold(pod, agent, uid, by_uid)
        is_own = is_owned_by(by_uid.get(controller_of(pod).get("uid", ""), {"metadata": {}}), uid)
        if hold and (is_own or not claims.isdisjoint(claims_of(pod["spec"]))):
            found.append(Occupant(pod, hold))
    return found


def running(deployment: Object | None, replica_sets: Iterable[Object], pods: Iterable[Object]) -> list[Object]:
    """The pods of the Deployment itself, those left out that have ended or are on their way out."""
    uid = str(deployment["metadata"]["uid"]) if deployment else ""
    own = {one["metadata"]["uid"] for one in replica_sets if is_owned_by(one, uid)}
    return [
        pod
        for pod in pods
        if controller_of(pod).get("uid") in own and not is_ended(pod) and not pod["metadata"].get("deletionTimestamp")
    ]


def require_no_stranger(agent: Home, found: Iterable[Occupant]) -> None:
    """Whatever is on its way out may be waited for. AgentError for a pod that stays."""
    stranger = next((one for one in found if one.hold is Hold.STRANGER), None)
    if stranger is None:
        return
    owner = controller_of(stranger.pod)
    made_by = f"made by {owner['kind']} {owner['name']}" if owner else "which nobody owns"
    raise VolumeTroubled(
        ErrorKind.CONFLICT,
        f"{agent.name}: pod {stranger.name}, {made_by}, {Hold.STRANGER.value}: it may be a second gateway",
        f"Look at it: kubectl describe pod {stranger.name} -n {agent.namespace}. Once it has ended, run the same "
        "command again. Nothing was started beside it.",
        {"pod": stranger.name},
    )


def require_alone(
    kube: Kube, namespace: str, agents: Mapping[str, Home], lives: Mapping[str, Live], pods: list[Object]
) -> None:
    """No pod of somebody else has one of these agents' volumes. pods: all of the namespace. ReplicaSets are read where
    these leave a doubt."""
    doubtful = [name for name, live in lives.items() if not _is_plain(live, pods)]
    sets = kube.list_objects(REPLICA_SET, namespace)[0] if doubtful else []
    for name in doubtful:
        live = lives[name]
        require_no_stranger(agents[name], occupants(name, live.deployment, sets, pods, live.claims))


def on_the_volume(live: Live, pods: Iterable[Object]) -> list[Object]:
    """Those that have not ended, and mount a claim of the agent's."""
    return [pod for pod in pods if not is_ended(pod) and not live.claims.isdisjoint(claims_of(pod["spec"]))]


def _is_plain(live: Live, pods: Iterable[Object]) -> bool:
    """Pods alone tell that no stranger is among them: there is none, or the one that a ReplicaSet of its name made."""
    found = on_the_volume(live, pods)
    owners = [controller_of(pod) for pod in found]
    by_sets = all(one.get("kind") == REPLICA_SET.name and one["name"].startswith(f"{live.agent}-") for one in owners)
    return not found or (live.deployment is not None and len(found) == 1 and by_sets)

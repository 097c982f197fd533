# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's volume is free before any write that can start a pod: one volume, one gateway.

Kubernetes does not see to that. A ReplicaSet does not count pods that are on their way out, and is taken up again
without waiting for its own; a Deployment that was deleted in the background leaves its pod running for a while; and a
pod that was cut loose runs on for ever. So whoever has the volume is looked for by the claim that a pod mounts, not by
a label, and is waited for or named.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import Record
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.telling import Telling
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import (
    ORPHAN,
    TERMINATION_SLACK,
    TICK,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.nodes import require_answering
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.occupants import (
    Hold,
    Occupant,
    occupants,
    require_no_stranger,
    running,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import (
    require_lasting_claim,
    require_same_claim,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import compare
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import is_going
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    CLAIM,
    DEPLOYMENT,
    POD,
    REPLICA_SET,
    Kind,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.managed_fields import is_whole
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import (
    claims_of,
    grace_of,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.watch import Known, Selection, Watching
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session


@dataclass(frozen=True)
class Freed:
    """The Deployment as it is when its volume is free, None where there is none; ReplicaSets and pods of the whole
    namespace as they were seen then."""

    deployment: Object | None
    replica_sets: Known
    pods: Known


def free(
    run: Session[Any], wanted: Object, live: Object | None, record: Record | None, *, is_left: bool = False
) -> Freed:
    """Returns when no pod is in the way of the one that this Deployment will start. AgentError, with nothing written,
    for a pod that stays, for a volume that would go with the pod that is to be stopped, and for one that is not the
    recorded one. live: as it was seen. record: None where any volume will do. is_left: a person has named another claim
    than the one that is mounted, which may go."""
    claims = claims_of(wanted["spec"]["template"]["spec"])
    stopped = claims_of(live["spec"]["template"]["spec"]) if live and not is_left else set()
    # Of a new agent no pod is stopped, and no memory is known.
    at_stake = claims | stopped if live or record else set()
    for name in at_stake:
        claim = run.kube.get(CLAIM, run.agent.namespace, name)
        require_lasting_claim(claim, run.agent)
        if record and record.facts.mount.claim == name:
            require_same_claim(claim, record, run.agent)
    while True:
        sets = _known(run, REPLICA_SET)
        pods = _known(run, POD)
        # Read after them: a Deployment that was deleted meanwhile no longer speaks for its pod.
        if live is not None:
            live = run.kube.get(DEPLOYMENT, run.agent.namespace, run.agent.name)
        if not is_going(live) and not _in_the_way(run, occupants(run.agent.name, live, sets.items, pods.items, claims)):
            if live and any(is_whole(DEPLOYMENT.name, change.path) for change in compare(wanted, live)):
                unseen = require_answering(run.kube, run.agent, running(live, sets.items, pods.items))
                run.warnings += [f"{run.agent.name}: {unseen}"] if unseen else []
            return Freed(live, sets, pods)
        live = _wait(run, claims, sets, pods)


def _wait(run: Session[Any], claims: set[str], sets: Known, pods: Known) -> Object | None:
    """Until nobody is in the way; the Deployment as it is then."""
    patience = _Patience(run)
    selections = (
        Selection(POD, known=pods),
        Selection(REPLICA_SET, known=sets),
        Selection(DEPLOYMENT, fields=f"metadata.name={run.agent.name}"),
    )
    with Watching(run.kube, run.agent.namespace, selections) as watching:
        while True:
            deployment = next(iter(watching.objects(DEPLOYMENT)), None)
            seen = watching.objects(REPLICA_SET), watching.objects(POD)
            found = occupants(run.agent.name, deployment, *seen, claims)
            if not _in_the_way(run, found) and not is_going(deployment):
                run.step("volume", "the volume is free")
                return deployment
            patience.wait(found)
            watching.wait(TICK)


def _known(run: Session[Any], kind: Kind) -> Known:
    """All of them in the namespace: whose they are is told by their owner, and by the claim."""
    items, version = run.kube.list_objects(kind, run.agent.namespace)
    return Known(tuple(items), version)


class _Patience:
    """How long each is waited for, and what is told meanwhile."""

    def __init__(self, run: Session[Any]) -> None:
        self._run = run
        self._began = time.monotonic()
        self._ends: dict[str, float] = {}
        self._telling = Telling(run.context.progress, run.agent.name)

    def wait(self, found: list[Occupant]) -> None:
        """AgentError for one that was waited for as long as it may need."""
        now = time.monotonic()
        for one in found:
            # Anew for each way in which it stands in the way: an orphan's end begins when it is told to end.
            end = self._ends.setdefault(f"{one.pod['metadata']['uid']} {one.hold.value}", now + _seconds(one))
            if now > end:
                raise _stays(self._run, one, now - self._began)
        if not found and now > self._ends.setdefault("the Deployment", now + ORPHAN):
            raise AgentError(
                ErrorKind.ROLLOUT,
                f"{self._run.agent.name}: the Deployment is being deleted, and does not go",
                f"Look why: kubectl get deployment {self._run.agent.name} -n {self._run.agent.namespace} -o yaml "
                "(finalizers). Nothing was started beside it.",
            )
        words = f"pod {found[0].name} {found[0].hold.value}" if found else "the Deployment is being deleted"
        self._telling.tell(f"{words}; waiting until the volume is free")


def _seconds(occupant: Occupant) -> float:
    return ORPHAN if occupant.hold is Hold.ORPHANED else grace_of(occupant.pod) + TERMINATION_SLACK


def _in_the_way(run: Session[Any], found: list[Occupant]) -> list[Occupant]:
    """Those that go by themselves. AgentError for one that does not."""
    require_no_stranger(run.agent, found)
    return found


def _stays(run: Session[Any], occupant: Occupant, seconds: float) -> AgentError:
    meta = occupant.pod["metadata"]
    node = occupant.pod["spec"].get("nodeName") or "none"
    finalizers = ", ".join(meta.get("finalizers") or []) or "none"
    return AgentError(
        ErrorKind.ROLLOUT,
        f"{run.agent.name}: pod {occupant.name} {occupant.hold.value} and still has the volume after {seconds:.0f} s "
        f"(node {node}, finalizers: {finalizers})",
        f"Look at its node: kubectl get node {node}. Where the node is lost for good, take it out of the cluster, and "
        "the pod goes with it; never delete the pod by force. Nothing was started beside it.",
        {"pod": occupant.name, "node": node},
    )

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for a rollout by watching, reports what it sees, and fails as soon as failure is certain."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.telling import Telling
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import TICK
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import DEPLOYMENT, POD, REPLICA_SET
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.watch import Known, Selection, Watching
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.log import Exits
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import (
    FAILED,
    WAITING,
    Memory,
    Observed,
    Verdict,
    Wanted,
    judge,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session
from ansible_collections.digitalsys.agents.plugins.module_utils._session.volume import Freed


@dataclass(frozen=True)
class Waited:
    """left: seconds of the timeout that are not spent."""

    verdict: Verdict
    observed: Observed
    left: float


def _selections(agent: str, written: Object, seen: Freed | None) -> tuple[Selection, ...]:
    """What is followed: begun where the write and what was seen right before it left off."""
    of_pods = written["spec"]["selector"]["matchLabels"]
    labels = names.selector(of_pods)
    # Where nothing was written it is listed anew: what is at hand is as old as the look.
    deployment = Known((written,), written["metadata"]["resourceVersion"]) if seen else None
    return (
        Selection(DEPLOYMENT, fields=f"metadata.name={agent}", known=deployment),
        Selection(REPLICA_SET, labels=labels, known=_of(of_pods, seen.replica_sets) if seen else None),
        Selection(POD, labels=labels, known=_of(of_pods, seen.pods) if seen else None),
    )


def _of(labels: Mapping[str, str], known: Known) -> Known:
    """Those that the watch by these labels will follow."""
    wanted = labels.items()
    return Known(
        tuple(item for item in known.items if wanted <= (item["metadata"].get("labels") or {}).items()), known.version
    )


def wait(run: Session[Any], written: Object, seen: Freed | None) -> Waited:
    """Until done or failed; a refusal of the API during the wait is raised as AgentError. seen: what was there right
    before the write, None where nothing was written.

    The option timeout counts from when the former pod is gone; how long that may take is bounded by its own grace
    (judge).
    """
    agent = run.agent
    timeout = run.params["timeout"]
    wanted = Wanted(written["metadata"]["uid"], written["spec"]["template"], written["spec"]["replicas"])
    counted_from = time.monotonic()
    memory = Memory()
    exits = Exits(run.kube, agent.namespace)
    telling = Telling(run.context.progress, agent.name)
    with Watching(run.kube, agent.namespace, _selections(agent.name, written, seen)) as watching:
        while True:
            pods = watching.objects(POD)
            live = watching.objects(DEPLOYMENT)
            now = time.monotonic()
            observed = Observed(now, live[0] if live else None, watching.objects(REPLICA_SET), pods, exits.of(pods))
            verdict, memory = judge(wanted, observed, memory, run.params["schedule_grace"])
            if verdict.draining:
                counted_from = now
            left = timeout - (now - counted_from)
            if verdict.state == WAITING and left < 0:
                verdict = Verdict(FAILED, f"not done after {timeout:.0f} s: {verdict.words}", "timeout")
            if verdict.state != WAITING:
                return Waited(verdict, observed, max(left, 0.0))
            telling.tell(verdict.words)
            watching.wait(TICK)

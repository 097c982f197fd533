# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for a rollout by watching, reports what it sees, and fails as soon as failure is certain (R6)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.seconds import REPORT, TICK
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import DEPLOYMENT, POD, REPLICA_SET
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.watch import Selection, Watching
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
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


@dataclass(frozen=True)
class Waited:
    verdict: Verdict
    observed: Observed


def selections(agent: str) -> tuple[Selection, ...]:
    pods = names.pod_selector(agent)
    return (
        Selection(DEPLOYMENT, fields=f"metadata.name={agent}"),
        Selection(REPLICA_SET, labels=pods),
        Selection(POD, labels=pods),
    )


def wait(
    agent: Home, kube: Kube, written: Object, context: Context, *, schedule_grace: float, timeout: float
) -> Waited:
    """Until done or failed; a refusal of the API during the wait is raised as AgentError."""
    wanted = Wanted(written["metadata"]["uid"], written["spec"]["template"], written["spec"]["replicas"])
    started = time.monotonic()
    memory = Memory()
    exits = Exits(kube, agent.namespace)
    told = ""
    told_at = started
    with Watching(kube, agent.namespace, selections(agent.name)) as watching:
        while True:
            pods = watching.objects(POD)
            live = watching.objects(DEPLOYMENT)
            observed = Observed(
                time.monotonic(), live[0] if live else None, watching.objects(REPLICA_SET), pods, exits.of(pods)
            )
            verdict, memory = judge(wanted, observed, memory, schedule_grace)
            if verdict.state != WAITING:
                return Waited(verdict, observed)
            elapsed = time.monotonic() - started
            if elapsed > timeout:
                return Waited(Verdict(FAILED, f"not done after {timeout:.0f} s: {verdict.words}", "timeout"), observed)
            if verdict.words != told or time.monotonic() - told_at > REPORT:
                told = verdict.words
                told_at = time.monotonic()
                context.progress(f"{agent.name}: {verdict.words} ({elapsed:.0f} s)")
            watching.wait(TICK)

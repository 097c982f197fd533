# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster's own admission puts back at once is no change: the server is asked by a dry run, where a comparison
of what is rendered with what is live has found a difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import (
    Stamps,
    deployment,
    sealed,
    supporting,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import compare, shown
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import is_going
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import (
    AgentPlan,
    carried,
    decide,
    stamps_for,
)


def decided(kube: Kube, agent: Agent, live: Live, vault: str | None, restart_id: str) -> AgentPlan:
    """As decisions.decide, with what the server would take of it. vault, restart_id: see decisions.stamps_for."""
    stamps, kept = _as_admitted(kube, agent, live, vault, restart_id)
    kept |= _kept_as_it_is(kube, live, supporting(agent, live.facts, live.claim))
    plan = decide(agent, live, stamps, kept)
    notes = [f"{kind}: the cluster itself sets {', '.join(fields)}" for kind, fields in kept.items()]
    return replace(plan, notes=[*plan.notes, *notes])


def stamps_as_admitted(kube: Kube, agent: Agent, live: Live, vault: str | None, restart_id: str) -> Stamps:
    """As decisions.stamps_for has them; carried forward, too, where with them the server leaves the Deployment as it
    is: otherwise a stamp alone would make a new pod."""
    return _as_admitted(kube, agent, live, vault, restart_id)[0]


def _as_admitted(
    kube: Kube, agent: Agent, live: Live, vault: str | None, restart_id: str
) -> tuple[Stamps, dict[str, list[str]]]:
    """And what _kept_as_it_is tells of the Deployment with them."""
    stamps = stamps_for(agent, live, vault, restart_id)
    same = carried(agent, live, vault, restart_id)
    if not same.secret_version or live.deployment is None or is_going(live.deployment):
        return stamps, {}
    kept = _kept_as_it_is(kube, live, [sealed(deployment(agent, same, live.facts))])
    return (same, kept) if kept else (stamps, {})


def _kept_as_it_is(kube: Kube, live: Live, manifests: Iterable[Object]) -> dict[str, list[str]]:
    """Kind -> fields (with their values) in which it differs from the wish, and would go on to: nothing else of it
    would be changed. Whoever may not ask is told by the run itself."""
    writer = Writer(kube, dry_run=True)
    found = {}
    for manifest in manifests:
        there = live.objects.get(manifest["kind"])
        changes = compare(manifest, there) if there else []
        if not changes:
            continue
        before = len(writer.changes)
        try:
            writer.apply(manifest, there)
        except AgentError:
            continue
        if len(writer.changes) == before:
            found[manifest["kind"]] = [line.partition(" -> ")[0] for line in shown(changes)]
    return found

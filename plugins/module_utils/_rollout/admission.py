# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster's own admission puts back at once is no change: the server is asked by a dry run, where a comparison
of what is rendered with what is live has found a difference."""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import deployment, sealed, supporting
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import compare
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import Stamps


def kept_as_it_is(kube: Kube, agent: Agent, live: Live, stamps: Stamps) -> dict[str, list[str]]:
    """Kind -> fields (with their values) in which it differs from the wish, and would go on to: nothing else of it
    would be changed. Whoever may not ask is told by the run itself."""
    writer = Writer(kube, dry_run=True)
    found = {}
    for manifest in (*supporting(agent, live.facts, live.claim), sealed(deployment(agent, stamps, live.facts))):
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
            found[manifest["kind"]] = [change.line.partition(" -> ")[0] for change in changes]
    return found

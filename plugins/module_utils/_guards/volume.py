# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume that is being deleted: the running pod is all that keeps it."""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CLAIM
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home


def require_lasting_volume(live: Live, agent: Home) -> None:
    require_lasting_claim(live.objects.get(CLAIM.name), agent)


def require_lasting_claim(claim: Object | None, agent: Home) -> None:
    """Asked before anything that would stop the pod. Kubernetes lets a claim that was deleted go when no pod mounts
    it any more, and on this platform the disk goes with it."""
    since = claim["metadata"].get("deletionTimestamp") if claim else None
    if claim and since:
        raise AgentError(
            ErrorKind.CONFLICT,
            f"{agent.name}: {CLAIM.name} {claim['metadata']['name']} was deleted at {since} and goes, with its disk, "
            "as soon as the pod that runs stops: that pod is all that keeps the agent's memory",
            f"Copy the memory first: kubectl cp -n {agent.namespace} -c openclaw <pod>:/root/.openclaw ./{agent.name}. "
            "A claim cannot be undeleted. The pod was not stopped.",
        )

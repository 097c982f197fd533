# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cluster answers, and whether it serves what an agent is made of."""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import EXTERNAL_SECRET, SECRET_STORE


def require_cluster(kube: Kube, wanted_uid: str | None) -> str:
    """The uid of the cluster that answers; AgentError unless it is the one the inventory pins."""
    uid = kube.cluster_uid()
    if not wanted_uid:
        raise AgentError(
            ErrorKind.WRONG_CLUSTER,
            f"the inventory does not say which cluster is meant; the one at {kube.host} has uid {uid}",
            f"If that is the right one, set agent_cluster_uid: {uid} in group_vars/agents.yml.",
        )
    if uid != wanted_uid:
        raise AgentError(
            ErrorKind.WRONG_CLUSTER,
            f"the cluster at {kube.host} is {uid or 'without kube-system'}, but the inventory means {wanted_uid}",
            "Look at KUBECONFIG and its context. Two agents with one Discord token would knock each other out.",
        )
    return uid


def require_external_secrets(live: Live) -> None:
    if live.unserved & {EXTERNAL_SECRET.name, SECRET_STORE.name}:
        raise AgentError(
            ErrorKind.NOT_FOUND,
            f"the cluster does not serve {EXTERNAL_SECRET.api_version}: the External Secrets Operator is "
            "missing or too old",
            "Install External Secrets 0.17 or later.",
        )

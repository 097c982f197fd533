# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node of a running pod answers, before that pod is told to end: on one that is silent it never would, and nothing
may be started beside it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import NODE_SILENT
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import condition
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import LEASE, NODE
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home

_LEASES = "kube-node-lease"


def require_answering(kube: Kube, agent: Home, pods: Iterable[Object]) -> str:
    """pods: those that run and are about to be stopped. AgentError 'rollout' for one whose node does not answer; what
    could not be looked at, in words, else ''."""
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if not name:
            continue  # it never started
        try:
            node = kube.get(NODE, "", name)
            lease = kube.get(LEASE, _LEASES, name) if node else None
        except AgentError as error:
            if error.kind is not ErrorKind.FORBIDDEN:
                raise
            return f"whether node {name} answers was not looked at: this identity may not get nodes, or their Leases"
        ready = condition(node or {}, "Ready")
        if node is not None and ready.get("status") != "True":
            why = f": {ready['message']}" if ready.get("message") else ""
            since = f" since {ready['lastTransitionTime']}" if ready.get("lastTransitionTime") else ""
            raise _silent(agent, pod, f"is not Ready{since}{why}")
        renewed = str(((lease or {}).get("spec") or {}).get("renewTime") or "")
        if renewed and kube.server_time() - datetime.datetime.fromisoformat(renewed).timestamp() > NODE_SILENT:
            raise _silent(agent, pod, f"has not renewed its Lease since {renewed}")
    return ""


def _silent(agent: Home, pod: Object, words: str) -> AgentError:
    node = pod["spec"]["nodeName"]
    return AgentError(
        ErrorKind.ROLLOUT,
        f"{agent.name}: node {node}, where pod {pod['metadata']['name']} runs, {words}. A pod that is "
        "told to end there does not end, and nothing may be started beside it",
        f"Look at it: kubectl describe node {node}. Once it is Ready, or was taken out of the cluster, run the same "
        "command again. The pod was not stopped.",
        {"pod": pod["metadata"]["name"], "node": node},
    )

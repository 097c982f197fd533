# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node of a running pod answers, before that pod is told to end: on one that is silent it never would, and nothing
may be started beside it."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import condition
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import NODE
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home


def require_answering(kube: Kube, agent: Home, pods: Iterable[Object]) -> str:
    """pods: those that run and are about to be stopped. AgentError 'rollout' for one whose node does not answer; what
    could not be looked at, in words, else ''."""
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if not name:
            continue  # it never started
        try:
            node = kube.get(NODE, "", name)
        except AgentError as error:
            if error.kind is not ErrorKind.FORBIDDEN:
                raise
            return f"whether node {name} answers was not looked at: this identity may not get nodes"
        ready = condition(node or {}, "Ready")
        if node is not None and ready.get("status") != "True":
            raise _silent(agent, pod, ready)
    return ""


def _silent(agent: Home, pod: Object, ready: Object) -> AgentError:
    node = pod["spec"]["nodeName"]
    why = f": {ready['message']}" if ready.get("message") else ""
    since = f" since {ready['lastTransitionTime']}" if ready.get("lastTransitionTime") else ""
    return AgentError(
        ErrorKind.ROLLOUT,
        f"{agent.name}: node {node}, where pod {pod['metadata']['name']} runs, is not Ready{since}{why}. A pod that is "
        "told to end there does not end, and nothing may be started beside it",
        f"Look at it: kubectl describe node {node}. Once it is Ready, or was taken out of the cluster, run the same "
        "command again. The pod was not stopped.",
        {"pod": pod["metadata"]["name"], "node": node},
    )

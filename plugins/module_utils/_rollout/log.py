# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's own last words: whose log tells most, and how much of it is read, kept and shown."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import (
    container_statuses,
    gateway_of,
    gateway_status,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import Exit

#: Kept as evidence; of these so many are shown to a person, each cut to so many characters.
_LINES = 40
_LINES_SHOWN = 3
_LINE_LENGTH = 200


class Exits:
    """The ends of containers that were seen, each with its log, read once."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._seen: dict[tuple[str, int], Exit] = {}

    def of(self, pods: list[Object]) -> tuple[Exit, ...]:
        for pod in pods:
            status = gateway_status(pod)
            state = status.get("state") or {}
            last = status.get("lastState") or {}
            end = state.get("terminated")
            number = int(status.get("restartCount") or 0)
            if end is None and "terminated" in last:
                end = last["terminated"]
                number = number - (0 if "waiting" in state else 1)
            name = pod["metadata"]["name"]
            if end and (name, number) not in self._seen and not pod["metadata"].get("deletionTimestamp"):
                log = self._log(pod, number, has_next="running" in state)
                self._seen[name, number] = Exit(
                    name, number, int(end.get("exitCode") or 0), end.get("reason") or "", log
                )
        return tuple(self._seen.values())

    def _log(self, pod: Object, number: int, *, has_next: bool) -> str:
        """Of the container that ended. The kubelet begins another after the first end at once, and may have done so
        before the pod's status says it: then the first one is the previous one, and the words of the current one are
        not its."""
        text = self._read(pod, previous=has_next)
        if not has_next and (number == 0 or not text.strip()):
            text = self._read(pod, previous=True) or text
        return text

    def _read(self, pod: Object, *, previous: bool) -> str:
        container = gateway_of(pod["spec"])["name"]
        return self._kube.log(self._namespace, pod["metadata"]["name"], container, previous=previous, lines=_LINES)


def _container_of(pod: Object) -> str:
    """The container whose log tells most: the init container that failed, else the gateway."""
    for status in container_statuses(pod, init=True):
        end = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
        if end.get("exitCode"):
            return str(status["name"])
    return str(gateway_of(pod["spec"])["name"])


def last_words(kube: Kube, agent: Home, pod: Object, exits: Iterable[Exit]) -> list[str]:
    """Its last lines that are not empty, of the container whose log tells most. exits: in the order they were seen."""
    container = _container_of(pod)
    text = ""
    if container == gateway_of(pod["spec"])["name"]:
        text = next((one.log for one in reversed(list(exits)) if one.pod == pod["metadata"]["name"] and one.log), "")
    # A container begun anew has no words yet, and may have spoken its last when the one before it is asked for.
    for previous in (False, True, False):
        if not text.strip():
            text = kube.log(agent.namespace, pod["metadata"]["name"], container, previous=previous, lines=_LINES)
    return [line for line in text.splitlines() if line.strip()][-_LINES:]


def excerpt(log: list[str]) -> list[str]:
    """What a person is shown of it."""
    return [f"  | {line[:_LINE_LENGTH]}" for line in log[-_LINES_SHOWN:]]

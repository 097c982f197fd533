# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts that nobody asked for and that are due all the same, each with a key by which it happens once."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live, version_of_secret
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.occupants import on_the_volume
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import (
    CRASH_LOOP,
    container_of,
    refused_volume,
    waits_for,
)

#: How the key of one begins: with a sign that no key of a person's has (check_run_id).
_VOLUME, _CRASH, _SECRET = "volume/", "crash/", "secret/"
BEGUN_AGAIN = "its container began again since it was proved, and its Secret is another"
_WHY = {
    _VOLUME: "its volume was refused: a new pod looks again",
    _CRASH: "its gateway ends again and again: a new pod begins afresh",
    _SECRET: f"{BEGUN_AGAIN}: what it reads is not known",
}


def due_restart(kube: Kube, namespace: str, live: Live, pods: Iterable[Object]) -> str:
    """The key; '' for an agent that needs none. pods: all of the namespace. Asks for the Secret where a container began
    again since it was proved."""
    if live.deployment is None:
        return ""
    own = on_the_volume(live, pods)
    if key := of_pods(own):
        return key
    again = begun_again(live, own)
    if not again:
        return ""
    is_known = live.record and version_of_secret(kube, namespace, live.agent) == live.record.proved.secret
    return "" if is_known else again


def of_pods(own: Iterable[Object]) -> str:
    """Of a pod that lets no gateway start on its volume, or ends again and again. It would try again by itself, but
    after ever longer waits; a new one begins afresh."""
    for pod in own:
        uid = pod["metadata"]["uid"][:8]
        if refused_volume(pod) is not None:
            return f"{_VOLUME}{uid}"
        if waits_for(pod) == CRASH_LOOP:
            return f"{_CRASH}{uid}"
    return ""


def begun_again(live: Live, own: Iterable[Object]) -> str:
    """Of a pod whose gateway's container is not the one that was proved: what it reads is what the Secret held then."""
    proved = live.record.proved if live.record else None
    if proved is None or not proved.container or not proved.secret:
        return ""
    there = [one for pod in own if (one := container_of(pod))]
    if not there or proved.container in there:
        return ""
    return f"{_SECRET}{there[0].rpartition('/')[2][:12]}"


def why(key: str) -> str:
    """For people; '' for a restart that was asked for."""
    return next((words for begins, words in _WHY.items() if key.startswith(begins)), "")

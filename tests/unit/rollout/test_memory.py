# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod's volume calls itself, as the kubelet tells it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._rollout import memory
from tests.unit.builders import pod

IDENTITY = "b9b8350b-f9bf-4c41-9928-502dc3b27efd"


def ready(words: str = "", **container: Any) -> Any:
    said = {"terminated": {"exitCode": 0, "message": words}}
    made = pod(state={"running": {}}, init=said)
    made["status"]["containerStatuses"][0].update(container)
    return made


def told(monkeypatch: pytest.MonkeyPatch, first: Any, *later: Any) -> tuple[str, int]:
    """What is told of the first one, and how often it was asked for again."""
    monkeypatch.setattr(memory, "TICK", 0)
    monkeypatch.setattr(memory, "INIT_TOLD", 5 if later else 0)
    left = list(later)
    kube = SimpleNamespace(get=lambda *_words: left.pop(0))
    run: Any = SimpleNamespace(kube=kube, agent=SimpleNamespace(namespace="bots"))
    return memory._told(run, first), len(later) - len(left)


def test_an_identity_that_comes_after_the_pod_is_ready_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = {"containerID": "containerd://1"}
    assert told(monkeypatch, ready(IDENTITY, **ran), None) == (IDENTITY, 0)
    assert told(monkeypatch, ready(**ran), ready(**ran), ready(IDENTITY, **ran)) == (IDENTITY, 2)
    assert told(monkeypatch, ready(**ran), None, ready(IDENTITY, **ran)) == (IDENTITY, 2)


def test_a_pod_without_a_container_has_none_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, ready(), None) == ("", 0)


def test_a_word_of_the_runtimes_own_hides_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, ready(f"a word of the runtime's: {IDENTITY}"), None) == (IDENTITY, 0)
    assert told(monkeypatch, ready(f"expected {IDENTITY}, found none"), None) == ("", 0)

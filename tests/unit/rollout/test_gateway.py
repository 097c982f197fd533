# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pod says of its environment, and what is no word at all."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import Budget
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout import gateway

VALUES = {"A": "one", "B": "zwei ü"}


class Pod:
    """Answers in turns; what it is asked with is the last argument of the command but the keys."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def exec(self, _namespace: str, _pod: str, _container: str, command: list[str]) -> str | None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(command[3]) if callable(answer) else answer


def says(environment: dict[str, str]) -> Any:
    """A pod with this environment, which prints something else first."""

    def answer(nonce: str) -> str:
        told = {
            key: hmac.new(value.encode(), nonce.encode(), "sha256").hexdigest() for key, value in environment.items()
        }
        return f"npm warn\n{json.dumps(told)}\n"

    return answer


def ask(*answers: Any) -> list[str]:
    pod: Any = Pod(*answers)
    return gateway.keys_not_proved(pod, "bots", "roberval-1", "openclaw", VALUES)


@pytest.fixture(autouse=True)
def _one_try_and_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "backoff", lambda _budget: iter(range(2)))
    assert isinstance(gateway.Budget(1.0), Budget)


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [(VALUES, []), ({**VALUES, "B": "two"}, ["B"]), ({"A": "one"}, ["B"]), ({"A": "", "B": ""}, ["A", "B"])],
)
def test_a_key_is_proved_by_its_hash_alone(environment: dict[str, str], wrong: list[str]) -> None:
    assert ask(says(environment)) == wrong


@pytest.mark.parametrize("first", [None, "", "123", '"x"', "[]", "not json", "null"])
def test_an_answer_that_is_none_is_asked_for_again(first: str | None) -> None:
    assert ask(first, says(VALUES)) == []


def test_a_hash_that_is_no_hash_is_wrong() -> None:
    assert ask('{"A": "\u00fc", "B": 7}') == ["A", "B"]


def test_a_pod_that_cannot_tell_is_another_thing_than_one_that_cannot_be_asked() -> None:
    with pytest.raises(AgentError, match="cannot tell") as caught:
        ask("sh: node: not found")
    assert caught.value.kind is ErrorKind.VERIFY
    with pytest.raises(AgentError, match="opens no exec") as caught:
        ask(None)
    assert caught.value.kind is ErrorKind.UNAVAILABLE

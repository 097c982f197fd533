# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pod says of its environment, and what is no word at all."""

from __future__ import annotations

import contextlib
import hmac
import http.server
import json
import socket
import threading
from collections.abc import Iterator
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


class Gateway:
    """Answers each path in turns, (status, body); the port-forward to it is a plain connection."""

    def __init__(self, **answers: list[tuple[int, str]]) -> None:
        self.answers = answers
        self.port = 0

    def port_forward(self, _namespace: str, _pod: str, _port: int, _seconds: float) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port))

    @contextlib.contextmanager
    def listening(self) -> Iterator[Any]:
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                turns = gateway.answers[self.path.rpartition("/")[2]]
                status, body = turns.pop(0) if len(turns) > 1 else turns[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET

            def log_message(self, *_words: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.port = server.server_port
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


NO = (401, '{"error": {"type": "unauthorized"}}')
NO_SUCH_TOOL = (404, '{"error": {"type": "not_found"}}')
PAGE = (200, "<html>")


def probe(*answers: tuple[int, str]) -> None:
    with Gateway(invoke=list(answers)).listening() as asked:
        gateway.token_probe(asked, "bots", "roberval-1", "tok", Budget(60.0))


@pytest.mark.parametrize("taken", [(200, '{"ok": true}'), NO_SUCH_TOOL, (400, '{"error": {}}')])
def test_whatever_it_says_itself_but_no_means_that_it_took_the_token(taken: tuple[int, str]) -> None:
    """Trials C2: an agent with few tools answers 404 to the right token."""
    probe(taken, NO)


@pytest.mark.parametrize("trouble", [(503, "{}"), (429, "{}"), PAGE])
def test_an_answer_that_is_no_word_on_the_token_is_asked_for_again(trouble: tuple[int, str]) -> None:
    probe(trouble, NO_SUCH_TOOL, NO)
    with pytest.raises(AgentError, match=f"did not answer through a port-forward: HTTP {trouble[0]}"):
        probe(trouble)


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_is_an_error_of_its_own(status: int) -> None:
    with pytest.raises(gateway.TokenRefused, match=f"refuses the token that stands in Vault .HTTP {status}"):
        probe((status, ""))


def test_a_gateway_that_takes_any_token_is_told() -> None:
    with pytest.raises(AgentError, match="HTTP 404 to a wrong token instead of refusing it"):
        probe(NO_SUCH_TOOL)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, '{"ready": true, "failing": []}'), []),
        ((503, '{"ready": false, "failing": ["discord"]}'), ["the gateway says that it is not ready: discord"]),
        ((503, '{"ready": false}'), ["the gateway says that it is not ready: it does not say why"]),
        (PAGE, ["the gateway's /readyz gave no answer that can be read"]),
    ],
)
def test_a_channel_that_is_down_is_told_at_once(answer: tuple[int, str], told: list[str]) -> None:
    """Trials C8: 90 s, and then "no answer that can be read"."""
    with Gateway(readyz=[answer]).listening() as asked:
        assert gateway.readiness_warnings(asked, "bots", "roberval-1", Budget(60.0)) == told

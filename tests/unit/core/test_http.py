# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes over the wire to Vault and to registries, and what is said when nothing comes back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._core.http import Http, NoAnswer, basic, parsed
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault
from tests.unit.listening import Answer, Server

TIMEOUT = (10.0, 20.0)


class Redirecting(Server):
    """A path /to/X is redirected to X."""

    def answer(self, method: str, path: str) -> Answer:
        said = b"" if method == "HEAD" else json.dumps({"initialized": True, "auth": {}}).encode()
        if path.startswith("/to/"):
            return Answer(307, {"Location": path.removeprefix("/to")}, said)
        return Answer(503 if path == "/busy" else 200, {}, said)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Redirecting()
    with running.listening():
        yield running


def test_a_redirect_is_followed_with_method_body_and_token(server: Server) -> None:
    """A standby of Vault's points at the active one."""
    answer = Http().send("POST", f"{server.url}/to/v1/x", {"X-Vault-Token": "t0ken"}, b"{}", timeout=TIMEOUT)
    assert answer.status == 200
    assert [(method, path, headers["X-Vault-Token"], body) for method, path, headers, body in server.asked] == [
        ("POST", "/to/v1/x", "t0ken", b"{}"),
        ("POST", "/v1/x", "t0ken", b"{}"),
    ]


def test_a_redirect_is_an_answer_where_none_is_to_be_followed(server: Server) -> None:
    assert Http().send("HEAD", f"{server.url}/to/x", {}, timeout=TIMEOUT, follow=False).status == 307


def test_redirects_in_a_circle_end(server: Server) -> None:
    url = f"{server.url}{'/to' * 9}/x"
    with pytest.raises(NoAnswer, match="ResponseError"):
        Http().send("GET", url, {}, timeout=TIMEOUT)


def test_nothing_is_tried_again_here(server: Server) -> None:
    assert Http().send("GET", f"{server.url}/busy", {}, timeout=TIMEOUT).status == 503
    assert len(server.asked) == 1


def test_no_variable_of_the_process_sends_it_elsewhere(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Http().send("GET", f"{server.url}/x", {}, timeout=TIMEOUT).status == 200


def test_a_proxy_that_was_named_is_taken_with_its_login(server: Server) -> None:
    proxy = server.url.replace("http://", "http://alice:pa%3Ass@")
    assert Http(proxy=proxy).send("GET", "http://registry.example.com/v2/", {}, timeout=TIMEOUT).status == 200
    ((_method, path, headers, _body),) = server.asked
    login = {name.lower(): value for name, value in headers.items()}["proxy-authorization"]
    assert path == "http://registry.example.com/v2/"
    assert base64.b64decode(login.removeprefix("Basic ")) == b"alice:pa:ss"


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:1/", {}),
        ("https://127.0.0.1:1/", {}),
        ("127.0.0.1:8200/v1", {}),
        ("vault.example.com/v1", {}),
        ("unix:///run/vault", {}),
        ("http://[::1", {}),
        (f"http://{'a' * 70}.example.com/", {}),
        ("http://127.0.0.1:1/", {"X-Vault-Token": "t0ken\nsecond: line"}),
        ("http://127.0.0.1:1/", {"X-Vault-Token": "t0ken\u2026"}),
    ],
)
def test_what_cannot_be_asked_says_so_and_shows_no_token(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(NoAnswer) as caught:
        Http().send("GET", url, headers, timeout=TIMEOUT)
    assert str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_an_authority_that_is_not_there_or_none_is_told(tmp_path: Path, server: Server) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for ca in (tmp_path / "not-there.pem", tmp_path / "ca.pem"):
        with pytest.raises(NoAnswer):
            Http(str(ca)).send("GET", server.url.replace("http:", "https:"), {}, timeout=TIMEOUT)


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b"3", b"null", b"\xff"])
def test_an_answer_without_an_object_is_an_empty_one(said: bytes) -> None:
    class Answer:
        data = said

    assert parsed(Answer()) == {}


def test_a_login_is_encoded_as_the_standard_says() -> None:
    assert basic("alice", "pa:ss") == "Basic " + base64.b64encode(b"alice:pa:ss").decode()


def _vault(server: Server, **environ: str) -> Vault:
    given = {"VAULT_ADDR": server.url + "/", **environ}
    return Vault({}, Context(given, "/tmp"))


def test_vault_is_asked_with_token_and_namespace(server: Server) -> None:
    vault = _vault(server, VAULT_TOKEN="t0ken", VAULT_NAMESPACE="team")
    vault.request("PATCH", "kv//data/x", {"data": {}})
    vault.request("LIST", "auth/approle/role")
    for _method, _path, headers, _body in server.asked:
        assert (headers["X-Vault-Token"], headers["X-Vault-Namespace"]) == ("t0ken", "team")
        assert headers["X-Vault-Request"] == "true"
    _health, patch, listed = server.asked
    assert (patch[1], patch[2]["Content-Type"], patch[3]) == (
        "/v1/kv/data/x",
        "application/merge-patch+json",
        b'{"data": {}}',
    )
    assert (listed[0], listed[3]) == ("LIST", b"")


def test_a_login_shows_no_token(server: Server) -> None:
    with pytest.raises(AgentError, match="no credential for Vault"):
        _vault(server)
    assert "X-Vault-Token" not in server.asked[0][2]


def test_another_identity_of_vault_does_not_take_the_first_ones_place(server: Server) -> None:
    vault: Any = _vault(server, VAULT_TOKEN="t0ken")
    vault._token_of = lambda *_words: "other"
    with vault.logged_in("approle", "role", "secret") as other:
        other.request("GET", "sys/x")
        vault.request("GET", "sys/y")
    sent = [(path, headers["X-Vault-Token"]) for _method, path, headers, _body in server.asked[1:]]
    assert sent == [("/v1/sys/x", "other"), ("/v1/sys/y", "t0ken"), ("/v1/auth/token/revoke-self", "other")]

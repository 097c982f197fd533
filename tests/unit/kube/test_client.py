# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes over the wire to the API server, and what its answers become."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core import retry
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.errors import Conflict
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CONFIG_MAP, DEPLOYMENT
from tests.unit.listening import Answer, Server

FORBIDDEN = {"kind": "Status", "message": 'deployments.apps is forbidden: User "x" cannot'}


class Scripted(Server):
    """Gives the answers of `turns`, (status, headers, body), one after the other; the last one for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[tuple[int, dict[str, str], Any]] = [(200, {}, {"ok": True})]

    def answer(self, method: str, path: str) -> Answer | None:
        """A status of 0: the connection breaks."""
        status, headers, said = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return Answer(status, headers, body) if status else None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(retry.time, "sleep", lambda _seconds: None)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    running = Scripted()
    with running.listening():
        yield running


def client(server: Scripted, lines: list[str] | None = None, secrets: set[str] | None = None, **more: str) -> Kube:
    environ = {"K8S_AUTH_HOST": f"{server.url}/", "K8S_AUTH_API_KEY": "t0ken", **more}
    said, kept = lines if lines is not None else [], secrets if secrets is not None else set()
    return Kube({"allow_insecure": True}, Context(environ, "/tmp", progress=said.append, secrets=kept))


def test_who_asks_is_in_the_headers_and_kept_secret(server: Scripted) -> None:
    secrets: set[str] = set()
    kube = client(server, None, secrets, K8S_AUTH_IMPERSONATE_USER="alice", K8S_AUTH_IMPERSONATE_GROUPS="a,b")
    assert kube.request("GET", "/version") == {"ok": True}
    ((method, path, headers, body),) = server.asked
    assert (method, path, body) == ("GET", "/version", b"")
    assert headers["Authorization"] == "Bearer t0ken"
    assert (headers["Impersonate-User"], headers["Impersonate-Group"]) == ("alice", "a,b")
    assert headers["Accept"] == "application/json"
    assert "t0ken" in secrets


BY_RIGHTS = {"kind": "Status", "message": 'pods is forbidden: User "x" cannot list resource "pods" in API group ""'}
BY_POLICY = {"kind": "Status", "message": 'pods "a" is forbidden: ValidatingAdmissionPolicy "p" denied request: no'}


def test_rights_that_were_there_a_moment_ago_are_asked_for_again(server: Scripted) -> None:
    """As of an API server that restarted while nothing was asked of it."""
    kube = client(server)
    kube.allowed = True
    server.turns = [(403, {}, BY_RIGHTS), (403, {}, BY_RIGHTS), (200, {}, {"ok": True})]
    assert kube.request("GET", "/version") == {"ok": True}


@pytest.mark.parametrize(("allowed", "body"), [(True, BY_POLICY), (False, BY_RIGHTS)])
def test_what_a_policy_refuses_or_was_never_allowed_is_refused_at_once(
    server: Scripted, allowed: bool, body: dict[str, Any]
) -> None:
    kube = client(server)
    kube.allowed = allowed
    server.turns = [(403, {}, body)]
    with pytest.raises(AgentError) as caught:
        kube.request("GET", "/version")
    assert caught.value.kind is ErrorKind.FORBIDDEN
    assert len(server.asked) == 1


def test_pages_are_read_to_the_last(server: Scripted) -> None:
    def page(name: str, **more: str) -> tuple[int, dict[str, str], Any]:
        return 200, {}, {"items": [{"metadata": {"name": name}}], "metadata": {"resourceVersion": "7", **more}}

    server.turns = [page("one", **{"continue": "n/e xt="}), page("two")]
    items, version = client(server).list_objects(DEPLOYMENT, "bots", labels="app.kubernetes.io/part-of=agents")
    assert [item["metadata"]["name"] for item in items] == ["one", "two"]
    assert (version, items[0]["kind"], items[0]["apiVersion"]) == ("7", "Deployment", "apps/v1")
    path = "/apis/apps/v1/namespaces/bots/deployments?limit=500&labelSelector=app.kubernetes.io/part-of%3Dagents"
    assert [asked[1] for asked in server.asked] == [path, f"{path}&continue=n/e%20xt%3D"]


def test_writes_carry_their_kind_of_body(server: Scripted) -> None:
    kube = client(server)
    meta = {"name": "x", "namespace": "bots"}
    body = {"kind": "ConfigMap", "metadata": meta, "data": {"ä": "ü"}}
    kube.apply(body, dry_run=True)
    kube.create(body)
    kube.replace(CONFIG_MAP, body)
    kube.delete({**body, "metadata": {**meta, "uid": "u-1", "resourceVersion": "7"}})
    sent = [(method, headers["Content-Type"], json.loads(said)) for method, _path, headers, said in server.asked]
    assert sent[:3] == [
        ("PATCH", "application/apply-patch+yaml", body),
        ("POST", "application/json", body),
        ("PUT", "application/json", body),
    ]
    assert sent[3] == (
        "DELETE",
        "application/json",
        {"preconditions": {"uid": "u-1", "resourceVersion": "7"}, "propagationPolicy": "Background"},
    )  # fmt: skip
    assert server.asked[0][1].endswith("/configmaps/x?fieldManager=digitalsys.agents&force=false&dryRun=All")


@pytest.mark.parametrize("fault", [(503, {}, b"busy"), (429, {"Retry-After": "1"}, {}), (0, {}, b"")])
def test_a_fault_is_told_once_and_tried_again(server: Scripted, fault: tuple[int, dict[str, str], Any]) -> None:
    lines: list[str] = []
    server.turns = [fault, fault, (200, {}, {"ok": True})]
    kube = client(server, lines)
    assert kube.request("GET", "/version") == {"ok": True}
    assert kube.retries == 2
    assert len(lines) == 1
    assert "did not take a request" in lines[0]


CREATED = {"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "bots"}}


def test_a_create_is_not_sent_twice_where_that_is_asked_for(server: Scripted) -> None:
    server.turns = [(0, {}, b"")]
    with pytest.raises(AgentError, match="did not answer POST") as caught:
        client(server).create(CREATED, retry=False)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert len(server.asked) == 1


def test_a_create_whose_answer_was_lost_finds_what_it_has_made(server: Scripted) -> None:
    server.turns = [(0, {}, b""), (409, {}, {"reason": "AlreadyExists", "message": "exists"})]
    with pytest.raises(Conflict) as caught:
        client(server).create(CREATED)
    assert caught.value.is_there_already


def test_the_lock_is_asked_before_each_attempt_of_a_write(server: Scripted) -> None:
    """A retried request may outlive the lease under which it was sent first (trials G1)."""
    answers = iter([None, None, AgentError(ErrorKind.LOCK_LOST, "taken over")])

    def ask() -> None:
        if error := next(answers):
            raise error

    server.turns = [(503, {}, b"busy")] * 5
    with pytest.raises(AgentError) as caught:
        client(server).apply(CREATED, ask=ask)
    assert caught.value.kind is ErrorKind.LOCK_LOST
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(403, FORBIDDEN, "forbidden"), (401, {}, "unauthorized"), (404, b"404 page not found", "not_found"),
     (409, {"message": "exists"}, "conflict"), (422, {"message": "bad"}, "invalid"), (302, b"", "conflict")],
)  # fmt: skip
def test_a_refusal_is_ours_at_once(server: Scripted, status: int, body: Any, kind: str) -> None:
    server.turns = [(status, {"Location": "/elsewhere"}, body)]
    with pytest.raises(AgentError) as caught:
        client(server).request("GET", "/apis/apps/v1/namespaces/bots/deployments/x")
    assert (caught.value.kind.value, caught.value.details["status_code"]) == (kind, status)
    assert len(server.asked) == 1


def test_just_after_a_broken_connection_a_refusal_is_tried_again(server: Scripted) -> None:
    server.turns = [(0, {}, b""), (403, {}, FORBIDDEN), (200, {}, {"ok": True})]
    assert client(server).request("GET", "/version") == {"ok": True}


def test_a_watch_gives_events_until_it_ends_and_a_refused_one_says_so(server: Scripted) -> None:
    events = [{"type": "ADDED", "object": {"n": 1}}, {"type": "BOOKMARK", "object": {"n": 2}}]
    server.turns = [(200, {}, b"\n".join(json.dumps(one).encode() for one in events) + b"\n\n")]
    kube = client(server)
    seen = list(kube.watch(DEPLOYMENT, "bots", resource_version="5", seconds=60, labels="a=b"))
    assert seen == [("ADDED", {"n": 1}), ("BOOKMARK", {"n": 2})]
    assert server.asked[0][1].endswith(
        "/deployments?watch=true&resourceVersion=5&timeoutSeconds=60&allowWatchBookmarks=true&labelSelector=a%3Db"
    )
    server.turns = [(403, {}, FORBIDDEN)]
    with pytest.raises(AgentError, match="not allowed"):
        next(kube.watch(DEPLOYMENT, "bots", resource_version="5", seconds=60))


@pytest.mark.parametrize(
    ("turn", "text"),
    [
        ((200, {}, b"one\ntwo \xff"), "one\ntwo \ufffd"),
        ((200, {}, b"unable to retrieve container logs for containerd://x"), ""),
        ((400, {}, b"container is waiting"), ""),
        ((0, {}, b""), ""),
    ],
)
def test_a_log_is_text_or_nothing(server: Scripted, turn: tuple[int, dict[str, str], Any], text: str) -> None:
    server.turns = [turn]
    assert client(server).log("bots", "pod", "openclaw", previous=True, lines=20) == text
    assert server.asked[0][1] == "/api/v1/namespaces/bots/pods/pod/log?container=openclaw&tailLines=20&previous=true"

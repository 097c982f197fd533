"""base/ci/handover awx: what is refused before anything is launched, and told."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.pki import authority, pem
from tests.unit.listening import Answer, Server

from .handing import DIGEST, IMAGE, desk
from .office import FLEET, TOKEN, Office, open_office, posts, refused


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Office]:
    with open_office(desk(tmp_path, monkeypatch, capsys)) as office:
        yield office


def test_an_unknown_template_is_told_with_names_that_are_near(office: Office) -> None:
    refused(office, office.hand_over(AWX_TEMPLATE="agent rollout fleet"), "'agent rollout fleet'", f"'{FLEET}'")
    assert "agents project" not in office.hand_over(AWX_TEMPLATE="agents projekt").stderr, "a project is no template"


def test_an_unknown_template_is_told_with_the_role_it_takes_where_none_is_seen(office: Office) -> None:
    for kind in ("job_templates", "workflow_job_templates"):
        office.controller.items[kind].clear()
    refused(office, office.hand_over(), f"'{FLEET}'", "the role Execute")


def test_an_unknown_id_is_told(office: Office) -> None:
    refused(office, office.hand_over(AWX_TEMPLATE="4711"), "no template with the id '4711'", f"'{FLEET}'")


def test_a_project_of_the_wanted_name_is_no_template(office: Office) -> None:
    refused(office, office.hand_over(AWX_TEMPLATE="agents project"), "no template with the name 'agents project'")


def test_of_several_templates_of_one_name_the_id_is_asked_for(office: Office) -> None:
    other = office.controller.create("workflow_job_templates", {"name": FLEET})
    ids = (f"{office.template()['id']} (job template)", f"{other['id']} (workflow job template)")
    refused(office, office.hand_over(), *ids, "Set AWX_TEMPLATE to the id")


def deaf(change: str, office: Office) -> None:
    if change == "no question":
        office.questions()[:] = [one for one in office.questions() if one["variable"] != "image"]
    else:
        office.template()["survey_enabled"] = False


@pytest.mark.parametrize("change", ["no question", "survey off"])
def test_a_template_that_would_drop_the_image_is_not_launched(office: Office, change: str) -> None:
    deaf(change, office)
    refused(office, office.hand_over(), "asks for no `image`", "`Prompt on launch`")
    assert posts(office) == []


def test_what_the_survey_refuses_is_told(office: Office) -> None:
    next(one for one in office.questions() if one["variable"] == "image")["max"] = 20
    told = office.hand_over()
    refused(office, told, "AWX does not launch", "'image' value", "too large", "must need no answer but `image`")


def test_an_answer_that_is_missing_is_told(office: Office) -> None:
    question = office.questions()[0]
    office.questions().append({**question, "variable": "agent", "required": True})
    refused(office, office.hand_over(), "variables_needed_to_start: 'agent' value missing")


def test_a_launch_without_the_right_is_told(office: Office) -> None:
    office.broken.append(lambda request: 403 if request.method == "POST" else None)
    refused(office, office.hand_over(), "AWX does not launch", "403", "the role Execute on the template")


@pytest.mark.parametrize("status", [0, 502], ids=["no answer", "502"])
def test_after_a_launch_without_an_answer_one_is_to_look_first(office: Office, status: int) -> None:
    office.broken.append(lambda request: status if request.method == "POST" else None)
    refused(
        office, office.hand_over(), "launched is not known", f"{office.address}/#/jobs", "before you run this again"
    )
    assert len(posts(office)) == 1, "launching is not tried twice"


@pytest.mark.parametrize(
    "image",
    ["", "registry.example.com/team/agent:latest", f"agent@{DIGEST}", f"{IMAGE}0", f"{IMAGE}\n x"],
    ids=["none", "no digest", "no registry", "a long digest", "a second line"],
)
def test_only_an_image_by_digest_is_handed_over(office: Office, image: str) -> None:
    refused(office, office.hand_over(IMAGE=image), "no image by digest")
    assert office.controller.requests == []


# --- addresses, tokens, and who answers


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "AWX_URL is not set"),
        ("http://awx.example.com", "a token does not go over plain HTTP"),
        ("http://localhost.example.com", "a token does not go over plain HTTP"),
        ("awx.example.com", "no server's address"),
        ("ftp://awx.example.com", "no server's address"),
        ("https://[awx", "AWX_URL is"),
        ("https://me:word@awx.example.com", "has a login in it"),
    ],
)
def test_an_address_that_a_token_must_not_go_to_is_refused(office: Office, url: str, words: str) -> None:
    told = office.hand_over(AWX_URL=url)
    refused(office, told, words, "Set AWX_URL to an address like https://")
    assert "me:word" not in told.everything


def test_a_missing_token_is_told(office: Office) -> None:
    refused(office, office.hand_over(AWX_TOKEN=""), "AWX_TOKEN is not set", "secret AWX_TOKEN")


def test_a_token_that_fits_in_no_header_is_told_and_not_shown(office: Office) -> None:
    told = office.hand_over(AWX_TOKEN=f"{TOKEN}\nsecond-line")
    refused(office, told, "AWX_TOKEN holds a blank, a line break")
    assert TOKEN not in told.everything
    assert "second-line" not in told.everything


def test_a_line_break_behind_a_token_is_forgiven(office: Office) -> None:
    assert office.hand_over(AWX_TOKEN=f"{TOKEN}\n").code == 0


def test_a_wrong_token_is_told_and_not_shown(office: Office) -> None:
    told = office.hand_over(AWX_TOKEN="another-token-03e1")
    refused(office, told, "AWX answers 401", "Authentication credentials", "secret AWX_TOKEN")
    assert "another-token-03e1" not in told.everything


@pytest.mark.parametrize(("status", "words"), [(403, "scope `write`"), (404, "with no /api behind it")])
def test_other_refusals_are_told(office: Office, status: int, words: str) -> None:
    office.broken.append(lambda _request: status)
    refused(office, office.hand_over(), f"AWX answers {status}", words)


def test_an_awx_that_nobody_finds_is_told(office: Office) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        refused(office, office.hand_over(AWX_URL=url), f"AWX at {url} cannot be reached", "refused", "Look at AWX_URL")


def test_a_certificate_that_is_not_trusted_is_told_and_the_token_is_not_sent(office: Office, tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    own = authority("nobody's")
    (tmp_path / "tls.pem").write_text(pem(own.certificate) + private(own.key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_words: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        told = office.hand_over(AWX_URL=f"https://127.0.0.1:{server.server_port}")
        server.shutdown()
    refused(office, told, "no certificate that this machine trusts", "SSL_CERT_FILE")
    assert asked == []


def private(key: Any) -> str:
    from cryptography.hazmat.primitives import serialization as form

    plain = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return str(plain.decode())


class Elsewhere(Server):
    """Answers everything with one answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.same = answer

    def answer(self, method: str, path: str) -> Answer:
        return self.same


@pytest.mark.parametrize("body", [b"<html>log in", b"", b"[]", b'{"results": 1}', b'{"results": [{"id": 7}]}'])
def test_an_answer_that_is_not_awxs_is_told(office: Office, body: bytes) -> None:
    other = Elsewhere(Answer(200, {}, body))
    with other.listening():
        refused(office, office.hand_over(AWX_URL=other.url), "is not the API of AWX", "Is AWX_URL right?")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_told_and_the_token_does_not_follow_it(office: Office, status: int) -> None:
    thief = Elsewhere(Answer(200, {}, b"{}"))
    other = Elsewhere(Answer(status, {"Location": f"{thief.url}/?{TOKEN}"}, b""))
    with thief.listening(), other.listening():
        told = office.hand_over(AWX_URL=other.url)
    refused(office, told, f"sends us on to {thief.url}", "set AWX_URL to it")
    assert len(other.asked) == 1
    assert thief.asked == []
    assert TOKEN not in told.everything

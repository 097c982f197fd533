"""base/ci/handover pull-request: each way in which it can fail, told with what to do next."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.listening import Answer

from .handing import Told, desk
from .hub import APP, FILE, REPOSITORY, said
from .proposing import TOKEN, Proposer, proposing

NOT_PERMITTED = "GitHub Actions is not permitted to create or approve pull requests."
REST = f"/repos/{REPOSITORY}/pulls"


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Proposer]:
    with proposing(desk(tmp_path, monkeypatch, capsys)) as office:
        yield office


def told_of(told: Told, *words: str) -> None:
    """It failed in few lines, with these words, and the last one of them is in what to do next."""
    assert told.code == 1
    assert told.stderr.startswith("handover: FAILED: ")
    assert "Traceback" not in told.stderr
    assert [word for word in words if word not in told.stderr] == []
    assert words[-1] in told.stderr.partition("\n  next: ")[2]
    assert "**handover failed**" in told.summary
    assert TOKEN not in told.everything


def untouched(office: Proposer) -> None:
    assert office.bare.branches() == ["main"]
    assert office.hub.pulls == []


# --- what is given


def test_no_token_is_told(office: Proposer) -> None:
    told_of(office.hand_over(HANDOVER_TOKEN=""), "there is no token", "HANDOVER_APP_KEY")
    assert office.hub.asked == []


@pytest.mark.parametrize("name", ["HANDOVER_APP_ID", "HANDOVER_APP_KEY"])
def test_half_an_app_is_told(office: Proposer, name: str) -> None:
    told_of(office.hand_over(HANDOVER_TOKEN="", GITHUB_TOKEN=TOKEN, **{name: "1"}), "only one is set", "or neither")
    assert office.hub.asked == []


def test_a_key_that_is_none_is_told_and_not_shown(office: Proposer) -> None:
    told = office.hand_over(HANDOVER_TOKEN="", HANDOVER_APP_ID="1", HANDOVER_APP_KEY="no-key-9c4d")
    told_of(told, "openssl cannot sign with HANDOVER_APP_KEY", "PEM")
    assert "no-key-9c4d" not in told.everything


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"IMAGE": "registry.example.com/team/agent:latest"}, "no image by digest"),
        ({"GITHUB_REPOSITORY": ""}, "GITHUB_REPOSITORY is not set"),
        ({"GITHUB_REPOSITORY": "team/agents/../../other"}, "GITHUB_REPOSITORY is"),
        ({"GITHUB_API_URL": "http://api.example.com"}, "a token does not go over plain HTTP"),
        ({"GITHUB_SERVER_URL": "http://example.com"}, "a token does not go over plain HTTP"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    office: Proposer, given: dict[str, str], words: str
) -> None:
    told_of(office.hand_over(**given), words, "")
    assert office.hub.asked == []


def test_the_base_is_never_overwritten(office: Proposer) -> None:
    told_of(office.hand_over(branch="main"), "--branch and --base are both main", "a name of its own")
    assert office.hub.asked == []


# --- GitHub's API


def test_a_token_that_has_ended_is_told_before_anything_is_pushed(office: Proposer) -> None:
    office.hub.tokens.clear()
    told_of(office.hand_over(), "GitHub answers 401", "Bad credentials", "the token (HANDOVER_TOKEN): it has ended")
    untouched(office)


@pytest.mark.parametrize(
    ("status", "said_by_it", "next_"),
    [
        (403, "Resource not accessible by integration", "contents: write and pull requests: write"),
        (404, "Not Found", f"Does {REPOSITORY} exist"),
    ],
)
def test_what_the_token_may_not_is_told_before_anything_is_pushed(
    office: Proposer, status: int, said_by_it: str, next_: str
) -> None:
    office.hub.failing["GET", REST] = said(status, {"message": said_by_it})
    told_of(office.hand_over(), f"GitHub answers {status}", said_by_it, next_)
    untouched(office)


@pytest.mark.parametrize("status", [403, 422])
def test_a_repository_whose_workflows_may_open_none_is_told_with_the_setting(office: Proposer, status: int) -> None:
    office.hub.failing["POST", REST] = said(status, {"message": NOT_PERMITTED})
    told = office.hand_over()
    told_of(told, NOT_PERMITTED, "Actions, General, Workflow permissions")
    assert f"by hand: {office.hub.url}/{REPOSITORY}/compare/main...new-image?expand=1" in told.stderr
    assert office.bare.tip("new-image")


def test_what_github_finds_invalid_is_told(office: Proposer) -> None:
    problem = {"resource": "PullRequest", "field": "base", "code": "invalid"}
    office.hub.failing["POST", REST] = said(422, {"message": "Validation Failed", "errors": [problem]})
    told_of(office.hand_over(), "Validation Failed", "field: base", "Look at the names of the branches")


def test_a_pull_request_that_cannot_be_moved_is_told(office: Proposer) -> None:
    office.hand_over()
    office.hub.pulls[0]["title"] = "another"
    office.hub.failing["PATCH", REST] = said(403, {"message": "Resource not accessible"})
    told_of(office.hand_over(), "GitHub answers 403", "Resource not accessible", "pull requests: write")


def test_a_github_that_nobody_finds_is_told(office: Proposer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        told_of(office.hand_over(GITHUB_API_URL=url), f"GitHub at {url} cannot be reached", "Look at GITHUB_API_URL")


@pytest.mark.parametrize("body", [b"<html>log in", b"{}", b'[{"head": 1}]', b"[1]"])
def test_an_answer_that_is_not_githubs_is_told(office: Proposer, body: bytes) -> None:
    office.hub.failing["GET", REST] = Answer(200, {}, body)
    told_of(office.hand_over(), "is not the API of GitHub", "Is GITHUB_API_URL right?")
    untouched(office)


def test_a_repository_that_was_renamed_is_told(office: Proposer) -> None:
    office.hub.failing["GET", REST] = Answer(301, {"Location": "https://example.com/repositories/1/pulls"}, b"{}")
    told_of(office.hand_over(), "sends us on to https://example.com/repositories/1/pulls", "set GITHUB_API_URL")
    untouched(office)


# --- an App


@pytest.mark.parametrize(
    ("method", "path", "status", "next_"),
    [
        ("GET", "/installation$", 401, "belong to one App"),
        ("GET", "/installation$", 404, f"Install the App of HANDOVER_APP_ID on {REPOSITORY}"),
        ("POST", f"/{APP}/access_tokens$", 403, "Is the App suspended?"),
        ("POST", f"/{APP}/access_tokens$", 422, "needs the rights contents: write and pull requests: write"),
    ],
)
def test_an_app_that_gets_no_token_is_told(
    office: Proposer, pem: str, method: str, path: str, status: int, next_: str
) -> None:
    office.hub.failing[method, path] = said(status, {"message": "no"})
    told = office.hand_over(HANDOVER_TOKEN="", HANDOVER_APP_ID="1", HANDOVER_APP_KEY=pem)
    told_of(told, f"GitHub answers {status}", next_)
    untouched(office)


@pytest.fixture(scope="module")
def pem() -> str:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()


# --- Git


@pytest.mark.parametrize(
    ("status", "words", "next_"),
    [
        (401, "the token is not taken", "make a new one"),
        (403, "the token may not write", "contents: write"),
        (404, "there is no such repository", "Look at GITHUB_REPOSITORY"),
        (502, "it cannot be reached", "run this again"),
    ],
)
def test_what_git_is_refused_is_told(office: Proposer, status: int, words: str, next_: str) -> None:
    office.hub.failing["GET", r"\.git/info/refs"] = Answer(status, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
    told_of(office.hand_over(way="http"), f"Git and {office.hub.remote}: {words}", next_)
    untouched(office)


def test_a_push_without_the_right_is_told(office: Proposer) -> None:
    office.hub.failing["GET", "git-receive-pack"] = Answer(403, {}, b"")
    told_of(office.hand_over(way="http"), "the token may not write", "contents: write")
    untouched(office)


@pytest.mark.parametrize(
    ("hook", "words", "next_"),
    [
        ("GH006: Protected branch update failed for refs/heads/new-image.", "the branch is protected", "rules"),
        ("GH013: Repository rule violations found for refs/heads/new-image.", "the branch is protected", "rules"),
        ("files are too large", "the push is rejected", "The words are the server's"),
    ],
)
def test_a_push_that_is_rejected_is_told_in_the_servers_words(
    office: Proposer, hook: str, words: str, next_: str
) -> None:
    office.bare.hook("pre-receive", f"echo 'error: {hook}' >&2; exit 1")
    told_of(office.hand_over(), f"{words}: remote: error: {hook}", next_)
    untouched(office)


def test_a_branch_that_somebody_moves_meanwhile_is_not_overwritten(office: Proposer) -> None:
    office.hand_over()
    theirs = office.bare.commit("theirs", {"README.md": "theirs\n"})
    moved = f"--git-dir={office.bare.folder} update-ref refs/heads/new-image {theirs}"
    office.shim("git", f'case " $* " in *" push "*) "$REAL" {moved};; esac')
    office.hub.pulls[0]["title"] = "an older one"
    office.bare.commit("main", {"README.md": "the base went on\n"})
    told_of(office.hand_over(), "somebody moved the branch at the same time", "Run this again")
    assert office.bare.tip("new-image") == theirs
    assert office.hub.calls("PATCH") == []


def test_a_branch_that_somebody_makes_meanwhile_is_not_overwritten(office: Proposer) -> None:
    theirs = office.bare.commit("theirs", {"README.md": "theirs\n"})
    made = f"--git-dir={office.bare.folder} update-ref refs/heads/new-image {theirs}"
    office.shim("git", f'case " $* " in *" push "*) "$REAL" {made};; esac')
    told_of(office.hand_over(), "somebody moved the branch at the same time", "Run this again")
    assert office.bare.tip("new-image") == theirs


def test_a_base_that_is_not_there_is_told(office: Proposer) -> None:
    told_of(office.hand_over(base="trunk"), "has no branch trunk", "--base")
    untouched(office)


def test_an_inventory_that_is_not_there_is_told(office: Proposer) -> None:
    told_of(office.hand_over(file="no/such.yml"), "no/such.yml cannot be read: No such file", "--file")
    untouched(office)


@pytest.mark.parametrize(("text", "words"), [("a: b\n", "no line `agent_image:`"), ("agent_image: >-\n", "own line")])
def test_an_inventory_that_cannot_be_set_is_told(office: Proposer, text: str, words: str) -> None:
    office.bare.commit("main", {FILE: text})
    told_of(office.hand_over(), words, "agent_image: registry.example.com/team/name:tag")
    untouched(office)

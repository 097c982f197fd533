"""base/ci/handover pull-request, against a small GitHub: what is opened and moved, and who gets to see the token."""

from __future__ import annotations

import json
import stat
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .handing import IMAGE, desk
from .hub import APP_TOKEN, FILE, REPOSITORY, Bare, Hub, git
from .proposing import NEWER, OLD, TEXT, TITLE, TOKEN, Proposer, proposed, proposing


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Proposer]:
    with proposing(desk(tmp_path, monkeypatch, capsys)) as office:
        yield office


# --- what is opened, moved, and left alone


def test_a_pull_request_is_opened_on_top_of_the_base(office: Proposer) -> None:
    told = office.hand_over(way="http", OPENCLAW_VERSION="2026.1.2", IMAGE_REVISION="0123456789abcdef" * 2)
    assert told.code == 0, told.stderr
    proposed(office)
    [(_, path, sent)] = office.hub.calls("POST")
    assert path == f"/repos/{REPOSITORY}/pulls"
    assert (sent["head"], sent["base"], sent["title"]) == ("new-image", "main", TITLE)
    assert [word for word in (IMAGE, "2026.1.2", "0123456789abcdef" * 2, FILE) if word not in sent["body"]] == []
    link = f"{office.hub.url}/{REPOSITORY}/pull/1"
    assert f"Pull request #1 was opened: {link}\n" in told.stderr
    assert f"[{TITLE}]({link})" in told.summary


def test_what_is_not_known_is_not_in_its_text(office: Proposer) -> None:
    office.hand_over()
    [(_, _, sent)] = office.hub.calls("POST")
    assert "OpenClaw" not in sent["body"]
    assert "built from" not in sent["body"]


def test_the_commit_is_the_bots_and_no_ones_settings_matter(office: Proposer) -> None:
    (office.desk.folder / "home" / ".gitconfig").write_text(
        "[user]\nname = Somebody\n[commit]\ngpgsign = true\n[credential]\nhelper = store\n"
    )
    assert office.hand_over(way="http").code == 0
    who = office.bare.git("log", "-1", "--format=%an %ae %cn", "new-image")
    assert who == "github-actions[bot] 41898282+github-actions[bot]@users.noreply.github.com github-actions[bot]"
    assert office.bare.git("log", "-1", "--format=%s", "new-image") == TITLE
    assert not (office.desk.folder / "home" / ".git-credentials").exists()


def test_the_same_image_again_changes_nothing(office: Proposer) -> None:
    office.hand_over()
    before, asked = office.bare.tip("new-image"), len(office.hub.asked)
    told = office.hand_over(GIT_COMMITTER_DATE="1700000000 +0000")  # a commit of now would be another one
    assert told.code == 0
    assert "Nothing to do: pull request #1 has this image already" in told.stderr
    assert f"{office.hub.url}/{REPOSITORY}/pull/1" in told.summary
    assert office.bare.tip("new-image") == before
    assert len(office.hub.calls("POST", "PATCH")) == 1
    assert len(office.hub.asked) > asked


def test_a_newer_image_moves_the_open_one(office: Proposer) -> None:
    office.hand_over(way="http")
    told = office.hand_over(way="http", IMAGE=NEWER)
    assert told.code == 0, told.stderr
    proposed(office, NEWER)
    [pull] = office.hub.pulls
    assert pull["title"] == "New agent image sha-aaaaaaaaaaaa-17"
    assert NEWER in pull["body"]
    assert f"Pull request #1 was moved to this image: {pull['html_url']}" in told.stderr
    assert pull["html_url"] in told.summary


@pytest.mark.parametrize(
    "files", [{FILE: TEXT.format(OLD).replace("bots", "others")}, {}], ids=["changed", "as it was"]
)
def test_a_base_that_went_on_is_what_the_branch_stands_on(office: Proposer, files: dict[str, str]) -> None:
    office.hand_over()
    office.bare.commit("main", files)
    assert office.hand_over().code == 0
    proposed(office)
    assert len(office.hub.pulls) == 1


def test_commits_of_others_on_the_branch_are_not_handed_over(office: Proposer) -> None:
    office.hand_over()
    office.bare.commit("new-image", {"README.md": "somebody's\n"})
    assert office.hand_over().code == 0
    proposed(office)


def test_a_branch_without_a_pull_request_gets_one(office: Proposer) -> None:
    """As after a run whose pull request was refused, or whose was closed."""
    office.hand_over()
    office.hub.pulls[0]["state"] = "closed"
    assert office.hand_over().code == 0
    assert [one["state"] for one in office.hub.pulls] == ["closed", "open"]


def test_a_title_that_stayed_behind_is_put_right(office: Proposer) -> None:
    """As after a run that ended between its push and its last request."""
    office.hand_over()
    office.hub.pulls[0]["title"] = "New agent image of last week"
    assert office.hand_over().code == 0
    assert [one["title"] for one in office.hub.pulls] == [TITLE]


@pytest.mark.parametrize(
    ("base", "home"), [("main", "fork/agents"), ("next", REPOSITORY)], ids=["of a fork", "to another base"]
)
def test_a_pull_request_that_is_not_ours_is_left(office: Proposer, base: str, home: str) -> None:
    foreign = dict(office.hub.open("Another", "", "new-image", base, home))
    assert office.hand_over().code == 0
    assert office.hub.pulls[0] == foreign
    assert len(office.hub.calls("POST")) == 1


def test_a_base_that_has_the_image_needs_nothing(office: Proposer) -> None:
    office.bare.commit("main", {FILE: TEXT.format(IMAGE)})
    told = office.hand_over()
    assert told.code == 0
    assert "Nothing to do: main has this image already" in told.stderr
    assert "main has this image already" in told.summary
    assert office.bare.branches() == ["main"]
    assert office.hub.calls("POST", "PATCH") == []


def test_names_may_be_others(office: Proposer) -> None:
    office.bare.commit("next", {"other.yml": f"agent_image: {OLD}\n"})
    told = office.run("--file", "other.yml", "--branch", "image/next", "--base", "next")
    assert told.code == 0, told.stderr
    assert office.bare.git("show", "image/next:other.yml") == f"agent_image: {IMAGE}"
    [(_, _, sent)] = office.hub.calls("POST")
    assert (sent["head"], sent["base"]) == ("image/next", "next")


def test_git_may_have_another_address(office: Proposer) -> None:
    told = office.run("--remote", str(office.bare.folder))
    assert told.code == 0, told.stderr
    proposed(office)
    assert [path for _, path, _, _ in office.hub.asked if "/api/v3/" not in path] == []


def test_the_checkout_stays_as_it_is(office: Proposer, tmp_path: Path) -> None:
    """With work in it that nobody committed."""
    checkout = tmp_path / "checkout"
    git(tmp_path, "clone", "--quiet", str(office.bare.folder), str(checkout))
    (checkout / "README.md").write_text("in the middle of something\n")
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}
    assert office.run(cwd=checkout).code == 0
    proposed(office)
    assert {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [], "what was made for it is gone"


# --- the token


def test_the_token_is_nowhere(office: Proposer) -> None:
    """At each call of Git, its arguments and every file of its repository are looked at, and the server repeats it."""
    seen = office.desk.folder / "seen"
    arguments = office.shim("git", f'grep -rqs -e "$HANDOVER_GIT_TOKEN" "$2" && echo "$*" >>{seen}')
    office.bare.hook("pre-receive", f"echo 'remote says {TOKEN}'; exit 1")
    told = office.run()
    assert told.code == 1
    assert "remote says ***" in told.stderr
    assert TOKEN not in told.everything
    words = arguments.read_text()
    assert "push" in words.splitlines(), "Git was called"
    assert TOKEN not in words
    assert not seen.exists()
    assert [path for _, path, _, _ in office.hub.asked if TOKEN in path] == []


def test_the_token_goes_to_git_on_its_own_server_alone(office: Proposer, tmp_path: Path) -> None:
    other = Hub(Bare.made(tmp_path / "other", TEXT.format(OLD)), TOKEN)
    with other.listening():
        told = office.run("--remote", other.remote)
    assert told.code == 1
    assert other.asked != []
    assert [headers for _, _, headers, _ in other.asked if "Authorization" in headers] == []


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def written(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL  # as GitHub gives it
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def test_an_apps_token_is_made_for_this_repository_alone(office: Proposer, key: rsa.RSAPrivateKey) -> None:
    told = office.run(HANDOVER_TOKEN="", HANDOVER_APP_ID="123", HANDOVER_APP_KEY=written(key))
    assert told.code == 0, told.stderr
    proposed(office)
    assert len(office.hub.pulls) == 1
    signed, _, signature = office.hub.jwt.rpartition(".")
    key.public_key().verify(padded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    head, claims = (json.loads(padded(part)) for part in signed.split("."))
    assert head == {"alg": "RS256", "typ": "JWT"}
    assert claims["iss"] == "123"
    assert claims["exp"] - claims["iat"] <= 600


def padded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_an_apps_key_and_token_are_nowhere(office: Proposer, key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    mode = tmp_path / "mode"
    signing = office.shim(
        "openssl", f'for word in "$@"; do case $word in *.pem) stat -c %a "$word" >{mode};; esac; done'
    )
    arguments = office.shim("git", "")
    office.bare.hook("pre-receive", f"echo 'remote says {APP_TOKEN}'; exit 1")
    told = office.run(HANDOVER_TOKEN="", HANDOVER_APP_ID="123", HANDOVER_APP_KEY=written(key))
    assert told.code == 1
    assert "remote says ***" in told.stderr
    secret = written(key).splitlines()[3]
    for text in (told.everything, signing.read_text(), arguments.read_text()):
        assert [word for word in (secret, APP_TOKEN, office.hub.jwt) if word in text] == []
    assert stat.S_IMODE(int(mode.read_text(), 8)) == 0o600
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [], "the key's file is gone"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({"HANDOVER_TOKEN": TOKEN, "HANDOVER_APP_ID": "123", "HANDOVER_APP_KEY": "no key", "GITHUB_TOKEN": "x"}, TOKEN),
        ({"HANDOVER_TOKEN": "", "GITHUB_TOKEN": TOKEN}, TOKEN),
    ],
    ids=["a personal one before an App's", "the workflow's own where there is no other"],
)
def test_which_token_is_taken(office: Proposer, given: dict[str, str], used: str) -> None:
    assert office.hand_over(**given).code == 0
    sent = {headers["Authorization"] for _, path, headers, _ in office.hub.asked if "/api/v3/" in path}
    assert sent == {f"Bearer {used}"}


def test_the_programs_help_names_each_variable() -> None:
    from image_pipeline import tools

    shown = subprocess.run(
        [str(tools.CHECKOUT / "base/ci/handover"), "--help"], capture_output=True, text=True, check=True
    )
    names = "IMAGE AWX_URL AWX_TOKEN AWX_TEMPLATE GITHUB_REPOSITORY GITHUB_API_URL GITHUB_SERVER_URL GITHUB_TOKEN"
    names += " HANDOVER_TOKEN HANDOVER_APP_ID HANDOVER_APP_KEY OPENCLAW_VERSION IMAGE_REVISION"
    assert [name for name in names.split() if name not in shown.stdout] == []

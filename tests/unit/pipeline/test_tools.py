"""Programs that are run, outputs, failures; doctl's login; and a lock file that is made anew."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from image_pipeline import build, tools
from tests.sandbox.paths import CHECKOUT

LOGIN = CHECKOUT / "base/ci/login"


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_runners_user_makes_containers_by_sudo_which_is_told_what_to_hand_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    sudo, kept, *command = tools.as_root("buildah", "build", "base")
    assert (sudo, command) == ("sudo", ["buildah", "build", "base"])
    option, _, names = str(kept).partition("=")
    assert option == "--preserve-env"
    assert {"BUILDAH_ISOLATION", "CONTAINERS_STORAGE_CONF", "NPM_CONFIG_REGISTRY", "https_proxy"} <= {*names.split(",")}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert tools.as_root("buildah", "info") == ["buildah", "info"]


def test_an_output_is_one_line_for_the_workflow_and_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    tools.output(digest="sha256:0", changed="true")
    assert capsys.readouterr().out == (tmp_path / "output").read_text() == "digest=sha256:0\nchanged=true\n"
    with pytest.raises(ValueError, match="line break"):
        tools.output(image="one\nchanged=true")


def test_a_failure_is_told_in_two_lines_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))

    def story() -> None:
        raise tools.Failed("the server repeats tok-123", "use another than tok-123")

    assert tools.main("push", story, ["", "tok-123"]) == 1
    assert capsys.readouterr().err == "push: FAILED: the server repeats ***\n  next: use another than ***\n"
    assert "tok-123" not in (tmp_path / "summary").read_text()


def test_a_program_that_is_missing_fails_or_hangs_is_told() -> None:
    with pytest.raises(tools.Failed, match="no-such-program is not installed here"):
        tools.run("no-such-program")
    with pytest.raises(tools.ToolFailed, match="sh -c ended with 3: why") as told:
        tools.run("sh", "-c", "echo out; echo why >&2; exit 3")
    assert told.value.said == "why"
    with pytest.raises(tools.ToolFailed, match="not done within 0 s"):
        tools.run("sleep", "60", timeout=0.05)


@pytest.mark.parametrize(
    ("repository", "here"),
    [
        ("127.0.0.1:15000/team/name", True),
        ("localhost/team/name", True),
        ("127.0.0.1.example.com/team/name", False),
        ("registry.example.com/127.0.0.1/name", False),
        ("docker.io/library/node:22-bookworm", False),
    ],
)
def test_only_a_registry_on_this_machine_may_speak_plain_http(repository: str, here: bool) -> None:
    assert tools.is_here(repository) is here


def login(folder: Path, script: str, **settings: str) -> subprocess.CompletedProcess[str]:
    program(folder / "programs", "doctl", script)
    path = f"{folder / 'programs'}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), **settings}
    return subprocess.run([str(LOGIN)], env=environment, capture_output=True, text=True, timeout=60)


def test_the_login_lasts_an_hour_and_its_token_is_no_argument(tmp_path: Path) -> None:
    done = login(tmp_path, 'echo "$*" > "$HOME/arguments"', DIGITALOCEAN_ACCESS_TOKEN="dop_v1_secret")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "arguments").read_text() == "registry login --expiry-seconds=3600\n"
    assert "60 minutes" in done.stderr


def test_a_login_that_is_refused_is_told_without_the_token(tmp_path: Path) -> None:
    refused = login(
        tmp_path, 'echo "401: $DIGITALOCEAN_ACCESS_TOKEN" >&2; exit 1', DIGITALOCEAN_ACCESS_TOKEN="dop_v1_secret"
    )
    assert refused.returncode == 1
    assert "DigitalOcean gives no credential for the registry: 401: ***" in refused.stderr
    assert "next: Look at the secret DIGITALOCEAN_TOKEN" in refused.stderr
    missing = login(tmp_path, "exit 0")
    assert (missing.returncode, "DIGITALOCEAN_ACCESS_TOKEN is not set" in missing.stderr) == (1, True)


def test_other_versions_have_a_lock_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = tmp_path / "base"
    (context / "ci").mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM docker.io/library/node:22-bookworm\n")
    (context / "package-lock.json").write_text("{}")
    program(
        tmp_path / "programs", "npm", 'printf "%s\\n" "$@" > arguments; echo \'{"made": "anew"}\' > package-lock.json'
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}")
    versions = {"openclaw": "2026.1.1", "@google/gemini-cli": "0.1.0"}
    with build.context(build.Wanted(context, tmp_path / "image.tar", versions)) as copy:
        assert json.loads((copy / "package-lock.json").read_text()) == {"made": "anew"}
        words = (copy / "arguments").read_text().splitlines()
        assert {"install", "--package-lock-only", "openclaw@2026.1.1", "@google/gemini-cli@0.1.0"} <= {*words}
        assert (copy / "Dockerfile").is_file()
        assert not (copy / "ci").exists()
    assert (context / "package-lock.json").read_text() == "{}"
    with build.context(build.Wanted(context, tmp_path / "image.tar", {})) as same:
        assert same == context

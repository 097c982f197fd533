"""Runs a hand-over, within the test or as the program that it is, and keeps everything that it said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from image_pipeline import tools
from tests.sandbox.paths import CHECKOUT

DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"registry.example.com/team/agent:sha-0123456789ab@{DIGEST}"
#: What a runner's own environment may hold, and a test must not see.
_FOREIGN = ("AWX_", "HANDOVER_", "GITHUB_", "IMAGE", "OPENCLAW_", "GIT_", "SSL_CERT_")


@dataclass(frozen=True)
class Told:
    """output: the files that a workflow's step is handed for its outputs."""

    code: int
    stdout: str
    stderr: str
    summary: str
    output: str

    @property
    def everything(self) -> str:
        return "\n".join((self.stdout, self.stderr, self.summary, self.output))


@dataclass(frozen=True)
class Desk:
    """Where a hand-over is done: a folder, and an environment with nothing of this machine's own."""

    folder: Path
    environment: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def within(self, story: Callable[[], None], given: Mapping[str, str]) -> Told:
        """The story in this process, where its pace can be another one."""
        for name in list(os.environ):
            self.monkeypatch.delenv(name)
        for name, value in self._prepared(given).items():
            self.monkeypatch.setenv(name, value)
        self.capsys.readouterr()
        code = tools.main("handover", story)
        said = self.capsys.readouterr()
        return self._told(code, said.out, said.err)

    def run(self, *words: str, given: Mapping[str, str], cwd: Path | None = None) -> Told:
        """base/ci/handover as a workflow runs it."""
        done = subprocess.run(
            [sys.executable, str(CHECKOUT / "base" / "ci" / "handover"), *words],
            env=self._prepared(given),
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return self._told(done.returncode, done.stdout, done.stderr)

    def _prepared(self, given: Mapping[str, str]) -> dict[str, str]:
        files = {"GITHUB_STEP_SUMMARY": "summary", "GITHUB_OUTPUT": "output"}
        for name in files.values():
            (self.folder / name).write_text("")
        return {**self.environment, **{key: str(self.folder / name) for key, name in files.items()}, **given}

    def _told(self, code: int, stdout: str, stderr: str) -> Told:
        files = ((self.folder / name).read_text() for name in ("summary", "output"))
        return Told(code, stdout, stderr, *files)


def desk(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    own = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    home = folder / "home"
    home.mkdir()
    return Desk(folder, {**own, "HOME": str(home), "TMPDIR": str(home)}, monkeypatch, capsys)

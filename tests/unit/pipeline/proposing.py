"""Runs base/ci/handover pull-request against a small GitHub, with programs that note how they are called."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_pipeline import pull_request

from .handing import IMAGE, Desk, Told
from .hub import FILE, REPOSITORY, Bare, Hub

TOKEN = "github-token-71d0c95e3a"
OLD = "registry.example.com/team/agent:latest"
NEWER = f"registry.example.com/team/agent:sha-aaaaaaaaaaaa-17@sha256:{'f' * 64}"
TEXT = "---\n# The image of all.\nagent_namespace: bots\r\nagent_image: '{}'  # by digest\n\nagent_plugins:   [a]\n"
TITLE = "New agent image sha-0123456789ab"


@dataclass
class Proposer:
    desk: Desk
    hub: Hub

    @property
    def bare(self) -> Bare:
        return self.hub.bare

    def environment(self, given: dict[str, str]) -> dict[str, str]:
        known = {"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_API_URL": self.hub.api, "GITHUB_SERVER_URL": self.hub.url}
        return {"IMAGE": IMAGE, "HANDOVER_TOKEN": TOKEN, **known, **given}

    def hand_over(
        self, file: str = FILE, branch: str = "new-image", base: str = "main", way: str = "disk", **given: str
    ) -> Told:
        """In this process. way: of Git to the repository; `http` is a runner's, and `disk` is shorter."""

        def story() -> None:
            remote = "" if way == "http" else str(self.bare.folder)
            pull_request.hand_over(pull_request.order(file, branch, base, remote))

        return self.desk.within(story, self.environment(given))

    def run(self, *words: str, cwd: Path | None = None, **given: str) -> Told:
        """As a workflow runs it."""
        return self.desk.run("pull-request", *words, given=self.environment(given), cwd=cwd)

    def shim(self, program: str, before: str) -> Path:
        """A program of that name, first in PATH, which notes its arguments, does more, and is the real one ($REAL)."""
        folder, notes = self.desk.folder / "shims", self.desk.folder / f"{program}.arguments"
        folder.mkdir(exist_ok=True)
        lines = [
            "#!/bin/sh",
            f"REAL={shutil.which(program)}",
            f"""for word in "$@"; do printf '%s\\n' "$word" >>{notes}; done""",
            before,
            'exec "$REAL" "$@"',
        ]
        (folder / program).write_text("\n".join(lines))
        (folder / program).chmod(0o755)
        self.desk.environment["PATH"] = f"{folder}:{os.environ['PATH']}"
        return notes


@contextmanager
def proposing(desk: Desk) -> Iterator[Proposer]:
    hub = Hub(Bare.made(desk.folder / "hub", TEXT.format(OLD)), TOKEN)
    with hub.listening():
        yield Proposer(desk, hub)


def proposed(proposer: Proposer, image: str = IMAGE) -> None:
    """The branch is one commit on top of main's last one, and changes the image alone."""
    bare = proposer.bare
    assert bare.git("rev-list", "--parents", "-1", "new-image").split() == [bare.tip("new-image"), bare.tip("main")]
    assert bare.git("diff", "--name-only", "main", "new-image") == FILE
    assert bare.text("new-image") == bare.text("main").replace(OLD, image)

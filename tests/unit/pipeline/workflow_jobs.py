# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small workflows for tests of what runs them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from tests.workflow.event import Event
from tests.workflow.run import Run, Runner

#: run_jobs() with its folder and its repository.
Go: TypeAlias = Callable[..., Run]


def make_repository(place: Path) -> Path:
    """Two commits on main, the first tagged v1; a branch `topic` with one more."""

    def git(*words: str) -> None:
        identity = ["-c", "user.name=Mona", "-c", "user.email=mona@example.invalid", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(place), *identity, *words], check=True, capture_output=True)

    git("init", "-b", "main")
    for name, after in (
        ("first", ["tag", "v1"]),
        ("second", ["checkout", "-b", "topic"]),
        ("third", ["checkout", "main"]),
    ):
        (place / name).write_text(f"{name}\n")
        git("add", ".")
        git("commit", "-m", name)
        git(*after)
    return place


def run_jobs(
    folder: Path, repository: Path, jobs: str, event: Event | None = None, *, top: str = "", **settings: Any
) -> Run:
    """Runs jobs that are given as YAML, on a push to main unless something else is said. `top`: a line above them."""
    lines = [line for line in jobs.splitlines() if line.strip()]
    indent = len(lines[0]) - len(lines[0].lstrip())
    on = "on: {push: , pull_request: , workflow_dispatch: {inputs: {dry: {type: boolean}}}}"
    workflow = folder / "workflow.yml"
    workflow.write_text("\n".join([on, top, "jobs:", *("  " + line[indent:] for line in lines)]) + "\n")
    for name in ("variables", "secrets", "actions"):
        settings.setdefault(name, {})
    return Runner(workflow, repository, event or Event.push(), folder=folder / "run", **settings).run()

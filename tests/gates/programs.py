"""Dockerfiles and shell scripts, as hadolint and shellcheck read them."""

from __future__ import annotations

from tests.sandbox.paths import CHECKOUT

from . import tree
from .gate import run

DOCKERFILES = ("base/Dockerfile", "tests/sandbox/testgateway/Dockerfile")
_SHELLS = ("sh", "bash", "dash", "ksh")


def interpreter(first_line: str) -> str:
    """The name of the program that a file's first line hands the file to; empty where it names none."""
    if not first_line.startswith("#!"):
        return ""
    words = [word for word in first_line.removeprefix("#!").split() if not word.startswith("-")]
    if words and words[0].endswith("/env"):
        words = [word for word in words[1:] if "=" not in word]
    return words[0].rpartition("/")[2] if words else ""


def _first_line(name: str) -> str:
    path = CHECKOUT / name
    if path.is_symlink():
        return ""
    with path.open("rb") as file:
        return file.readline(200).decode(errors="replace").strip()


def scripts(*interpreters: str) -> list[str]:
    """The files of the checkout, as Git has them or would, that one of these programs runs."""
    return [name for name in tree.files() if interpreter(_first_line(name)) in interpreters]


def python_scripts() -> list[str]:
    """Python that no suffix tells as such."""
    return [name for name in scripts("python", "python3") if not name.endswith(".py")]


def docker() -> str:
    """Also the shell of their RUN lines; an ignore stands at its line, with its reason."""
    run("hadolint", "--no-color", *DOCKERFILES)
    return f"{len(DOCKERFILES)} Dockerfiles"


def shell() -> str:
    found = scripts(*_SHELLS)
    run("shellcheck", "--color=never", "--external-sources", *found)
    return f"{len(found)} scripts"

"""The form of the code: ruff, mypy, ansible-lint."""

from __future__ import annotations

from pathlib import Path

from tests.sandbox.paths import CHECKOUT

from .gate import environment, last_line, run, scratch

#: Folders with Python of ours, where they exist.
PYTHON_FOLDERS = ("plugins", "tests", "base")


def ruff() -> str:
    run("ruff", "format", "--check", "--output-format", "concise", ".")
    return last_line(run("ruff", "check", "--output-format", "concise", "."))


def mypy() -> str:
    """The collection under its full name, so that its imports of itself are seen; the tests from the root."""
    root = scratch("mypy-root")
    link = root / "ansible_collections" / "digitalsys" / "agents"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.readlink() != CHECKOUT:
        link.unlink(missing_ok=True)
        link.symlink_to(CHECKOUT)
    env = environment(MYPYPATH=str(root))
    plugins: list[str | Path] = [link / "plugins"] if any((CHECKOUT / "plugins").rglob("*.py")) else []
    return last_line(run("mypy", *plugins, "tests", env=env))


def ansible_lint() -> str:
    """Offline, with the production profile (.ansible-lint), over the files that Git does not ignore."""
    env = environment(ANSIBLE_HOME=str(scratch("lint-home")))
    return last_line(run("ansible-lint", "--offline", "--profile", "production", env=env))

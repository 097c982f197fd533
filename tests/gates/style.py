"""The form of the code: ruff, mypy, ansible-lint."""

from __future__ import annotations

from pathlib import Path

from tests.sandbox.paths import CHECKOUT

from .gate import environment, last_line, run, scratch
from .programs import python_scripts

#: The image's pipeline: its package is imported from here, by its scripts and by the tests.
PIPELINE = CHECKOUT / "base" / "ci"
#: Has the name of a script of the pipeline, and mypy knows a module by its name: ruff alone reads it.
_OF_AN_IMAGE = "base/smoke"


def ruff() -> str:
    run("ruff", "format", "--check", "--output-format", "concise", ".")
    return last_line(run("ruff", "check", "--output-format", "concise", "."))


def mypy() -> str:
    """The collection under its full name, so that its imports of itself are seen; the tests from the root; the pipeline
    and the scripts without a suffix, each under its own name.
    """
    root = scratch("mypy-root")
    link = root / "ansible_collections" / "digitalsys" / "agents"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.readlink() != CHECKOUT:
        link.unlink(missing_ok=True)
        link.symlink_to(CHECKOUT)
    env = environment(MYPYPATH=f"{root}:{PIPELINE}")
    plugins: list[str | Path] = [link / "plugins"] if any((CHECKOUT / "plugins").rglob("*.py")) else []
    scripts = [name for name in python_scripts() if name != _OF_AN_IMAGE]
    return last_line(
        run("mypy", "--scripts-are-modules", *plugins, "tests", PIPELINE / "image_pipeline", *scripts, env=env)
    )


def ansible_lint() -> str:
    """Offline, with the production profile (.ansible-lint), over the files that Git does not ignore."""
    env = environment(ANSIBLE_HOME=str(scratch("lint-home")))
    return last_line(run("ansible-lint", "--offline", "--profile", "production", env=env))

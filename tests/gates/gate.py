"""What a gate is: a function that returns a short remark, or raises GateFailed with what a person must read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.sandbox.paths import CACHE, CHECKOUT

#: The environment that this process runs in, whatever PATH says.
BIN = Path(sys.prefix) / "bin"
SITE_PACKAGES = next(Path(sys.prefix).glob("lib/python3.*/site-packages"))


class GateFailed(Exception):
    """The gate is shut; the text is the tool's own output."""


class NotRun(Exception):
    """The machine lacks what the gate needs; the text says what. Not a failure."""


@dataclass(frozen=True)
class Gate:
    name: str
    what: str
    look: Callable[[], str]


def environment(**more: str) -> dict[str, str]:
    """The caller's environment without what would make a tool look at another cluster, inventory or collection."""
    foreign = ("ANSIBLE_", "AGENTS_", "K8S_AUTH_", "VAULT_", "MOLECULE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign) and name != "KUBECONFIG"}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept.get('PATH', '')}", "NO_COLOR": "1", **more}


def run(*command: str | Path, cwd: Path = CHECKOUT, env: Mapping[str, str] | None = None) -> str:
    """The output (both streams, in order) of a program of our environment; GateFailed when it ends with an error."""
    words = [str(word) for word in command]
    program = BIN / words[0]
    if program.is_file():
        words[0] = str(program)
    done = subprocess.run(
        words,
        cwd=cwd,
        env=dict(env or environment()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise GateFailed(f"$ {' '.join(words)}   (exit {done.returncode})\n{done.stdout.rstrip()}")
    return done.stdout


def last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def scratch(name: str) -> Path:
    """A folder in the cache that a gate may keep from run to run."""
    folder = CACHE / "gates" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder

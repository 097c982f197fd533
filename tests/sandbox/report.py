"""What is known of the running sandbox: whose it is, how its parts are, where its logs are."""

from __future__ import annotations

import json

from . import parts, process, vault
from .errors import SandboxError
from .paths import ENVIRONMENT, LOGS, OWNER


def owner(what: str = "checkout") -> str:
    """The checkout (or "cache") that the run folder belongs to; empty when it is nobody's."""
    try:
        found: str = json.loads(OWNER.read_text())[what]
        return found
    except (OSError, ValueError, KeyError):
        return ""


def healthy() -> bool:
    """Whether a sandbox was brought up completely and all of its parts are ready."""
    if not ENVIRONMENT.exists():
        return False
    known = parts.all_parts()
    running = {found.name for found in process.recorded() if process.alive(found)}
    return running >= set(known) and all(part.ready() for part in known.values()) and not vault.sealed()


def status() -> int:
    """Prints a table of the parts; 0 when all run, 1 when one is dead or the sandbox is not up."""
    if not OWNER.exists():
        print("sandbox: is not up")
        return 1
    print(f"sandbox of {owner()}; logs in {LOGS}")
    dead = 0
    for name, part in parts.all_parts().items():
        found = process.find(name)
        if found is None:
            state, pid = "not started", "-"
        elif not process.alive(found):
            state, pid = "dead", str(found.pid)
        else:
            state, pid = ("ready" if part.ready() else "running, not ready"), str(found.pid)
        dead += state in ("dead", "not started")
        print(f"  {name:<24} {pid:>8}  {state}")
    return 1 if dead else 0


def logs(lines: int) -> None:
    """Prints where the logs are, and the end of each."""
    if not LOGS.is_dir():
        raise SandboxError("no sandbox is up, and no logs are left")
    for path in sorted(LOGS.glob("*.log")):
        print(f"== {path} ({path.stat().st_size} bytes)")
        print(process.log_tail(path.stem, lines))

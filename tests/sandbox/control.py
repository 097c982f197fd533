"""For tests: stop and start single parts of the running sandbox, seal its Vault, make images crash on fake nodes."""

from __future__ import annotations

from collections.abc import Iterable

from . import build, kwok, parts, process, vault
from .errors import SandboxError


def _part(name: str) -> parts.Part:
    known = parts.all_parts()
    if name not in known:
        raise SandboxError(f"no part {name}; there are {', '.join(known)}")
    return known[name]


def stop_part(name: str) -> None:
    """Stops a part and waits for its end. Nothing happens when it does not run."""
    part = _part(name)
    if running := process.find(name):
        process.stop(running, part.grace)


def start_part(name: str, seconds: float = 60.0) -> None:
    """Starts a stopped part and waits until it is ready (Vault: unsealed)."""
    if name == "kwok":
        kwok.release_nodes()
    parts.start(_part(name), seconds)
    if name == "vault":
        vault.unseal()


def restart_part(name: str, seconds: float = 60.0) -> None:
    """Stops and starts a part; returns when it is ready again."""
    stop_part(name)
    start_part(name, seconds)


def part_runs(name: str) -> bool:
    """Whether a part's process is alive."""
    running = process.find(_part(name).name)
    return running is not None and process.alive(running)


def seal_vault() -> None:
    """Seals Vault; it answers 503 from then on."""
    vault.seal()


def unseal_vault() -> None:
    """Unseals Vault and waits until it serves."""
    vault.unseal()


def crash_digests(digests: Iterable[str]) -> None:
    """From now on new pods on fake nodes whose image has one of these digests go into a crash loop; others do not.

    An empty list ends it. Pods that run already stay as they are.
    """
    stop_part("kwok")
    kwok.write_stages(parts.built(build.KWOK_STAGES), digests)
    start_part("kwok")

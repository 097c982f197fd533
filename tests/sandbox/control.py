"""For tests: stop and start single parts of the running sandbox, seal its Vault, make images crash on fake nodes.

In a cell (cells.py) `vault` and `external-secrets` are the cell's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

from . import build, cells, kwok, parts, process, vault
from .errors import SandboxError


def _part(name: str) -> parts.Part:
    here = cells.current()
    known = {**parts.all_parts(), **(here.own_parts() if here else {})}
    if name not in known:
        raise SandboxError(f"no part {name}; there are {', '.join(known)}")
    return known[name]


def stop_part(name: str) -> None:
    """Stops a part and waits for its end. Nothing happens when it does not run."""
    _stop(_part(name))


def start_part(name: str, seconds: float = 60.0) -> None:
    """Starts a stopped part and waits until it is ready (Vault: unsealed)."""
    if name == "kwok":
        kwok.release_nodes()
    parts.start(_part(name), seconds)
    if name == "vault":
        unseal_vault()


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
    vault.seal(_vault())


def unseal_vault() -> None:
    """Unseals Vault and waits until it serves."""
    vault.unseal(_vault())


def _stop(part: parts.Part) -> None:
    if running := process.find(part.name):
        process.stop(running, part.grace)


def _cell() -> cells.Cell:
    if here := cells.current():
        return here
    raise SandboxError("this process is at home in no cell: tests.sandbox.cells")


def _vault() -> vault.Server:
    here = cells.current()
    return here.vault if here else vault.FLEETS


@contextmanager
def _beside(part: parts.Part) -> Iterator[parts.Part]:
    """A part of a test's own: ready inside, gone afterwards."""
    try:
        parts.start(part)
        yield part
    finally:
        _stop(part)


@contextmanager
def another_api_server() -> Iterator[tuple[parts.Part, str]]:
    """(part, address) of one at the sandbox's etcd, which can be killed under nobody else: `killed`."""
    part, address = _cell().api_server()
    with _beside(part):
        yield part, address


@contextmanager
def killed(part: parts.Part) -> Iterator[None]:
    """A part of a test's own is dead inside, and ready again afterwards.

    At once: a server that is asked to stop goes on answering for a while.
    """
    if running := process.find(part.name):
        process.stop(running, grace=0)
    yield
    parts.start(part)


@contextmanager
def secrets_operator_in(namespace: str) -> Iterator[None]:
    """An ESO for another namespace than the cell's. Outside the sandbox there is one for all."""
    here = cells.current()
    with _beside(here.operator_in(namespace)) if here else nullcontext():
        yield


def crash_digests(digests: Iterable[str]) -> None:
    """From now on new pods on fake nodes whose image has one of these digests go into a crash loop; others do not.

    An empty list ends it. Pods that run already stay as they are.
    """
    stop_part("kwok")
    kwok.write_stages(parts.built(build.KWOK_STAGES), digests)
    start_part("kwok")

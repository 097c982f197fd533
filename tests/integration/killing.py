"""SIGKILL of a whole run at a moment of our choice, and the same command once more: what every matrix of kills does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tests.integration.fleet import Fleet
from tests.integration.writes import SHORT_LOCK, came, of_agent, servers
from tests.sandbox.kill import AfterWrite, run_and_kill
from tests.sandbox.paths import CHECKOUT
from tests.sandbox.proxy import proxied
from tests.sandbox.proxy.journal import When

FULL = os.environ.get("AGENTS_TEST_FULL") == "1"
_SIDES: tuple[When, When] = ("before", "after")
#: So many agents of a matrix are there at a time: the probes of more real pods would keep two cores busy.
_TOGETHER = 12


@dataclass(frozen=True)
class Kill:
    """One agent's kill: the scenario that it happens in, words for the moment, the moment (seconds or a write)."""

    scenario: str
    what: str
    when: AfterWrite | float
    agent: str = ""


OfKill = TypeVar("OfKill", bound=Kill)
Item = TypeVar("Item")


@dataclass
class Fates:
    """What went wrong, in words; and how many were really killed."""

    wrong: list[str] = field(default_factory=list)
    struck: int = 0

    def add(self, other: Fates) -> None:
        self.wrong += other.wrong
        self.struck += other.struck


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Of a matrix, in order, of about one size: no agent is left over for a batch of its own."""
    count = -(-len(items) // _TOGETHER)
    for number in range(count):
        yield items[number * len(items) // count : (number + 1) * len(items) // count]


def named(kills: Iterable[OfKill], prefix: str) -> list[OfKill]:
    """Each with an agent of its own."""
    out = []
    for number, kill in enumerate(kills):
        agent, when = f"{prefix}-{number}", kill.when
        if isinstance(when, AfterWrite):
            when = of_agent(when, agent)
        out.append(replace(kill, agent=agent, when=when))
    return out


def both_sides(place: AfterWrite, number: int) -> Iterator[AfterWrite]:
    """The kill before and after the answer is passed on; only one of them, in turns, where time is short."""
    for side in _SIDES if FULL else (_SIDES[number % 2],):
        yield replace(place, when=side)


def kill_and_go_on(
    kill: Kill, fleet: Fleet, folder: Path, playbook: str, *words: str, code: int = 0
) -> tuple[bool, list[str]]:
    """(whether it was killed, what was wrong). `code` is what the command ends with when nobody kills it. Everything of
    this kill stays in `folder`, temporary files included."""
    wrong, temporary = [], folder / "tmp"
    temporary.mkdir()
    through_folder = folder / "proxy"
    through_folder.mkdir()
    words = ("-e", f"agent={kill.agent}", *words)
    with proxied(through_folder) as through:
        changed = {**servers(through), **SHORT_LOCK, "TMPDIR": str(temporary)}
        environment = fleet.environment(**changed)
        end = run_and_kill(fleet.command(playbook, *words), environment, CHECKOUT, kill.when, through.proxy)
        missed = isinstance(kill.when, AfterWrite) and came(kill.when, through.proxy.writes())
        if not end.killed and (missed or end.returncode != code):
            wrong.append(f"was not killed, but ended with {end.returncode}:\n{end.output[-1500:]}")
        wrong += [f"survived: {process.command}" for process in end.survivors]
        wrong += [f"left behind: {path.name}" for path in key_files(temporary)]
        if end.killed:
            assert end.mark
            wrong += [f"followed the kill: {request}" for request in through.proxy.requests_since(end.mark)]
        again = fleet.play(playbook, *words, env=changed)
    if again.rc != code:
        wrong.append(f"the same command ended with {again.rc}:\n{again.output[-2500:]}")
    return end.killed, wrong


def key_files(folder: Path) -> list[Path]:
    """Files with a key or a certificate in them, and any other file of ours: a kubeconfig's parts."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if b"-----BEGIN" in path.read_bytes() or path.parent.name.startswith("agents-")]

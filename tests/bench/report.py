"""What was measured, as tables for people: seconds, ratios of this one run, and the aims."""

from __future__ import annotations

import math
import os
import statistics
from dataclasses import dataclass, field

from ansible_collections.digitalsys.agents.plugins.filter.waves import LATER

from .agents import STABILITY
from .bare import REPEATS, Beside
from .ways import AGENT, EACH, KUBECTL, LIST, ROLLOUT

_WAYS = (ROLLOUT, AGENT, EACH, LIST, KUBECTL)
_LETTERS = {ROLLOUT: "a", EACH: "b", LIST: "c", KUBECTL: "d"}
#: ansible.cfg
_FORKS = 25
#: How many agents the aims are for.
_AIMED = 100


def load() -> str:
    one, five, _fifteen = os.getloadavg()
    return f"{one:.1f} (five minutes: {five:.1f})"


@dataclass
class Figures:
    """Seconds by way's name and count; requests as (to the API server, renewals of locks left out, these, to Vault):
    how often a lock is renewed is for the machine's speed to say. late in seconds, least first."""

    counts: list[int]
    before: str
    first: dict[tuple[str, int], float] = field(default_factory=dict)
    idle: dict[tuple[str, int], float] = field(default_factory=dict)
    requests: dict[tuple[str, int, str], tuple[int, int, int]] = field(default_factory=dict)
    late: dict[int, list[float]] = field(default_factory=dict)
    bare: Beside | None = None


def windows(count: int, forks: int = _FORKS) -> int:
    """How many stability windows one after the other a first rollout of so many waits for: one for each of the
    waves, more where a wave is larger than the forks."""
    waves, left = [], count
    shares = [int(wave.rstrip("%")) / 100 for wave in LATER]
    for size in (1, *(math.floor(count * share) or 1 for share in shares)):
        waves.append(min(size, left))
        left -= waves[-1]
    return sum(math.ceil(wave / forks) for wave in waves)


def _table(title: str, seconds: dict[tuple[str, int], float], counts: list[int]) -> None:
    print(f"\n{title:44}" + "".join(f"{count:>8} agents  x (d)" for count in counts))
    for way in _WAYS:
        cells = ""
        for count in counts:
            taken, best = seconds.get((way.name, count)), seconds.get((KUBECTL.name, count))
            cells += f"{taken:13.2f} s {taken / best:6.2f}" if taken and best else f"{'not run':>15} {'':6}"
        letter = f"({_LETTERS[way]}) " if way in _LETTERS else "    "
        print(f"  {letter}{way.name:38}{cells}")


def _aim(words: str, found: float | None, limit: float, *, at_least: bool = False) -> None:
    if found is None:
        print(f"  {words}: not run")
        return
    reached = found >= limit if at_least else found <= limit
    limits = f"at {'least' if at_least else 'most'} {limit:g}"
    print(f"  {words}: {found:.2f} (aim: {limits}) {'ok' if reached else 'MISSED'}")


def _without_windows(figures: Figures, count: int) -> float | None:
    """Seconds of a first rollout less those that it watches new pods: the other ways watch none."""
    whole = figures.first.get((ROLLOUT.name, count))
    return whole - windows(count) * STABILITY if whole else None


def _ratio(seconds: dict[tuple[str, int], float], one: str, other: str, count: int) -> float | None:
    first, second = seconds.get((one, count)), seconds.get((other, count))
    return first / second if first and second else None


def show(figures: Figures) -> None:
    counts = figures.counts
    print(f"\n{os.cpu_count()} processors; load before {figures.before}, after {load()}")
    for way in _WAYS:
        letter = f"({_LETTERS[way]})" if way in _LETTERS else "   "
        print(f"  {letter} {way.name:12} {way.what}")
    _table("Nothing to do (ansible's start included)", figures.idle, counts)
    _table("The first time", figures.first, counts)
    for count in counts:
        if left := _without_windows(figures, count):
            print(f"  (a) for {count} without its {windows(count)} stability windows of {STABILITY} s: {left:.2f} s")
    if beside := figures.bare:
        print(
            f"\nNothing to do, for one agent: {beside.cpu_ratio:.2f} x a bare playbook\n"
            f"  processor {beside.cpu[0]:.2f} s beside {beside.cpu[1]:.2f} s: {beside.cpu_ratio:.2f} x\n"
            f"  wall      {beside.wall[0]:.2f} s beside {beside.wall[1]:.2f} s: {beside.wall_ratio:.2f} x\n"
            f"  medians of {REPEATS} runs each, in turns"
        )
    print("\nRequests of one run, to the API server + to Vault")
    for (name, count, kind), (api, renewals, vault) in figures.requests.items():
        what = "the first time" if kind == "first" else "nothing to do"
        more = f", and {renewals} renewals of locks" if renewals else ""
        print(f"  {name:12} {count:4} agents, {what:15} {api:6} + {vault}{more}")
    print('\n"Done" told later than the status that proves it')
    for count, late in figures.late.items():
        if late:
            median, worst = statistics.median(late) * 1000, late[-1] * 1000
            print(f"  {count:4} agents: median {median:.0f} ms, worst {worst:.0f} ms, of {len(late)}")
    print("\nAims")
    _aim("one agent, nothing to do, x a bare playbook", figures.bare.cpu_ratio if figures.bare else None, 1.3)
    _aim(f"{_AIMED} agents, nothing to do, (a) / (d)", _ratio(figures.idle, ROLLOUT.name, KUBECTL.name, _AIMED), 1.25)
    _aim(
        f"{_AIMED} agents, nothing to do, (b) / (a)",
        _ratio(figures.idle, EACH.name, ROLLOUT.name, _AIMED),
        60,
        at_least=True,
    )
    _aim(f"{_AIMED} agents, the first time, agent / (d)", _ratio(figures.first, AGENT.name, KUBECTL.name, _AIMED), 2)
    left, best = _without_windows(figures, _AIMED), figures.first.get((KUBECTL.name, _AIMED))
    _aim(f"{_AIMED} agents, the first time without windows, (a) / (d)", left / best if left and best else None, 3)
    asked = figures.requests.get((ROLLOUT.name, _AIMED, "first"))
    _aim(f"{_AIMED} agents, the first time, API requests for each", asked[0] / _AIMED if asked else None, 30)
    for count, late in figures.late.items():
        if late:
            _aim(f"{count} agents, median lateness in ms", statistics.median(late) * 1000, 100)

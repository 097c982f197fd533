"""Trials G1: of two runs one loses its network in the middle of a write, for 10 to 60 seconds, and the other takes its
lock over meanwhile. Of the two exactly one has written after that.

AGENTS_TEST_FULL=1 (make test-crash) does so at each write, before it arrives and after.
"""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.failing import error_of
from tests.integration.fleet import KWOK, Fleet
from tests.integration.killing import FULL
from tests.integration.writes import (
    AT_ONCE,
    LEASE,
    PATIENT,
    SHORT_LOCK,
    alone,
    fences,
    lease,
    meet,
    of_agent,
    places,
    record_good,
    roll_all,
    servers,
)
from tests.sandbox.kill import AfterWrite
from tests.sandbox.paths import CHECKOUT
from tests.sandbox.proxy import ALWAYS, Armed, Match, Request, Rule, Through, lose_answer, proxied, reset

Make = Callable[..., Fleet]
#: Seconds that the network is away, in turns: longer than the lock of these runs.
OUTAGES = (12, 30, 60) if FULL else (12,)
#: Of the writes, where time is short.
EACH = 1 if FULL else 7


@dataclass(frozen=True)
class Case:
    """fault: what the write itself meets, with which the outage begins."""

    agent: str
    words: str
    is_update: bool
    place: AfterWrite
    fault: Callable[[Match], Rule]
    seconds: int


def cases(good: Fleet, agent: str, folder: Path) -> list[Case]:
    found = list[tuple[str, bool, AfterWrite, Callable[[Match], Rule]]]()
    for is_update in (False, True):
        good.variables["agent_env"] = {"MARK": str(is_update)}
        for words, place in places(record_good(good, agent, folder / str(is_update))):
            found += [(words, is_update, place, fault) for fault in (reset, lose_answer)]
    outages = itertools.cycle(OUTAGES)
    return [
        Case(f"dois-{number}", words, is_update, of_agent(place, f"dois-{number}"), fault, next(outages))
        for number, (words, is_update, place, fault) in enumerate(found[::EACH])
    ]


def answered_writes(through: Through) -> list[Request]:
    return [one for one in through.proxy.writes() if one.status and one.status < 300]


def two_runs(case: Case, fleet: Fleet, folder: Path) -> list[str]:
    """What is wrong."""
    agent, armed = case.agent, list[Armed]()
    runs = {name: alone(fleet, agent, folder / name) for name in ("first", "second")}
    for name, run in runs.items():
        run.variables["agent_env"] = {"MARK": name}
    for name in ("through", "behind"):
        (folder / name).mkdir()
    with (
        proxied(folder / "through") as first,
        proxied(folder / "behind") as second,
        (folder / "output").open("w+") as output,
    ):
        meet(case.fault, case.place, first.proxy, armed)
        own = runs["first"]
        cut = subprocess.Popen(
            own.command("rollout.yml", "-e", f"agent={agent}"), cwd=CHECKOUT, stdin=subprocess.DEVNULL,
            env=own.environment(**servers(first), **SHORT_LOCK), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while not armed and cut.poll() is None:
                time.sleep(0.05)
            armed[0].wait_fired(timeout=120)
            outage = first.proxy.add(reset(ALWAYS))
            timer = threading.Timer(case.seconds, first.proxy.remove, [outage])
            timer.start()
            other = runs["second"].rollout(agent, env={**servers(second), **SHORT_LOCK})
            timer.join()
            cut.wait(300)
        finally:
            cut.kill()
            cut.wait()
        said = (folder / "output").read_text()[-1500:]
        after = answered_writes(second)
        if other.rc:
            # The network was back before the other one could be sure.
            is_refused = error_of(other, agent)["kind"] == "locked" and not after and cut.returncode == 0
            return [] if is_refused else [f"both failed: {other.output[-1500:]}\n{said}"]
        of_lock = [one.time for one in after if LEASE in one.path]
        late = [one for one in answered_writes(first) if one.time > of_lock[0]]
    last = "second"
    if late and LEASE in late[0].path and late[0].time > of_lock[-1]:
        # It had no lock yet, or none any more, and came for one when the other was done.
        late, last = [], "first"
    wrong = [f"wrote after the lock was taken over: {one}" for one in late]
    fence = str(lease(agent)["spec"]["leaseTransitions"])
    if last == "second":
        others = {kind: one for kind, one in fences(agent).items() if one not in ("", fence)}
        wrong += [f"{kind} has the fence {one} of {fence}" for kind, one in others.items()]
    if "Traceback" in said or "internal error" in said or (last == "first" and cut.returncode):
        wrong.append(said)
    again = runs[last].rollout(agent)
    if again.rc or again.changed(agent):
        wrong.append(f"it is not as the {last} one left it: {again.output[-1500:]}")
    return wrong


@pytest.mark.usefixtures("fake_nodes")
def test_of_two_clients_only_the_one_that_took_over_has_written(make_fleet: Make, tmp_path: Path) -> None:
    bare = {**PATIENT, **KWOK}
    all_of_them = cases(make_fleet("dois", variables=bare), "dois", tmp_path)
    fleet = make_fleet(*(case.agent for case in all_of_them), variables=bare)
    roll_all(fleet, [case.agent for case in all_of_them if case.is_update], tmp_path / "before")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda case: two_runs(case, fleet, tmp_path / case.agent), all_of_them)
        wrong = [
            f"{case.agent}, update {case.is_update}, {case.words}, {case.fault.__name__}, {case.seconds} s: {words}"
            for case, those in zip(all_of_them, found, strict=True)
            for words in those
        ]
    print(f"{len(all_of_them)} outages")
    assert not wrong, "\n".join(wrong)

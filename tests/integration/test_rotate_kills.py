"""SIGKILL and lost answers in the middle of a rotation: the same command finishes it, or undoes it.

The moments are made from recorded runs, after each of their writes, to the cluster and to Vault: a new step cannot be
forgotten. Where time is short a few of them are drawn (AGENTS_TEST_SEED repeats the draw); AGENTS_TEST_FULL=1 (make
test-crash) strikes before and after each answer, under the lock of a dead run, and while a rotation is taken back by
hand too.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.disturbing import KEYS, killed_after_its_promotion
from tests.integration.fleet import KWOK, Fleet, Object, gateway, pods
from tests.integration.killing import FULL, Fates, Kill, batches, both_sides, kill_and_go_on, named
from tests.integration.podwatch import PodWatch
from tests.integration.rotating import OVERRIDE, TOKEN, bring, journal, secret, stamp, values_left, vault_version
from tests.integration.writes import (
    AT_ONCE,
    PATIENT,
    Record,
    alone,
    came,
    holder,
    leave_a_lock,
    of_agent,
    places,
    record,
    roll_all,
    running_image,
    servers,
)
from tests.sandbox.kill import AfterWrite
from tests.sandbox.proxy import lose_answer, proxied
from tests.sandbox.proxy.rules import Match

Make = Callable[..., Fleet]
#: More than of rollouts: most of the time is spent on waiting for a dead run's lock.
_AT_ONCE = AT_ONCE + 2
SEED = int(os.environ.get("AGENTS_TEST_SEED") or random.SystemRandom().randrange(10**6))
#: How places() calls the one write to the live path.
_PROMOTION = "PATCH data agents, 1"


@dataclass(frozen=True)
class Scenario:
    """A rotation from its start: the words it is called with, what it ends with, and how often its pod may be new.

    good: a generated token. back: a value that the gateway refuses, brought by the inbox. abort: a promoted one that is
    taken back by hand. dead: good, under the lock of a dead run.
    """

    name: str
    words: tuple[str, ...]
    code: int
    phase: str
    pods: int

    def prepare(self, fleet: Fleet, agent: str, folder: Path) -> None:
        """The state that the command meets."""
        if self.name == "back":
            bring(agent, **{OVERRIDE: "another-token-than-vault-says"})
        if self.name == "dead":
            leave_a_lock(agent)
        if self.name == "abort":
            killed_after_its_promotion(fleet, folder)


GOOD = Scenario("good", KEYS, 0, "finished", 2)
BACK = Scenario("back", ("-e", f"keys={OVERRIDE}"), 2, "rolled_back", 3)
DEAD = replace(GOOD, name="dead")
ABORT = Scenario("abort", ("-e", "abort=true"), 0, "rolled_back", 3)


def not_ended(scenario: Scenario, agent: str, old: dict[str, str], version: int, *, fake: bool) -> list[str]:
    """What is not as after an undisturbed run; read by other means."""
    wrong, now, told = [], _live(agent), journal(agent)
    token = now.get(TOKEN, "")
    if found := holder(agent):
        wrong.append(f"the lock is held by {found}")
    if told.get("phase") != scenario.phase:
        wrong.append(f"the journal says {told.get('phase')}")
    if left := values_left(agent):
        wrong.append(f"new values are left in {left}")
    if secret(agent) != now:
        wrong.append("the Secret is not what Vault has")
    if scenario.phase == "finished":
        if {**old, TOKEN: token} != now or token == old[TOKEN]:
            wrong.append("other keys than the named one were changed")
        if vault_version(agent) != version + 1:
            wrong.append(f"{vault_version(agent) - version} values were promoted")
        if stamp(agent) != str(version + 1):
            wrong.append(f"the pod is stamped {stamp(agent)}")
    elif now != old:
        wrong.append("the old values are not back")
    there = pods(agent)
    if len(there) != 1 or there[0]["metadata"].get("deletionTimestamp"):
        wrong.append(f"{len(there)} pods")
    elif not fake:
        if (status := gateway(agent, token)) != 200:
            wrong.append(f"its gateway answers {status} to the token that stands in Vault")
        if token != old[TOKEN] and (status := gateway(agent, old[TOKEN])) != 401:
            wrong.append(f"its gateway answers {status} to the old token")
    return wrong


def _live(agent: str) -> dict[str, str]:
    return Fleet(Path(), [agent]).values(agent)


Struck = Callable[[Fleet, Path], tuple[bool, list[str]]]


def run_matrix(
    make_fleet: Make, scenario: Scenario, struck: dict[str, tuple[str, Struck]], folder: Path, **rest: Any
) -> Fates:
    """Each agent rolled out, rotated while it is struck, looked at, removed; several at a time.

    struck: agent -> words, and what strikes it: (fleet, folder) -> whether it did, what was wrong.
    """
    fates = Fates()
    for agents in batches(list(struck)):
        fates.add(_run_batch(make_fleet, scenario, {agent: struck[agent] for agent in agents}, folder, **rest))
    return fates


def _run_batch(
    make_fleet: Make, scenario: Scenario, struck: dict[str, tuple[str, Struck]], folder: Path, **rest: Any
) -> Fates:
    fake = "host_variables" in rest
    fleet, fates = make_fleet(*struck, **rest), Fates()
    roll_all(fleet, list(struck), folder / f"started-{next(iter(struck))}")

    def one(agent: str) -> tuple[str, bool, list[str]]:
        single = alone(fleet, agent, folder / agent / "fleet")
        old, version = single.values(agent), vault_version(agent)
        scenario.prepare(single, agent, folder / agent / "prepared")
        did, wrong = struck[agent][1](single, folder / agent)
        return agent, did, wrong + not_ended(scenario, agent, old, version, fake=fake)

    with PodWatch() as watch, ThreadPoolExecutor(_AT_ONCE) as pool:
        for agent, did, wrong in pool.map(one, struck):
            fates.struck += did
            fates.wrong += [f"{agent}, {struck[agent][0]}: {words}" for words in wrong]
    for agent, (words, _strike) in struck.items():
        if not 1 <= len(watch.seen[agent]) <= scenario.pods:
            fates.wrong.append(f"{agent}, {words}: pods {watch.names(agent)}")
        together = [names for names in watch.together if names[0].rpartition("-")[0].rpartition("-")[0] == agent]
        fates.wrong += [f"{agent}, {words}: two pods at a time: {', '.join(names)}" for names in together]
    fleet.remove()
    return fates


def kills_of(scenario: Scenario, run: Record, prefix: str) -> dict[str, tuple[str, Struck]]:
    found = list(places(run))
    if scenario is BACK and not FULL:
        # Up to the restart it is what a good one is.
        found = found[next(at for at, (words, _place) in enumerate(found) if "deployments" in words) :]
    kills = named(
        (
            Kill(scenario.name, f"{scenario.name}: {when.when} the answer to {words}", when)
            for number, (words, place) in enumerate(found)
            for when in both_sides(place, number)
        ),
        prefix,
    )

    def strike(kill: Kill) -> Struck:
        assert isinstance(kill.when, AfterWrite)
        words = scenario.words
        if scenario is not ABORT and (kill.when.start or kill.when.when == "after"):
            # Once its lock is released it is over, and the same words ask for another one unless they name it. A kill
            # after an answer may come when more has been done than that.
            words = (*words, "-e", "rotation_id=named")
        return lambda fleet, folder: kill_and_go_on(
            kill, fleet, folder, "playbooks/rotate.yml", *words, code=scenario.code
        )

    return {kill.agent: (kill.what, strike(kill)) for kill in kills}


def losses_of(scenario: Scenario, run: Record, prefix: str) -> dict[str, tuple[str, Struck]]:
    """The answer of each write is lost; the run itself must come to its end. The lock's own are test_lock's."""

    def strike(agent: str, place: AfterWrite) -> Struck:
        def lost(fleet: Fleet, folder: Path) -> tuple[bool, list[str]]:
            through_folder = folder / "proxy"
            through_folder.mkdir()
            with proxied(through_folder) as through:
                armed = through.proxy.add(lose_answer(Match(writes_only=True, path=place.path, first=place.n)))
                words = ("-e", f"agent={agent}", *scenario.words)
                end = fleet.play("playbooks/rotate.yml", *words, env=servers(through))
                there = came(place, through.proxy.writes())
            wrong = [] if armed.fired == there else ["no answer was lost"]
            if end.rc != scenario.code:
                wrong.append(f"ended with {end.rc}:\n{end.output[-2500:]}")
            return bool(armed.fired), wrong

        return lost

    found = [(words, place) for words, place in places(run) if place.path and not place.start]
    return {
        f"{prefix}-{number}": (
            f"{scenario.name}: the answer to {words} is lost",
            strike(f"{prefix}-{number}", of_agent(place, f"{prefix}-{number}")),
        )
        for number, (words, place) in enumerate(found)
    }


Records = dict[Scenario, Record]


def recorded(make_fleet: Make, folder: Path, scenarios: Sequence[Scenario]) -> tuple[Records, Object]:
    """The undisturbed runs that the moments are made from, and the variables of agents like theirs."""
    agent = "giro-boa"
    fleet, found = make_fleet(agent, variables=PATIENT), {}
    fleet.rollout(agent).ok()
    for scenario in scenarios:
        old, version = fleet.values(agent), vault_version(agent)
        scenario.prepare(fleet, agent, folder / f"prepared-{scenario.name}")
        found[scenario] = record(
            fleet, agent, folder / scenario.name, "playbooks/rotate.yml", *scenario.words, code=scenario.code
        )
        assert not not_ended(scenario, agent, old, version, fake=False)
    return found, {**PATIENT, "agent_image": running_image(agent)}


def drawn(matrix: dict[str, tuple[str, Struck]], number: int) -> dict[str, tuple[str, Struck]]:
    """All of it; or so many where time is short, the promotion always among them."""
    print(f"AGENTS_TEST_SEED={SEED}")
    if FULL:
        return matrix
    rest = [agent for agent, (words, _strike) in matrix.items() if _PROMOTION not in words]
    chosen = {*(matrix.keys() - rest), *random.Random(SEED).sample(rest, number - 1)}
    return {agent: struck for agent, struck in matrix.items() if agent in chosen}


def nodes(scenario: Scenario, agents: Iterable[str]) -> Object:
    """Fake ones for what ends well, where time is short: the probes of so many real pods keep two cores busy. What a
    value does to a pod that runs it is seen on the way back."""
    return {} if FULL or scenario is BACK else {"host_variables": dict.fromkeys(agents, KWOK)}


def require_order(good: Record) -> None:
    """I3, I5: kept before anything else changes; no restart before the promotion, whose proof the pod's stamp is."""
    writes = [write.path for write in good.writes]
    kept, promoted, restarted = (
        next(at for at, path in enumerate(writes) if part in path)
        for part in ("/data/agents-rotation/", "/data/agents/", "/deployments/")
    )
    assert all("/leases" in path for path in writes[:kept])
    assert kept < promoted < restarted


@pytest.mark.usefixtures("fake_nodes")
def test_killed_after_each_write_it_is_finished_or_undone_by_the_same_command(
    make_fleet: Make, tmp_path: Path, needs: Callable[..., None]
) -> None:
    """I2, I6, I8: one new value however often it is begun, never two pods, nothing half."""
    needs("kubelet", "processes")
    runs, variables = recorded(make_fleet, tmp_path, (GOOD, BACK, *((ABORT, DEAD) if FULL else ())))
    require_order(runs[GOOD])
    wrong = []
    for scenario, run in runs.items():
        begun, matrix = time.monotonic(), drawn(kills_of(scenario, run, f"giro-{scenario.name}"), 4)
        folder = tmp_path / f"kills-{scenario.name}"
        folder.mkdir()
        fates = run_matrix(make_fleet, scenario, matrix, folder, variables=variables, **nodes(scenario, matrix))
        print(
            f"{scenario.name}: {fates.struck} of {len(matrix)} killed, in {time.monotonic() - begun:.0f} s", flush=True
        )
        wrong += fates.wrong
        # ESO may have brought values before it was asked to.
        if fates.struck < len(matrix) - 2:
            wrong.append(f"{scenario.name}: only {fates.struck} of {len(matrix)} were killed")
    assert not wrong, f"AGENTS_TEST_SEED={SEED}\n" + "\n".join(wrong)


@pytest.mark.usefixtures("fake_nodes")
def test_the_answer_of_each_write_is_lost(make_fleet: Make, tmp_path: Path) -> None:
    runs, variables = recorded(make_fleet, tmp_path, (GOOD, BACK, ABORT, DEAD) if FULL else (GOOD,))
    wrong = []
    for scenario, run in runs.items():
        matrix = drawn(losses_of(scenario, run, f"giro-perdida-{scenario.name}"), 4)
        folder = tmp_path / f"losses-{scenario.name}"
        folder.mkdir()
        fates = run_matrix(make_fleet, scenario, matrix, folder, variables=variables, **nodes(scenario, matrix))
        print(f"{scenario.name}: {fates.struck} of {len(matrix)} answers lost", flush=True)
        wrong += fates.wrong
        if fates.struck < len(matrix) - 2:
            wrong.append(f"{scenario.name}: only {fates.struck} of {len(matrix)} answers were lost")
    assert not wrong, "\n".join(wrong)

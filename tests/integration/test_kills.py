"""SIGKILL in the middle of a rollout: nothing follows it, and the same command goes on from wherever it struck.

The kills are made from a recorded good run: after each of its writes (a new one cannot be forgotten), and at ten
seeded moments. AGENTS_TEST_SEED repeats the moments of a run. AGENTS_TEST_FULL=1 (make test-crash) kills before and
after each answer is passed on, and during the take-over of a dead run's lock too.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.fleet import KWOK, Fleet, Object, gateway, get, pods, until, versions
from tests.integration.killing import FULL, Fates, Kill, batches, both_sides, key_files, kill_and_go_on, named
from tests.integration.podwatch import PodWatch
from tests.integration.writes import (
    AT_ONCE,
    PATIENT,
    Record,
    alone,
    holder,
    leave_a_lock,
    new_values,
    places,
    record_good,
    releases,
    roll_all,
    running_image,
)
from tests.sandbox.kill import MARKER, AfterWrite, processes_with_env_marker
from tests.sandbox.paths import CHECKOUT

Make = Callable[..., Fleet]
SEED = int(os.environ.get("AGENTS_TEST_SEED") or random.SystemRandom().randrange(10**6))
MOMENTS = 10
#: Of a recorded run: it was slower than those that follow where it had to share the machine with more.
LATEST = 0.5
#: Its pod ignores SIGTERM: whatever is killed leaves it running for so many seconds.
SLOW = {"agent_env": {"TESTGATEWAY_IGNORE_SIGTERM": "1"}, "agent_grace_seconds": 12}


@dataclass(frozen=True)
class Rolled(Kill):
    """`scenario` is the state it starts from: first (nothing), update (a new secret), dead (the same under the lock of
    a dead run), slow (the same where the pod takes its whole grace to end)."""

    @property
    def fake(self) -> bool:
        """On a node of KWOK: the probes of so many real pods would keep two cores busy. What a kill can do to a pod
        that runs is seen on the kubelet all the same, by the writes of an update."""
        return not FULL and (self.scenario == "first" or not isinstance(self.when, AfterWrite))

    @property
    def variables(self) -> Object:
        """Of its host."""
        return {**(KWOK if self.fake else {}), **(SLOW if self.scenario == "slow" else {})}


def not_converged(agent: str, fleet: Fleet, *, fake: bool = False) -> list[str]:
    """What is not as after a good run, read by other means."""
    wrong = []
    if found := holder(agent):
        wrong.append(f"the lock is held by {found}")
    there = pods(agent)
    if len(there) != 1 or there[0]["metadata"].get("deletionTimestamp"):
        wrong.append(f"{len(there)} pods")
    elif not fake and (status := gateway(agent, fleet.values(agent)["OPENCLAW_GATEWAY_TOKEN"])) != 200:
        wrong.append(f"its gateway answers {status} to the token that stands in Vault")
    if not releases(agent):
        wrong.append("no release is recorded")
    return wrong


def run_kills(make_fleet: Make, kills: list[Rolled], image: str, folder: Path) -> Fates:
    """All of them, several at a time."""
    fates = Fates()
    for batch in batches(kills):
        fates.add(_run_batch(make_fleet, list(batch), image, folder))
    return fates


def _run_batch(make_fleet: Make, kills: list[Rolled], image: str, folder: Path) -> Fates:
    """Then once more the same command for all at once, which has nothing to do."""
    agents = [kill.agent for kill in kills]
    started = {kill.agent for kill in kills if kill.scenario != "first"}
    own: dict[str, Object] = {kill.agent: kill.variables for kill in kills}
    fleet = make_fleet(*agents, variables={**PATIENT, "agent_image": image}, host_variables=own, canaries=agents)
    fates = Fates()

    def one(kill: Rolled) -> tuple[Rolled, bool, list[str]]:
        place = folder / kill.agent
        single = alone(fleet, kill.agent, place / "fleet")
        if kill.agent in started:
            new_values(single, kill.agent)
        if kill.scenario == "dead":
            leave_a_lock(kill.agent)
        struck, wrong = kill_and_go_on(kill, single, place, "rollout.yml")
        return kill, struck, wrong + not_converged(kill.agent, single, fake=kill.fake)

    with PodWatch() as watch:
        if started:
            roll_all(fleet, sorted(started), folder / f"started-{agents[0]}")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for kill, struck, wrong in pool.map(one, kills):
                fates.struck += struck
                fates.wrong += [f"{kill.agent}, {kill.what}: {words}" for words in wrong]
        before = versions(*agents)
        again = fleet.rollout()
        if again.rc or f"nothing to do for {len(agents)} of" not in again.output:
            fates.wrong.append(f"the run after it found something to do:\n{again.output[-2500:]}")
        fates.wrong += [
            f"written without need: {name}"
            for name, version in versions(*agents).items()
            if before.get(name) != version
        ]
    # The watch itself must have seen them all, else it proves nothing.
    fates.wrong += [f"{agent}: no pod was seen" for agent in agents if not watch.seen[agent]]
    fates.wrong += [
        f"two pods at a time: {', '.join(names)}"
        for names in watch.together
        if names[0].rpartition("-")[0].rpartition("-")[0] in agents
    ]
    fleet.remove()
    return fates


@pytest.fixture
def records(make_fleet: Make, tmp_path: Path) -> dict[str, Record]:
    """The good runs that the kills are made from, by scenario."""
    fleet, found = make_fleet("morte-boa", variables=PATIENT), {}
    for scenario in ("first", "update", *(("dead",) if FULL else ())):
        if scenario != "first":
            new_values(fleet, "morte-boa")
        if scenario == "dead":
            leave_a_lock("morte-boa")
        found[scenario] = record_good(fleet, "morte-boa", tmp_path / f"record-{scenario}")
    slow = make_fleet("morte-lenta", variables={**PATIENT, **SLOW})
    slow.rollout("morte-lenta").ok()
    new_values(slow, "morte-lenta")
    found["slow"] = record_good(slow, "morte-lenta", tmp_path / "record-slow")
    return found


def places_of(scenario: str, record: Record) -> list[tuple[str, AfterWrite]]:
    """Up to the Deployment a slow agent's run is what any other's is: there it is killed where time is not short."""
    found = list(places(record))
    if scenario == "slow" and not FULL:
        found = found[next(at for at, (words, _place) in enumerate(found) if "deployments" in words) :]
    return found


@pytest.mark.usefixtures("fake_nodes")
def test_killed_after_each_write_and_at_ten_moments(
    make_fleet: Make, records: dict[str, Record], tmp_path: Path, needs: Callable[..., None]
) -> None:
    needs("kubelet", "processes")
    kills = [
        Rolled(scenario, f"{scenario}: {when.when} the answer to {words}", when)
        for scenario, record in records.items()
        for number, (words, place) in enumerate(places_of(scenario, record))
        for when in both_sides(place, number)
    ]
    chance = random.Random(SEED)
    for number in range(MOMENTS):
        scenario = ("first", "update")[number % 2]
        seconds = round(chance.uniform(0.5, LATEST * records[scenario].seconds), 3)
        kills.append(Rolled(scenario, f"{scenario}: after {seconds} s (AGENTS_TEST_SEED={SEED})", seconds))
    print(f"{len(kills)} kills, AGENTS_TEST_SEED={SEED}")
    begun = time.monotonic()
    fates = run_kills(make_fleet, named(kills, "morte"), running_image("morte-boa"), tmp_path)
    print(f"{fates.struck} of {len(kills)} were killed, in {time.monotonic() - begun:.0f} s")
    assert not fates.wrong, f"AGENTS_TEST_SEED={SEED}\n" + "\n".join(fates.wrong)
    # A moment may lie after the end of a run that was quicker than the recorded one, and ESO be quicker than a request.
    assert fates.struck >= len(kills) - MOMENTS // 2


def test_no_key_of_an_inline_kubeconfig_is_left(make_fleet: Make, tmp_path: Path, needs: Callable[..., None]) -> None:
    """The administrator's kubeconfig has certificate and key in it; so it goes to the API server itself."""
    needs("admin", "processes")
    agent, kubeconfig, marker = "morte-chave", os.environ["AGENTS_SANDBOX_ADMIN_KUBECONFIG"], uuid.uuid4().hex
    assert "client-key-data" in Path(kubeconfig).read_text()
    fleet = make_fleet(agent, variables=PATIENT)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = fleet.environment(KUBECONFIG=kubeconfig, TMPDIR=str(temporary))
    command = fleet.command("rollout.yml", "-e", f"agent={agent}")
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env={**environment, MARKER: marker}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until(lambda: get("deployment", agent), "the Deployment", 60)
        assert list(temporary.glob("agents-*")), "the run keeps its files elsewhere"
        assert not key_files(temporary), "a kill at this moment would leave a key"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    until(lambda: not processes_with_env_marker(marker), "nothing of it lives on", 5)
    assert not key_files(temporary)
    fleet.rollout(agent, env={"KUBECONFIG": kubeconfig, "TMPDIR": str(temporary)}).ok()
    assert not key_files(temporary)
    assert not not_converged(agent, fleet)

"""A renewal of a SecretID that is killed, loses answers, meets an ESO that cannot log in, or is thought dead: the same
words go on, and no SecretID is left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.integration.failing import error_of
from tests.integration.fleet import NAMESPACE, Fleet, kubectl, until, versions
from tests.integration.killing import Kill, both_sides, kill_and_go_on, named
from tests.integration.renewing import (
    DESTROY,
    MAKE,
    PLAYBOOK,
    a_persons,
    access,
    alive,
    connect,
    logs_in,
    not_renewed,
    order,
    ready,
    renew,
)
from tests.integration.writes import AT_ONCE, PATIENT, alone, holder, places, record, servers
from tests.sandbox.kill import AfterWrite
from tests.sandbox.proxy import API, Match, Through, hold, lose_answer

Make = Callable[..., Fleet]


def test_killed_after_each_write_it_goes_on(make_fleet: Make, tmp_path: Path, needs: Callable[..., None]) -> None:
    needs("processes")
    first = "renova-boa"
    fleet = make_fleet(first, variables=PATIENT)
    connect(first)
    good = record(fleet, first, tmp_path / "record", PLAYBOOK)
    found = list(places(good))
    for what in (MAKE, "/secrets/", "/secretstores/", "/externalsecrets/", DESTROY):
        assert any(Match(path=what).covers("", "", write.path, True) for write in good.writes), what
    kills = [
        Kill("renewal", f"{when.when} the answer to {words}", when)
        for number, (words, place) in enumerate(found)
        for when in both_sides(place, number)
    ]
    kills = [_of_its_own(kill, first) for kill in named(kills, "renova-morte")]
    agents = [kill.agent for kill in kills]
    together = make_fleet(*agents, variables=PATIENT)
    for agent in agents:
        connect(agent)

    def one(kill: Kill) -> tuple[bool, list[str]]:
        before, single = access(kill.agent), alone(together, kill.agent, tmp_path / kill.agent / "fleet")
        person = a_persons(kill.agent)
        struck, wrong = kill_and_go_on(kill, single, tmp_path / kill.agent, PLAYBOOK)
        wrong += not_renewed(kill.agent, before)
        if set(alive(kill.agent)) != {person, access(kill.agent)["secret-id-accessor"]}:
            wrong.append(f"alive: {alive(kill.agent)}")
        return struck, [f"{kill.agent}, {kill.what}: {words}" for words in wrong]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = list(pool.map(one, kills))
    wrong = [words for _struck, each in ends for words in each]
    assert not wrong, "\n".join(wrong)
    assert all(struck for struck, _wrong in ends)


def _of_its_own(kill: Kill, recorded: str) -> Kill:
    """The recorded place in the run of another agent: in Vault's paths stands its role."""
    assert isinstance(kill.when, AfterWrite)
    plain = kill.when.path.replace("\\", "")
    return replace(kill, when=replace(kill.when, path=plain.replace(f"/{recorded}-role", f"/{kill.agent}-role")))


def test_lost_answers_leave_no_secret_id_behind(make_fleet: Make, proxy: Through) -> None:
    agent = "renova-perdida"
    fleet = make_fleet(agent, variables=PATIENT)
    connect(agent)
    before = access(agent)
    proxy.proxy.add(lose_answer(Match(path=MAKE, methods={"POST"})))
    lost = renew(fleet, agent, env=servers(proxy)).failed("did not answer POST", "Run the same command again")
    assert not lost.results[agent]["changed"]
    assert access(agent) == before
    assert len(alive(agent)) == 2
    assert not holder(agent)
    for path in ("/secrets/", "/secretstores/", "/externalsecrets/", DESTROY):
        proxy.proxy.add(lose_answer(Match(path=path, writes_only=True)))
    renew(fleet, agent, env=servers(proxy)).ok()
    assert not not_renewed(agent, before)
    assert len(alive(agent)) == 1


def test_what_cannot_be_proved_destroys_nothing_and_goes_on_later(make_fleet: Make, proxy: Through) -> None:
    agent = "renova-prova"
    fleet = make_fleet(agent, variables={**PATIENT, "agent_sync_timeout": 3})
    connect(agent)
    before = access(agent)
    elsewhere = {"spec": {"provider": {"vault": {"server": "http://127.0.0.1:9"}}}}
    here = {"spec": {"provider": {"vault": {"server": os.environ["VAULT_ADDR"]}}}}
    store = ("patch", "secretstore", f"{agent}-vault", "-n", NAMESPACE, "--type=merge", "-p")
    kubectl(*store, json.dumps(elsewhere))
    until(lambda: ready(agent, "secretstore", "vault") == "False", "ESO finds that nothing answers there", 60)
    failed = renew(fleet, agent, env=servers(proxy)).failed(
        "did not sync with the new SecretID within 3 s",
        f"SecretStore {agent}-vault is not ready since",
        "No SecretID was destroyed.",
        "run the same command again: it goes on",
    )
    assert error_of(failed, agent)["kind"] == "secret"
    assert failed.results[agent]["changed"]
    made = access(agent)
    assert made["previous-secret-id-accessor"] == before["secret-id-accessor"]
    assert logs_in(before)
    assert logs_in(made)
    assert not holder(agent)

    # Mended, the same words go on with what was made, and make no third one.
    kubectl(*store, json.dumps(here))
    mark = proxy.proxy.mark()
    fleet.variables["agent_sync_timeout"] = 60
    renew(fleet, agent, "-e", "rotation_id=r2", env=servers(proxy)).ok()
    assert "make" not in order(proxy.proxy.requests(mark))
    assert access(agent)["secret-id"] == made["secret-id"]
    assert access(agent)["secret-id-renewed"] == "r2"
    assert not not_renewed(agent, before)


def test_a_run_that_was_thought_dead_writes_nothing_over_the_next_ones(make_fleet: Make, proxy: Through) -> None:
    agent = "renova-zumbi"
    fleet = make_fleet(agent, variables=PATIENT)
    connect(agent)
    before = access(agent)
    at_the_secret = proxy.proxy.add(hold(Match(path="/secrets/", writes_only=True, times=None)))
    with ThreadPoolExecutor(1) as pool:
        zombie = pool.submit(renew, alone(fleet, agent, fleet.folder / "zombie"), agent, env=servers(proxy))
        at_the_secret.wait_fired(timeout=60)
        # It stands still from here on, its lock with it; until another run has taken over and is done.
        lease = proxy.proxy.add(hold(Match(front=API, path="/leases/", times=None)))
        renew(fleet, agent).ok()
        after, written = access(agent), versions(agent)
        proxy.proxy.remove(lease)
        at_the_secret.release()
        end = zombie.result()
    # By the fence that its write met, or, where that took longer than a request may, by the lock that it asked again.
    end.failed("taken over")
    assert error_of(end, agent)["kind"] == "lock_lost"
    assert access(agent) == after
    assert versions(agent) == written
    assert logs_in(after)
    assert not logs_in(before)
    # The one that it had made was known to nobody, and is gone with the old one.
    assert len(alive(agent)) == 1

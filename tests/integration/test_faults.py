"""What a network and an API server do to a rollout: it ends well, and does nothing twice.

AGENTS_TEST_SEED repeats the storm of a run.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.integration.fleet import KWOK, NAMESPACE, Fleet, Object, kubectl
from tests.integration.podwatch import PodWatch
from tests.integration.writes import (
    AT_ONCE,
    PATIENT,
    alone,
    came,
    holder,
    meet,
    new_values,
    of_agent,
    places,
    record_good,
    releases,
    roll_all,
    servers,
)
from tests.sandbox import control
from tests.sandbox.kill import AfterWrite
from tests.sandbox.paths import write_secret
from tests.sandbox.proxy import Armed, Match, Through, answer, lose_answer, proxied, reset, storm

Make = Callable[..., Fleet]
SEED = int(os.environ.get("AGENTS_TEST_SEED") or random.SystemRandom().randrange(10**6))


def not_well(agent: str, watch: PodWatch, rollouts: int) -> list[str]:
    """What is not as after so many good rollouts with a new pod each; read by other means, pods over the whole time."""
    text = kubectl("get", "replicasets", "-n", NAMESPACE, "-l", f"app.kubernetes.io/instance={agent}", "-o", "json")
    sets = [one["metadata"]["name"] for one in json.loads(text)["items"]]
    wrong = []
    if len(sets) != rollouts:
        wrong.append(f"ReplicaSets: {sets}")
    if len(watch.names(agent)) != rollouts:
        wrong.append(f"pods: {watch.names(agent)}")
    if releases(agent) != [f"r{number}" for number in range(1, rollouts + 1)]:
        wrong.append(f"releases: {releases(agent)}")
    if found := holder(agent):
        wrong.append(f"the lock is held by {found}")
    return wrong + [f"at a time: {names}" for names in watch.together if names[0].startswith(f"{agent}-")]


def test_a_storm_of_refusals_and_resets(make_fleet: Make, proxy: Through) -> None:
    fleet, agent = make_fleet("rede-tempestade", variables=PATIENT), "rede-tempestade"
    print(f"AGENTS_TEST_SEED={SEED}")
    weather = [answer(429, retry_after="1"), answer(503), answer(503, retry_after="1"), reset(), lose_answer()]
    api = proxy.proxy.add(storm(weather, 0.25, SEED, Match(front="api", times=None)))
    # Vault's health is asked once and must be known at once; what is read after it is asked for again.
    vault = proxy.proxy.add(storm(weather, 0.25, SEED, Match(front="vault", path="/v1/kv/", times=None)))
    with PodWatch() as watch:
        run = fleet.rollout(agent, env=servers(proxy))
        assert run.rc == 0, f"AGENTS_TEST_SEED={SEED}\n{run.output}"
    print(f"{api.fired + vault.fired} of {api.matched + vault.matched} requests met a fault; {run.seconds:.0f} s")
    assert api.fired > 5
    assert "trying again" in run.output
    assert not not_well(agent, watch, rollouts=1), f"AGENTS_TEST_SEED={SEED}"


@pytest.mark.usefixtures("fake_nodes")
def test_the_answer_of_each_write_is_lost(make_fleet: Make, tmp_path: Path) -> None:
    good = make_fleet("rede-boa", variables=PATIENT)
    lost: dict[str, tuple[str, AfterWrite, int]] = {}
    count: dict[str, int] = {}
    for rollouts, scenario in ((1, "first"), (2, "update")):
        if scenario == "update":
            new_values(good, "rede-boa")
        for words, place in places(record_good(good, "rede-boa", tmp_path / scenario)):
            agent = f"rede-perdida-{len(lost)}"
            lost[agent] = f"{scenario}: {words}", of_agent(place, agent), rollouts
    # First rollouts on fake nodes: the probes of so many real pods would keep two cores busy.
    fake: dict[str, Object] = {agent: KWOK for agent, (_words, _place, rollouts) in lost.items() if rollouts == 1}
    fleet = make_fleet(*lost, variables=PATIENT, host_variables=fake)
    updated = [agent for agent, (_words, _place, rollouts) in lost.items() if rollouts == 2]

    def one(agent: str) -> list[str]:
        own = alone(fleet, agent, tmp_path / agent)
        through_folder, armed = tmp_path / agent / "proxy", list[Armed]()
        through_folder.mkdir()
        if agent in updated:
            new_values(own, agent)
        with proxied(through_folder) as through:
            meet(lose_answer, lost[agent][1], through.proxy, armed)
            run = own.rollout(agent, env=servers(through))
            there = came(lost[agent][1], through.proxy.writes())
        fired = sum(rule.fired for rule in armed)
        wrong = [] if fired == there else ["no answer was lost"]
        count[agent] = fired
        return wrong + ([f"failed:\n{run.output[-2500:]}"] if run.rc else [])

    with PodWatch() as watch:
        roll_all(fleet, updated, tmp_path / "before")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wrong = [
                f"{agent}, {lost[agent][0]}: {words}"
                for agent, found in zip(lost, pool.map(one, lost), strict=True)
                for words in found
            ]
    for agent, (words, _place, rollouts) in lost.items():
        wrong += [f"{agent}, {words}: {found}" for found in not_well(agent, watch, rollouts)]
    print(f"{sum(count.values())} lost answers")
    assert not wrong, "\n".join(wrong)
    assert sum(count.values()) >= len(lost) - 1, "only the request to sync may have been unneeded"


def _operator_at(address: str, folder: Path) -> dict[str, str]:
    """The environment in which the operator speaks to this API server."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["clusters"][0]["cluster"]["server"] = address
    kubeconfig = folder / "operator.kubeconfig"
    write_secret(kubeconfig, yaml.safe_dump(config))
    return {**os.environ, "KUBECONFIG": str(kubeconfig)}


def test_the_api_server_restarts_in_the_middle(make_fleet: Make, tmp_path: Path, needs: Callable[..., None]) -> None:
    """The one that the rollout speaks to; controllers and kubelet have another at the same etcd."""
    needs("processes")
    fleet, agent = make_fleet("rede-reinicio", variables=PATIENT), "rede-reinicio"
    restarted = threading.Event()
    with (
        control.another_api_server() as (server, address),
        proxied(tmp_path, _operator_at(address, tmp_path)) as through,
    ):

        def restart() -> None:
            wait_for = through.proxy.wait_for
            wait_for(lambda request: "/deployments" in request.path and request.status == 201, timeout=90)
            with control.killed(server):
                wait_for(lambda request: request.fault == "no answer from upstream", timeout=90)
            restarted.set()

        thread = threading.Thread(target=restart)
        with PodWatch() as watch:
            thread.start()
            run = fleet.rollout(agent, env=servers(through))
            thread.join()
        run.ok()
        assert restarted.is_set(), run.output
    assert not not_well(agent, watch, rollouts=1)

"""A release that does not run: its first cause is named soon and shortly, and the last good one runs again.

All agents fail in one run of the role, four at a time and each in its own way: most of it is waiting.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.integration.failing import assert_came_back, error_of, message_of, seconds_until_back
from tests.integration.fleet import REGISTRY, TESTGATEWAY, Fleet, Object, Run, get
from tests.integration.unpullable import broken_image, refusing_registry
from tests.sandbox.existing import Existing
from tests.sandbox.proxy.clients import Through

#: From the end of the bad pod to the write that goes back, by the cluster's clock, all agents at once on a machine with
#: other work. What this tells apart is the timeout (agent_timeout, 240) and the kubelet's waits before a new try.
SOON = 20


@dataclass(frozen=True)
class Case:
    """How an agent is made to fail, and what its failure must say."""

    variables: Object
    cause: str
    words: tuple[str, ...]
    ends: bool = True


CASES = {
    "falha-config": Case(
        {"agent_image": f"{TESTGATEWAY}:exit78"},
        "configuration", ("(exit 78)", '  |   - agents.defaults: Unrecognized key: "modell"'),
    ),
    "falha-dono": Case(
        {"agent_env": {"TESTGATEWAY_EXIT": 78, "TESTGATEWAY_EXIT_REASON": "owned"}},
        "configuration", ("ended 2 times", "exit code 78", "  | [gateway] Gateway failed to start: gateway already"),
    ),
    "falha-laco": Case(
        {"agent_command": ["sh", "-c"], "agent_args": ['echo "token: $OPENCLAW_GATEWAY_TOKEN"; exit 3']},
        "crash", ("ended 2 times", "exit code 3", "  | token: ***"),
    ),
    "falha-memoria": Case(
        {"agent_env": {"TESTGATEWAY_EAT_MEMORY": 512}, "agent_limits": {"memory": "96Mi"}},
        "crash", ("out of memory", "OOMKilled", "96Mi"),
    ),
    "falha-lento": Case(
        {"agent_env": {"TESTGATEWAY_START_DELAY": 600}, "agent_startup_seconds": 4},
        "probe", ("did not start within 4 s", "Startup probe failed"),
    ),
    "falha-lugar": Case(
        {"agent_requests": {"memory": "900Gi"}, "agent_schedule_grace": 3},
        "schedule", ("no node takes the pod", "Insufficient memory"), ends=False,
    ),
    "falha-arquivo": Case({}, "image", ("digitalsys/broken@sha256:", " cannot be pulled: "), ends=False),
    "falha-chave": Case({}, "image", (" cannot be pulled: ", "401", "agent_image_pull_secrets"), ends=False),
    "falha-sumiu": Case({}, "image", (" cannot be pulled: ", "the registry does not have it"), ends=False),
}  # fmt: skip
EVERYBODY = [
    {"hosts": "agents", "gather_facts": False, "connection": "local", "roles": ["digitalsys.agents.agent"]},
]


@dataclass(frozen=True)
class Fallen:
    """After the bad run: the fleet, its result, and the images that ran well before, by agent."""

    fleet: Fleet
    run: Run
    good: dict[str, str]


@pytest.fixture(scope="module")
def fallen(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fallen]:
    if lacking := {"kubelet", "registry"} - sandbox.capabilities:
        pytest.skip(f"this backend lacks: {', '.join(sorted(lacking))}")
    # Starts beside each other are slow on a small machine; that is not what fails here.
    patient = {"agent_startup_seconds": 120, "agent_timeout": 240}
    fleet = Fleet(tmp_path_factory.mktemp("fallen"), list(CASES), variables=patient)
    playbook = fleet.folder / "everybody.yml"
    playbook.write_text(yaml.safe_dump(EVERYBODY))
    with ExitStack() as stack:
        stack.callback(fleet.remove)
        fleet.provide()
        fleet.play(str(playbook), "--forks=4", timeout=600).ok()
        good = {name: _image(name) for name in CASES}
        images = {
            "falha-arquivo": broken_image(REGISTRY, "digitalsys/broken"),
            "falha-chave": stack.enter_context(refusing_registry(401)),
            "falha-sumiu": stack.enter_context(refusing_registry(404)),
        }
        for name, case in CASES.items():
            image = {"agent_image": images[name]} if name in images else {}
            fleet.host_variables[name] = {**case.variables, **image}
        yield Fallen(fleet, fleet.play(str(playbook), "--forks=4", timeout=600), good)


def _image(agent: str) -> str:
    live = get("deployment", agent)
    assert live
    image: str = live["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


@pytest.mark.parametrize("agent", CASES)
def test_the_first_cause_is_named_with_the_pods_last_words(fallen: Fallen, agent: str) -> None:
    message, case = message_of(fallen.run, agent), CASES[agent]
    assert error_of(fallen.run, agent)["cause"] == case.cause, message
    assert message.startswith(f"{agent}: ")
    for word in case.words:
        assert word in message, message
    assert message.splitlines()[-1] == f"Mend it, then: ansible-playbook rollout.yml -e agent={agent}"


@pytest.mark.parametrize("agent", CASES)
def test_the_last_good_release_runs_again(fallen: Fallen, agent: str) -> None:
    assert_came_back(fallen.run, fallen.fleet, agent, fallen.good[agent])


@pytest.mark.parametrize("agent", [agent for agent, case in CASES.items() if case.ends])
def test_going_back_begins_within_seconds_of_the_failure(fallen: Fallen, agent: str) -> None:
    assert seconds_until_back(fallen.run, agent) <= SOON


@pytest.mark.parametrize("agent", CASES)
def test_the_evidence_is_in_the_result_as_data_without_a_secret(fallen: Fallen, agent: str) -> None:
    evidence = error_of(fallen.run, agent)["evidence"]
    assert evidence["pod"].startswith(f"{agent}-")
    assert evidence["claim_phase"] == "Bound"
    assert bool(evidence["node"]) == (agent != "falha-lugar")
    assert evidence["events"]
    assert len(evidence["events"]) == len(set(evidence["events"]))
    assert len(evidence["log"]) <= 40
    assert [step["step"] for step in error_of(fallen.run, agent)["steps"]][-3:] == ["R5", "R6", "R7"]
    everything = fallen.run.output + json.dumps(fallen.run.results)
    for value in fallen.fleet.values(agent).values():
        assert value not in everything


def test_an_image_that_is_not_there_is_refused_before_any_write(fallen: Fallen, proxy: Through, tmp_path: Path) -> None:
    agent = "falha-config"
    fleet = Fleet(tmp_path, list(CASES))
    for words, image in (
        (("-e", "tag=no-such-tag"), f"{TESTGATEWAY}:no-such-tag"),
        (("-e", f"image={TESTGATEWAY}@sha256:{'0' * 64}"), f"{TESTGATEWAY}@sha256:000000"),
        (("-e", f"image={REGISTRY}/no/such/image:latest"), f"{REGISTRY}/no/such/image:latest"),
    ):
        run = fleet.rollout(agent, *words, env=proxy.environment).failed()
        assert run.rc == 2
        assert image in run.message(agent)
        assert "does not exist" in run.message(agent)
        assert error_of(run, agent)["kind"] == "image"
    assert proxy.proxy.writes() == []
    assert_came_back(fallen.run, fallen.fleet, agent, fallen.good[agent])

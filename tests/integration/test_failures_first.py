"""Failures with no good release behind them, with one that fails too, and those of a namespace's own rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.integration.failing import assert_came_back, error_of, message_of
from tests.integration.fleet import NAMESPACE, TESTGATEWAY, Fleet, get, kubectl, pods
from tests.sandbox.control import secrets_operator_in
from tests.sandbox.seed import grant_in

Make = Callable[..., Fleet]
NARROW = f"{NAMESPACE}-narrow"


def _in_pod(agent: str, script: str) -> None:
    kubectl("exec", "-n", NAMESPACE, pods(agent)[0]["metadata"]["name"], "-c", "openclaw", "--", "sh", "-c", script)


def test_a_first_rollout_that_fails_says_that_there_is_nothing_to_go_back_to(make_fleet: Make) -> None:
    agent = "falha-primeira"
    fleet = make_fleet(agent, variables={"agent_volume_class": "no-such-class", "agent_schedule_grace": 3})
    run = fleet.rollout(agent)
    message = message_of(run, agent)
    assert error_of(run, agent)["cause"] == "volume", message
    assert "no-such-class" in message, message
    assert "There is no release to go back to" in message
    assert error_of(run, agent)["evidence"]["claim_phase"] == "Pending"
    assert get("configmap", f"{agent}-releases") is None


def test_an_init_container_that_fails_is_named_and_both_stories_are_told(make_fleet: Make) -> None:
    """The state itself is broken, so the release before does not run on it either."""
    agent = "falha-semente"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    _in_pod(agent, "cd /root/.openclaw && rm openclaw.json && mkdir .openclaw.json.new")
    run = fleet.play("playbooks/restart.yml", "-e", f"agent={agent}")
    message, error = message_of(run, agent), error_of(run, agent)
    assert error["cause"] == "configuration", message
    assert "init container seed ended with exit code 2" in message.splitlines()[0]
    assert "  | sh: " in message, message
    assert "openclaw.json.new" in message
    assert error["went_back"] is False
    assert "Going back to release r1" in message
    assert "failed too" in message
    assert f"{agent} is down." in message
    assert error["evidence_back"]["pod"] != error["evidence"]["pod"]


def test_a_first_exit_because_another_process_holds_the_state_is_waited_out(make_fleet: Make) -> None:
    agent = "falha-uma-vez"
    held = {"TESTGATEWAY_EXIT": 78, "TESTGATEWAY_EXIT_REASON": "owned", "TESTGATEWAY_EXIT_TIMES": 1}
    fleet = make_fleet(agent, variables={"agent_env": held})
    fleet.rollout(agent).ok()
    assert pods(agent)[0]["status"]["containerStatuses"][0]["restartCount"] == 1


@pytest.fixture
def narrow(needs: Callable[..., None]) -> Iterator[str]:
    """A namespace that another test's rules cannot meet."""
    needs("kubelet", "admin")
    kubectl("create", "namespace", NARROW)
    try:
        grant_in(NARROW)
        with secrets_operator_in(NARROW):
            yield NARROW
    finally:
        kubectl("delete", "namespace", NARROW, "--wait=true", "--timeout=50s", "--ignore-not-found")


def test_a_quota_is_told_in_its_own_words_and_the_release_within_it_runs_again(narrow: str, make_fleet: Make) -> None:
    agent = "falha-quota"
    fleet = make_fleet(agent, namespace=narrow)
    fleet.rollout(agent).ok()
    live = get("deployment", agent, narrow)
    assert live
    good = live["spec"]["template"]["spec"]["containers"][0]["image"]
    # Of what every container would have to name (memory, CPU) the init container names none.
    kubectl("create", "quota", "few", "-n", narrow, "--hard=requests.ephemeral-storage=1Gi")
    requests = {"memory": "32Mi", "ephemeral-storage": "2Gi"}
    fleet.variables = {"agent_requests": requests, "agent_image": f"{TESTGATEWAY}:second"}
    run = fleet.rollout(agent)
    message = message_of(run, agent)
    assert error_of(run, agent)["cause"] == "quota", message
    assert "exceeded quota: few" in message, message
    assert "requests.ephemeral-storage=2Gi" in message, message
    assert_came_back(run, fleet, agent, good, narrow)

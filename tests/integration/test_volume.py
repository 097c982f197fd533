"""One volume, one gateway: nothing that can start a pod is written while another one has it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import NAMESPACE, Fleet, get, kubectl, pods, until
from tests.integration.podwatch import PodWatch
from tests.integration.writes import servers
from tests.sandbox.kill import AfterWrite, run_and_kill
from tests.sandbox.paths import CHECKOUT
from tests.sandbox.proxy import Through

Make = Callable[..., Fleet]
#: Seconds for which a pod runs on after it was told to end.
DRAIN = 20
SLOW = {"agent_grace_seconds": DRAIN}
#: Ignores SIGTERM, and so takes the whole of its grace.
ENV = {"TESTGATEWAY_IGNORE_SIGTERM": "1"}


@pytest.fixture
def slow(make_fleet: Make) -> Callable[..., Fleet]:
    """slow(agent): it runs, and drains slowly."""

    def make(agent: str, **variables: object) -> Fleet:
        fleet = make_fleet(agent, variables={**SLOW, "agent_env": dict(ENV), **variables})
        fleet.rollout(agent).ok()
        return fleet

    return make


def alone(watch: PodWatch) -> None:
    assert not watch.together, watch.together


def test_a_former_release_waits_for_its_own_pod_that_is_still_draining(
    slow: Callable[..., Fleet], proxy: Through
) -> None:
    """Trials A1: two gateways for the rest of the grace, rc 0."""
    agent = "volume-volta"
    fleet = slow(agent)
    old = pods(agent)[0]["metadata"]["name"]
    fleet.variables["agent_env"] = {**ENV, "MARK": "2"}
    command = fleet.command("rollout.yml", "-e", f"agent={agent}")
    applied = AfterWrite(1, path="/deployments/.*force=")
    with PodWatch() as watch:
        killed = run_and_kill(command, fleet.environment(**servers(proxy)), CHECKOUT, applied, proxy.proxy)
        assert killed.killed, killed.output
        until(lambda: _is_ending(agent, old), "the old pod is told to end")
        fleet.variables["agent_env"] = dict(ENV)
        run = fleet.rollout(agent, "-e", "force_unlock=true").ok()
        alone(watch)
    assert f"pod {old} is ending; waiting until the volume is free" in run.output
    assert len(pods(agent)) == 1


def test_the_way_back_waits_too_and_is_proved(slow: Callable[..., Fleet]) -> None:
    """Trials A2: with a timeout below the grace; "is down"."""
    agent = "volume-curto"
    # Long enough for a start on a machine with other work.
    fleet = slow(agent, agent_timeout=20, agent_grace_seconds=24)
    fleet.variables["agent_env"] = {**ENV, "TESTGATEWAY_EXIT": "78"}
    with PodWatch() as watch:
        run = fleet.rollout(agent)
        alone(watch)
    message = message_of(run, agent)
    assert "exit 78" in message
    assert error_of(run, agent)["went_back"] is True, message


def test_scaled_to_nothing_it_is_started_when_its_pod_is_gone(slow: Callable[..., Fleet]) -> None:
    """Trials A4: two pods running, rc 0."""
    agent = "volume-zero"
    fleet = slow(agent)
    old = pods(agent)[0]["metadata"]["name"]
    with PodWatch() as watch:
        kubectl("scale", "deployment", agent, "-n", NAMESPACE, "--replicas=0")
        until(lambda: _is_ending(agent, old), "the old pod is told to end")
        fleet.rollout(agent).ok()
        alone(watch)
    assert pods(agent)[0]["metadata"]["name"] != old


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_a_deployment_that_was_deleted_is_made_when_its_pod_is_gone(slow: Callable[..., Fleet], cascade: str) -> None:
    """Trials A5 and A11: two pods running; "replaced or deleted by someone else"."""
    agent = f"volume-{cascade[:5]}"
    fleet = slow(agent)
    old = pods(agent)[0]["metadata"]["name"]
    with PodWatch() as watch:
        kubectl("delete", "deployment", agent, "-n", NAMESPACE, f"--cascade={cascade}", "--wait=false")
        fleet.rollout(agent).ok()
        alone(watch)
    assert pods(agent)[0]["metadata"]["name"] != old
    live = get("deployment", agent)
    assert live
    assert "deletionTimestamp" not in live["metadata"]


def test_a_pod_that_was_cut_loose_stops_the_run_by_its_name(slow: Callable[..., Fleet], proxy: Through) -> None:
    """Trials A9: "nothing to do"; the loose gateway lives on with claim and token."""
    agent = "volume-solto"
    fleet = slow(agent)
    loose = pods(agent)[0]["metadata"]["name"]
    kubectl("delete", "deployment", agent, "-n", NAMESPACE, "--cascade=orphan")
    sets = json.loads(
        kubectl("get", "replicasets", "-n", NAMESPACE, "-l", f"app.kubernetes.io/instance={agent}", "-o", "json")
    )
    for one in sets["items"]:
        kubectl("delete", "replicaset", one["metadata"]["name"], "-n", NAMESPACE, "--cascade=orphan")
    try:
        run = fleet.rollout(agent, env=proxy.environment)
        message = message_of(run, agent)
        assert f"pod {loose}, which nobody owns" in message, message
        assert "it may be a second gateway" in message
        assert get("deployment", agent) is None
        assert not [one for one in proxy.proxy.writes() if "/deployments" in one.path]
    finally:
        kubectl("delete", "pod", loose, "-n", NAMESPACE, "--wait=false", check=False)
    # On its way out it is waited for, and then all is well.
    fleet.rollout(agent).ok()


def test_a_gateway_beside_an_agent_with_nothing_to_do_is_told_too(
    make_fleet: Make, proxy: Through, watched: PodWatch
) -> None:
    """Trials A9: its label was taken away for debugging, and the Deployment made another; status was one line."""
    agent = "volume-rotulo"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    loose = pods(agent)[0]["metadata"]["name"]
    with watched.excused(agent):
        kubectl("label", "pod", loose, "-n", NAMESPACE, "app.kubernetes.io/instance-")
    try:
        until(lambda: any(one["metadata"]["name"] != loose for one in pods(agent)), "the Deployment makes another")
        for words in ((), ("--check",)):
            run = fleet.rollout(agent, *words, env=proxy.environment)
            run.failed(f"pod {loose}, which nobody owns", "it may be a second gateway")
        assert proxy.proxy.writes() == []
        assert "two pods" in fleet.play("playbooks/status.yml", "-e", f"agent={agent}").ok().output
    finally:
        kubectl("delete", "pod", loose, "-n", NAMESPACE, "--wait=false", check=False)
    until(lambda: get("pod", loose) is None, "it has ended")
    assert "nothing to do" in fleet.rollout(agent).ok().output


def test_a_claim_that_was_deleted_stops_all_that_would_stop_its_pod(make_fleet: Make, proxy: Through) -> None:
    """Trials A13: our own stop of the pod let claim and disk go."""
    agent = "volume-apagado"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    runs = pods(agent)[0]["metadata"]["uid"]
    kubectl("delete", "pvc", f"{agent}-state", "-n", NAMESPACE, "--wait=false")
    words = f"PersistentVolumeClaim {agent}-state was deleted at ", "kubectl cp"
    fleet.variables["agent_env"] = {"MARK": "2"}
    for playbook in ("rollout.yml", "playbooks/restart.yml", "playbooks/rotate.yml"):
        more = ("-e", "keys=OPENCLAW_GATEWAY_TOKEN") if "rotate" in playbook else ()
        fleet.play(playbook, "-e", f"agent={agent}", *more, env=proxy.environment).failed(*words)
    assert proxy.proxy.writes() == []
    assert pods(agent)[0]["metadata"]["uid"] == runs
    assert get("persistentvolumeclaim", f"{agent}-state")


def _is_ending(agent: str, name: str) -> bool:
    return any(one["metadata"]["name"] == name and one["metadata"].get("deletionTimestamp") for one in pods(agent))

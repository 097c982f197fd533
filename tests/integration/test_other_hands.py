"""Others at the same objects: an operator's kubectl, a paused Deployment, another manager of fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import NAMESPACE, Fleet, Object, gateway, get, kubectl, until
from tests.integration.podwatch import PodWatch
from tests.integration.swapping import set_grace
from tests.sandbox.existing import Existing
from tests.sandbox.proxy.clients import Through

Make = Callable[..., Fleet]
AGENT = "maos"


@pytest.fixture(scope="module")
def fleet(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One agent that runs well; every test leaves it so."""
    fleet = Fleet(tmp_path_factory.mktemp("hands"), [AGENT])
    try:
        fleet.provide()
        fleet.rollout(AGENT).ok()
        yield fleet
    finally:
        fleet.remove()


def _live() -> Object:
    found = get("deployment", AGENT)
    assert found
    return found


def _container() -> Object:
    container: Object = _live()["spec"]["template"]["spec"]["containers"][0]
    return container


def test_what_was_changed_by_hand_is_shown_as_drift_and_put_back(fleet: Fleet) -> None:
    before = _container()
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "openclaw", "image": "example.invalid/other:1"}]}}}}
    kubectl("patch", "deployment", AGENT, "-n", NAMESPACE, "-p", json.dumps(patch))
    kubectl("scale", "deployment", AGENT, "-n", NAMESPACE, "--replicas=0")
    kubectl("delete", "networkpolicy", AGENT, "-n", NAMESPACE)
    seen = fleet.rollout(AGENT, "--check").ok()
    assert "spec.replicas: 0 -> 1" in seen.output, seen.output
    assert "image example.invalid/other:1 -> " in seen.output
    assert "NetworkPolicy is to be made" in seen.output
    assert _live()["spec"]["replicas"] == 0
    run = fleet.rollout(AGENT).ok()
    assert "spec.replicas: 0 -> 1" in run.output
    assert _container() == before
    assert _live()["spec"]["replicas"] == 1
    assert get("networkpolicy", AGENT)
    assert gateway(AGENT, fleet.values(AGENT)["OPENCLAW_GATEWAY_TOKEN"]) == 200
    assert not fleet.rollout(AGENT).ok().changed(AGENT)


def test_what_another_hand_has_put_into_the_pod_template_is_told_by_name_and_goes(
    fleet: Fleet, watched: PodWatch
) -> None:
    """Trials A3, B2, B9, B11: the plan was silent, and nothing ever put it back."""
    before = _live()["spec"]
    here = ("-n", NAMESPACE)
    second = {"name": "second", "image": "example.invalid/second:1"}
    old = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": AGENT, "namespace": NAMESPACE}}
    old["spec"] = {"selector": before["selector"], "template": {"spec": {"containers": [second]}}}
    kubectl("rollout", "pause", f"deployment/{AGENT}", *here)  # no pod of these is wanted: the words are
    kubectl("set", "env", f"deployment/{AGENT}", *here, "GEHEIM=hunter2")
    kubectl("apply", "--server-side", "--field-manager=handbook", "-f", "-", stdin=json.dumps(old))
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    with watched.excused(AGENT):
        kubectl("patch", "deployment", AGENT, *here, "-p", json.dumps({"spec": {"strategy": strategy, "paused": None}}))
    policy = json.dumps({"spec": {"refreshPolicy": "CreatedOnce"}})
    kubectl("patch", "externalsecret", f"{AGENT}-env-secret", *here, "--type=merge", "-p", policy)

    told = (
        "ExternalSecret spec.refreshPolicy",
        "containers[openclaw].env[GEHEIM] added by kubectl-set, removed",
        "containers[second] added by handbook, removed",
        "spec.strategy.type: 'RollingUpdate' -> 'Recreate' (by kubectl-patch)",
    )
    seen = fleet.rollout(AGENT, "--check", "--diff").ok()
    plan = fleet.rollout(AGENT).ok()
    for words in told:
        assert words in seen.output, seen.output
    assert "hunter2" not in seen.output + plan.output
    # What is recorded of a proof cannot be foretold.
    changes = [change for change in plan.results[AGENT]["changes"] if change["kind"] != "ConfigMap"]
    fields = [line for change in changes for line in change["fields"]]
    foretold = [line for change in seen.results[AGENT]["changes"] for line in change["fields"]]
    assert fields == foretold, "check mode says what the run does, field for field"
    after = _live()["spec"]
    assert after == before
    external = get("externalsecret", f"{AGENT}-env-secret")
    assert external
    assert external["spec"].get("refreshPolicy", "Periodic") == "Periodic"
    assert not fleet.rollout(AGENT).ok().changed(AGENT)


def test_what_was_taken_out_of_the_inventory_is_told_and_makes_a_new_pod(fleet: Fleet) -> None:
    """Trials B1: "no restart: a field that is not wanted any more", then a new pod."""
    fleet.variables = {"agent_env": {"MARK": "two"}}
    fleet.rollout(AGENT).ok()
    fleet.variables = {}
    seen = fleet.rollout(AGENT, "--check").ok()
    words = "containers[openclaw].env[MARK] removed"
    assert f"{AGENT}: new pod: " in seen.output
    assert words in seen.output, seen.output
    run = fleet.rollout(AGENT).ok()
    assert words in run.output
    assert "env" not in _container()
    assert not fleet.rollout(AGENT).ok().changed(AGENT)


def test_a_paused_deployment_is_named_before_any_write(fleet: Fleet, proxy: Through) -> None:
    kubectl("rollout", "pause", f"deployment/{AGENT}", "-n", NAMESPACE)
    try:
        run = fleet.rollout(AGENT, "-e", "tag=second", env=proxy.environment)
        message = message_of(run, AGENT)
        assert "the Deployment is paused" in message
        assert message.splitlines()[-1] == f"kubectl rollout resume deployment/{AGENT} -n {NAMESPACE}"
        assert proxy.proxy.writes() == []
    finally:
        kubectl("rollout", "resume", f"deployment/{AGENT}", "-n", NAMESPACE)


def test_a_deployment_that_is_paused_in_the_middle_fails_at_once_and_nothing_is_undone(
    fleet: Fleet, watched: PodWatch
) -> None:
    fleet.variables = {"agent_env": {"TESTGATEWAY_START_DELAY": 20}}
    before = _live()["metadata"]["generation"]
    try:
        with ThreadPoolExecutor(1) as other:
            running = other.submit(fleet.rollout, AGENT)
            until(lambda: _live()["metadata"]["generation"] > before, "the Deployment is changed", 60)
            # A paused Deployment's last ReplicaSet is scaled up again, whatever pod still ends.
            with watched.excused(AGENT):
                kubectl("rollout", "pause", f"deployment/{AGENT}", "-n", NAMESPACE)
            run = running.result()
        message = message_of(run, AGENT)
        assert error_of(run, AGENT)["cause"] == "paused", message
        assert "kubectl rollout resume" in message
        assert "Nothing was undone" in message
        assert _container()["env"] == [{"name": "TESTGATEWAY_START_DELAY", "value": "20"}]
    finally:
        fleet.variables = {}
        kubectl("rollout", "resume", f"deployment/{AGENT}", "-n", NAMESPACE, check=False)
    fleet.rollout(AGENT).ok()


def test_a_field_of_another_manager_is_named_with_its_owner_and_taken_only_when_told(
    fleet: Fleet, proxy: Through
) -> None:
    meta = {"name": AGENT, "namespace": NAMESPACE}
    theirs = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"revisionHistoryLimit": 3}}
    words = ("apply", "--server-side", "--force-conflicts", "--field-manager=flux", "-f", "-")
    kubectl(*words, stdin=json.dumps(theirs))
    before = _live()["metadata"]["generation"]
    run = fleet.rollout(AGENT, env=proxy.environment)
    message = message_of(run, AGENT)
    assert ".spec.revisionHistoryLimit belongs to flux" in message
    assert "agent_take_ownership" in message
    assert error_of(run, AGENT)["kind"] == "conflict"
    assert _live()["spec"]["revisionHistoryLimit"] == 3
    assert _live()["metadata"]["generation"] == before
    fleet.variables = {"agent_take_ownership": True}
    try:
        fleet.rollout(AGENT).ok()
        assert _live()["spec"]["revisionHistoryLimit"] == 10
    finally:
        fleet.variables = {}
    assert not fleet.rollout(AGENT).ok().changed(AGENT)


def test_what_the_clusters_admission_sets_is_told_and_is_no_change(make_fleet: Make, tmp_path: Path) -> None:
    """Trials B12: each plan said "new pod: 9 -> 5", and no run ever changed anything."""
    agent = "maos-regra"
    fleet = make_fleet(agent)
    with set_grace(agent, 9, tmp_path):
        fleet.rollout(agent).ok()
        for words in (("--check",), ()):
            run = fleet.rollout(agent, *words).ok()
            assert (
                "Deployment: the cluster itself sets spec.template.spec.terminationGracePeriodSeconds: 9" in run.output
            )
            assert f"nothing to do for {agent}" in run.output
            assert not run.changed(agent)
        # Beside what it sets a change is a change.
        fleet.variables["agent_env"] = {"MARK": "2"}
        foretold = fleet.rollout(agent, "--check").ok()
        assert f"{agent}: new pod: " in foretold.output
        assert fleet.rollout(agent).ok().changed(agent)
        assert not fleet.rollout(agent).ok().changed(agent)

"""Others at the same objects: an operator's kubectl, a paused Deployment, another manager of fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import NAMESPACE, Fleet, Object, gateway, get, kubectl, until
from tests.sandbox.existing import Existing
from tests.sandbox.proxy.clients import Through

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


def test_a_deployment_that_is_paused_in_the_middle_fails_at_once_and_nothing_is_undone(fleet: Fleet) -> None:
    fleet.variables = {"agent_env": {"TESTGATEWAY_START_DELAY": 20}}
    before = _live()["metadata"]["generation"]
    try:
        with ThreadPoolExecutor(1) as other:
            running = other.submit(fleet.rollout, AGENT)
            until(lambda: _live()["metadata"]["generation"] > before, "the Deployment is changed", 60)
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

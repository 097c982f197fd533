"""The fleet in waves: twenty agents on fake nodes, one LIST per kind, and one bad image in the second wave."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.integration.failing import error_of
from tests.integration.fleet import KWOK, NAMESPACE, TESTGATEWAY, Fleet, get, kubectl
from tests.integration.registries import digest_of
from tests.sandbox import control
from tests.sandbox.proxy.clients import API, VAULT, Through

Make = Callable[..., Fleet]
NAMES = [f"frota-{number:02}" for number in range(1, 21)]
CANARY, BAD = "frota-09", "frota-04"
#: One canary, then a quarter of the rest of the list: the canary comes first, the others in the inventory's order.
FIRST, SECOND = [CANARY], ["frota-01", "frota-02", "frota-03", "frota-04", "frota-05"]
UNTOUCHED = [name for name in NAMES if name not in FIRST + SECOND]


def _environment_of(name: str) -> str:
    live = get("deployment", name)
    assert live
    found = live["spec"]["template"]["spec"]["containers"][0]
    return next((entry["value"] for entry in found.get("env") or [] if entry["name"] == "VOLTA"), "")


def _available() -> set[str]:
    items = json.loads(kubectl("get", "deployments", "-n", NAMESPACE, "-o", "json"))["items"]
    return {one["metadata"]["name"] for one in items if one["status"].get("availableReplicas") == 1} & set(NAMES)


@pytest.fixture
def crashing(needs: Callable[..., None], fake_nodes: None) -> Iterator[str]:
    """The digest of an image that exists and goes into a crash loop on fake nodes."""
    needs("processes", "vault-admin")
    digest = digest_of(TESTGATEWAY, "crash")
    control.crash_digests([digest])
    yield digest
    control.crash_digests([])


def test_twenty_agents_and_one_bad_image_in_the_second_wave(make_fleet: Make, proxy: Through, crashing: str) -> None:
    # A new pod of a good image is ready at once on a fake node, and a bad one never.
    variables = {**KWOK, "agent_stability_seconds": 1, "agent_secret_refresh": "1h", "agent_env": {"VOLTA": "1"}}
    fleet = make_fleet(*NAMES, variables=variables, canaries=[CANARY])
    first = fleet.rollout().ok()
    assert _available() == set(NAMES)
    assert all(first.changed(name) for name in NAMES)

    # Nothing to do: one LIST per kind for the whole fleet, one look at each agent's version in Vault, and no write.
    idle = fleet.rollout(env=proxy.environment).ok()
    assert "nothing to do for 20 of 20 agents" in idle.output
    assert proxy.proxy.writes() == []
    api = [request for request in proxy.proxy.requests() if request.front == API]
    asked = Counter(re.sub(r".*/", "", request.path) for request in api)
    kinds = ("serviceaccounts", "persistentvolumeclaims", "networkpolicies", "secretstores", "externalsecrets",
             "deployments", "configmaps")  # fmt: skip
    assert {kind: asked.pop(kind) for kind in kinds} == dict.fromkeys(kinds, 1)
    # Which cluster this is; who has whose volume; locks that were left behind.
    assert set(asked) <= {"kube-system", "pods", "leases"}, asked
    assert max(asked.values()) == 1
    vault = Counter(request.path for request in proxy.proxy.requests() if request.front == VAULT)
    assert vault.pop("/v1/sys/health") == 1
    assert vault == dict.fromkeys((f"/v1/kv/metadata/agents/{name}" for name in NAMES), 1)

    # Everybody gets a new pod; one of the second wave is to get an image that exists and crashes.
    fleet.variables["agent_env"] = {"VOLTA": "2"}
    fleet.host_variables[BAD] = {"agent_image": f"{TESTGATEWAY}:crash"}
    run = fleet.rollout()
    run.failed("Not reached: " + ", ".join(UNTOUCHED))
    for name in FIRST + SECOND:
        assert _environment_of(name) == ("1" if name == BAD else "2"), name
    for name in UNTOUCHED:
        assert _environment_of(name) == "1", name
        assert name not in run.output.partition("PLAY RECAP")[2] or not run.changed(name)
    # The bad one runs its last good release again, and says what was the matter and what is to be done.
    live = get("deployment", BAD)
    assert live
    assert crashing not in live["spec"]["template"]["spec"]["containers"][0]["image"]
    error = error_of(run, BAD)
    assert error["went_back"]
    assert error["cause"] == "crash"
    message = run.message(BAD)
    assert "runs again, verified" in message
    assert f"ansible-playbook rollout.yml -e agent={BAD}" in message
    assert len(message.splitlines()) <= 10, message
    assert _available() == set(NAMES)
    for name in SECOND:
        if name != BAD:
            assert run.results[name]["release"]

    # Mended, the same command finishes the rest, and only the rest.
    del fleet.host_variables[BAD]
    done = fleet.rollout().ok()
    for name in NAMES:
        assert _environment_of(name) == "2", name
        assert done.changed(name) == (name in [BAD, *UNTOUCHED])

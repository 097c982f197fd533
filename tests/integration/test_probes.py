"""How the kubelet asks a gateway, on a real one: pods as they are rendered, with less patience and without a fleet.

What changes when the probes of a running agent do, stands in the cases of test_failures: an agent with a command of its
own is asked by execs, and goes back to one that is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from tests.integration.fleet import NAMESPACE, QUICK, TESTGATEWAY, Object, apply, get, kubectl, until
from tests.unit.builders import agent, deployment

BY_NETWORK, FROM_INSIDE, NO_ROUTE = PODS = "sonda-rede", "sonda-dentro", "sonda-sem-rota"
IMPATIENT = {"periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 2}


def pod(name: str, bind: str, **env: str) -> Object:
    of = agent(
        name=name,
        image=f"{TESTGATEWAY}:latest",
        args=["openclaw", "gateway", "run", "--bind", bind],
        env={"OPENCLAW_GATEWAY_TOKEN": "of-no-agent", **env},
        requests={},
        node_selector=QUICK["agent_node_selector"],
        grace_seconds=1,
        startup_seconds=60 if not env else 6,
    )
    spec: Object = deployment(of, Stamps())["spec"]["template"]["spec"]
    gateway = spec["containers"][0]
    for probe in ("livenessProbe", "readinessProbe"):
        gateway[probe].update(IMPATIENT)
        if "exec" in gateway[probe]:
            # As there: curl gives up before the kubelet, which would wait for the orphan of a shell that it ended.
            script = gateway[probe]["exec"]["command"]
            script[2] = script[2].replace("--max-time 9 ", "--max-time 1 ")
    del gateway["envFrom"], spec["serviceAccountName"]
    spec["volumes"] = [{"name": "state", "emptyDir": {}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


@pytest.fixture
def asked(needs: Callable[..., None]) -> Iterator[None]:
    needs("kubelet")
    apply(pod(BY_NETWORK, "lan"), pod(FROM_INSIDE, "loopback"), pod(NO_ROUTE, "lan", TESTGATEWAY_LACKS="/healthz"))
    yield
    kubectl("delete", "pods", *PODS, "-n", NAMESPACE, "--force", "--grace-period=0", "--ignore-not-found")


def state_of(name: str) -> Object:
    live = get("pod", name)
    assert live
    found: list[Object] = live["status"].get("containerStatuses")
    return found[0] if found else {}


def is_ready(name: str, restarts: int = 0) -> bool:
    state = state_of(name)
    return bool(state.get("ready")) and state["restartCount"] >= restarts


def was_told(name: str, words: str) -> bool:
    events = ("get", "events", "-n", NAMESPACE, "--field-selector", f"involvedObject.name={name}", "-o", "json")
    return any(words in event["message"] for event in json.loads(kubectl(*events))["items"])


@pytest.mark.usefixtures("asked")
def test_a_gateway_that_hangs_is_ended_and_one_without_the_route_never_counts_as_started() -> None:
    for name, way in ((BY_NETWORK, "httpGet"), (FROM_INSIDE, "exec")):
        until(partial(is_ready, name), f"{name} is ready", 60)
        live = get("pod", name)
        assert live
        assert way in live["spec"]["containers"][0]["livenessProbe"]
    for name in (BY_NETWORK, FROM_INSIDE):
        # The gateway alone, so that what asks it from inside goes on: it is the child of the container's first process.
        kubectl(
            "exec",
            "-n",
            NAMESPACE,
            name,
            "-c",
            "openclaw",
            "--",
            "sh",
            "-c",
            "kill -STOP $(cat /proc/1/task/1/children)",
        )
    for name in (BY_NETWORK, FROM_INSIDE):
        until(partial(is_ready, name, restarts=1), f"{name} runs anew")
        assert was_told(name, "failed liveness probe")
    until(lambda: was_told(NO_ROUTE, "failed startup probe"), f"{NO_ROUTE} is given up")
    assert not was_told(NO_ROUTE, "failed liveness probe")
    assert not state_of(NO_ROUTE)["ready"]

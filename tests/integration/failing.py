"""What every failure of a rollout must be: short, explained by data, and followed by the last good release."""

from __future__ import annotations

import datetime

from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import condition
from tests.integration.fleet import NAMESPACE, Fleet, Object, Run, gateway, get, pods, until


def message_of(run: Run, agent: str) -> str:
    """The failed task's message, as it must read: ten lines at most, three of them log, none of them endless."""
    assert run.rc == 2, run.output
    message = run.message(agent)
    lines = message.splitlines()
    assert 2 <= len(lines) <= 10, message
    assert all(line.strip() for line in lines), message
    assert sum(line.startswith("  | ") for line in lines) <= 3, message
    assert max(map(len, lines)) <= 600, message
    return message


def error_of(run: Run, agent: str) -> Object:
    assert "error" in run.results.get(agent, {}), run.output
    error: Object = run.results[agent]["error"]
    return error


def assert_came_back(run: Run, fleet: Fleet, agent: str, image: str, namespace: str = NAMESPACE) -> None:
    """The last good release runs, one pod of it, and its gateway takes the token that stands in Vault."""
    error = error_of(run, agent)
    assert error["went_back"] is True, run.output
    assert f"Release {error['release']}" in run.message(agent), run.message(agent)
    assert "runs again, verified" in run.message(agent)
    live = get("deployment", agent, namespace)
    assert live
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == image
    running = until(lambda: _only_ready(agent, namespace), "one ready pod, and no other", 10)
    assert running["spec"]["containers"][0]["image"] == image
    token = fleet.values(agent)["OPENCLAW_GATEWAY_TOKEN"]
    assert gateway(agent, token, namespace) == 200
    assert gateway(agent, f"{token}x", namespace) == 401


def _only_ready(agent: str, namespace: str) -> Object | None:
    found = pods(agent, namespace)
    ready = [one for one in found if condition(one, "Ready").get("status") == "True"]
    return ready[0] if len(found) == len(ready) == 1 else None


def seconds_until_back(run: Run, agent: str, namespace: str = NAMESPACE) -> float:
    """From the last end of the bad pod's container to the write that goes back, by the cluster's own clock."""
    ends = [
        state["terminated"]["finishedAt"]
        for container in error_of(run, agent)["evidence"]["containers"]
        for state in (container["state"] or {}, container["last_state"] or {})
        if "terminated" in state
    ]
    live = get("deployment", agent, namespace)
    assert live
    ours = [one["time"] for one in live["metadata"]["managedFields"] if one["manager"] == "digitalsys.agents"]
    return (_time(max(ours)) - _time(max(ends))).total_seconds()


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))

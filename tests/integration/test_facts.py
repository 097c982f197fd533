"""What stays as it is once an agent exists, on the way forward and on the way back, and whoever made it so."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import NAMESPACE, Fleet, Object, gateway, get, kubectl, pods, until, versions

Make = Callable[..., Fleet]


def live(agent: str) -> Object:
    found = get("deployment", agent)
    assert found
    return found


def facts(agent: str) -> tuple[object, ...]:
    """Selector, containers, claim and where it is mounted, as a person reads them."""
    spec = live(agent)["spec"]
    pod = spec["template"]["spec"]
    names = [one["name"] for one in pod["containers"]]
    mounts = [[(at["mountPath"], at.get("subPath")) for at in one["volumeMounts"]] for one in pod["containers"]]
    return spec["selector"]["matchLabels"], names, pod["volumes"][0]["persistentVolumeClaim"]["claimName"], mounts


def test_an_agent_with_other_names_keeps_them_forward_and_back(make_fleet: Make) -> None:
    """As one that was made by hand, and is the collection's now."""
    agent = "fatos"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    made = live(agent)
    kubectl("delete", "deployment", agent, "-n", NAMESPACE)
    kubectl("delete", "configmap", f"{agent}-releases", "-n", NAMESPACE)
    until(lambda: not pods(agent), "its pod is gone")
    spec = made["spec"]
    spec["selector"] = {"matchLabels": {"app": agent}}
    spec["template"]["metadata"]["labels"]["app"] = agent
    container = spec["template"]["spec"]["containers"][0]
    container["name"] = agent
    container["volumeMounts"][0]["subPath"] = "casa"
    meta = {key: made["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    by_hand = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(by_hand))
    before = facts(agent)
    assert before == ({"app": agent}, [agent], f"{agent}-state", [[("/root/.openclaw", "casa")]])

    fleet.variables["agent_env"] = {"MARK": "2"}
    fleet.rollout(agent).ok()
    assert facts(agent) == before
    init = live(agent)["spec"]["template"]["spec"]["initContainers"][0]
    assert init["volumeMounts"] == container["volumeMounts"], "what looks at the volume looks at the same folder"
    assert "nothing to do" in fleet.rollout(agent).ok().output

    fleet.variables["agent_env"] = {"TESTGATEWAY_EXIT": "78"}
    run = fleet.rollout(agent)
    assert "exit 78" in message_of(run, agent)
    assert error_of(run, agent)["went_back"] is True
    assert facts(agent) == before

    fleet.variables["agent_env"] = {"MARK": "2"}
    kubectl("delete", "deployment", agent, "-n", NAMESPACE)
    until(lambda: not pods(agent), "its pod is gone")
    fleet.rollout(agent).ok()
    assert facts(agent)[1:] == before[1:], "where the Deployment was deleted the record counts"
    assert facts(agent)[0] == before[0]


def test_a_suspended_agent_is_kept_up_to_date_and_not_started(make_fleet: Make) -> None:
    agent = "fatos-parado"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    kubectl("annotate", "deployment", agent, "-n", NAMESPACE, "agents.digitalsys/suspended={}")
    plan = fleet.rollout(agent, "--check").ok()
    assert "spec.replicas: 1 -> 0" in plan.output
    fleet.variables["agent_env"] = {"MARK": "2"}
    run = fleet.rollout(agent).ok()
    assert "no pod runs: the agent is suspended" in run.output
    assert "is recorded" not in run.output, "nothing was proved"
    spec = live(agent)["spec"]
    assert spec["replicas"] == 0
    assert spec["template"]["spec"]["containers"][0]["env"] == [{"name": "MARK", "value": "2"}]
    assert pods(agent) == []
    assert "nothing to do" in fleet.rollout(agent).ok().output
    kubectl("annotate", "deployment", agent, "-n", NAMESPACE, "agents.digitalsys/suspended-")
    fleet.rollout(agent).ok()
    assert gateway(agent, fleet.values(agent)["OPENCLAW_GATEWAY_TOKEN"]) == 200


@pytest.mark.parametrize("found", ['[{"id": "r1"', '[{"deployment": null}]', "{}"], ids=["cut", "null", "other"])
def test_releases_that_cannot_be_read_stop_the_run_before_any_write(make_fleet: Make, found: str) -> None:
    """Trials A12: the check was silent; then the pod was replaced, and its crash untold and left."""
    agent = "fatos-corte"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    patch = json.dumps({"data": {"releases.json": found}})
    kubectl("patch", "configmap", f"{agent}-releases", "-n", NAMESPACE, "--type=merge", "-p", patch)
    before = versions(agent)
    fleet.variables["agent_env"] = {"TESTGATEWAY_EXIT": "78"}
    for words in (("--check",), ()):
        run = fleet.rollout(agent, *words)
        assert f"ConfigMap {agent}-releases was edited by hand and cannot be read" in message_of(run, agent)
        assert "Mend it" in message_of(run, agent)
    assert versions(agent) == before

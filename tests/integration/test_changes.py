"""One table of changes, of each option and by each hand: what `--check` says of it is what the run then does, field for
field, with a new pod where one was foretold; and what hands have changed `status` says in the same words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import AGENT
from tests.integration.fleet import KWOK, NAMESPACE, TESTGATEWAY, Fleet, Object, Run, get, kubectl, pods, until
from tests.integration.podwatch import PodWatch

Make = Callable[..., Fleet]


@dataclass(frozen=True)
class Option:
    """Two values beside what it is without one, and whether a change of it makes a new pod."""

    one: Any
    other: Any
    restarts: bool = True


def _toleration(key: str) -> Object:
    return {"key": key, "operator": "Exists"}


def _to(cidr: str) -> list[Object]:
    return [{"to": [{"ipBlock": {"cidr": cidr}}]}]


def _from(app: str) -> list[Object]:
    return [{"podSelector": {"matchLabels": {"app": app}}}]


OPTIONS = {
    "image": Option(f"{TESTGATEWAY}:second", f"{TESTGATEWAY}:exit78"),
    "command": Option(["sh", "-c"], ["sh"]),
    "args": Option(["one"], ["one", "two"]),
    "env": Option({"A": "1", "B": "pa$$word"}, {"A": "2", "C": "$(A)"}),
    "config_seed": Option({"gateway": {"mode": "remote"}}, {"gateway": {"port": 1}}, restarts=False),
    "plugins": Option(["@openclaw/one"], ["@openclaw/one", "@openclaw/two"]),
    "requests": Option({"memory": "33Mi"}, {"memory": "34Mi", "cpu": "10m"}),
    "limits": Option({"memory": "1Gi"}, {"memory": "2Gi", "cpu": "2"}),
    "capabilities": Option(["CHOWN"], ["CHOWN", "FOWNER"]),
    "tolerations": Option(
        [*KWOK["agent_tolerations"], _toleration("a")], [*KWOK["agent_tolerations"], _toleration("b")]
    ),
    "image_pull_secrets": Option(["one"], ["one", "two"]),
    "network": Option("open", "strict", restarts=False),
    "network_ingress": Option(_from("one"), _from("two"), restarts=False),
    "network_egress": Option(_to("203.0.113.0/24"), _to("198.51.100.0/24"), restarts=False),
    "grace_seconds": Option(7, 9),
    "startup_seconds": Option(61, 91),
    "stability_seconds": Option(3, 1, restarts=False),
    "secret_refresh": Option("2h", "3h", restarts=False),
}
#: Options that have no such place, and why.
ELSEWHERE = {
    "name": "it is the agent",
    "namespace": "one home: test_provision_lasts",
    "required_keys": "it stands in no object",
    "volume_size": "it only grows: test_bad_input",
    "volume_class": "it cannot change: test_bad_input",
    "node_selector": "the nodes of these pods have one label",
    "vault_server": "test_stamps: a store that reaches nothing",
    "vault_mount": "as vault_server",
    "vault_path": "one entry, one agent: test_provision_lasts",
    "approle_mount": "as vault_server",
    "approle_role_id": "as vault_server",
}


def _kubectl(agent: str, verb: str, *words: str) -> None:
    kubectl(*verb.split(), f"deployment/{agent}", "-n", NAMESPACE, *words)


def _patch(agent: str, patch: Object, *words: str) -> None:
    _kubectl(agent, "patch", "-p", json.dumps(patch), *words)


def _apply_old_file(agent: str) -> None:
    """As the handbook says, with a container of its own name."""
    container = {"name": agent, "image": f"{TESTGATEWAY}:latest"}
    spec = (get("deployment", agent) or {})["spec"]
    old = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": agent, "namespace": NAMESPACE}}
    old["spec"] = {"selector": spec["selector"], "template": {"spec": {"containers": [container]}}}
    kubectl("apply", "--server-side", "--field-manager=handbook", "-f", "-", stdin=json.dumps(old))


#: By whose hand -> what it does, and whether putting that back makes a new pod.
HANDS: dict[str, tuple[Callable[[str], None], bool]] = {
    "set-env": (lambda agent: _kubectl(agent, "set env", "FOO=bar"), True),
    "set-image": (lambda agent: _kubectl(agent, "set image", f"openclaw={TESTGATEWAY}:exit78"), True),
    "set-resources": (lambda agent: _kubectl(agent, "set resources", "-c=openclaw", "--limits=cpu=2"), True),
    "patch": (lambda agent: _patch(agent, {"spec": {"minReadySeconds": 9}}), False),
    "edit": (
        lambda agent: _patch(
            agent, {"spec": {"template": {"spec": {"hostNetwork": True}}}}, "--field-manager=kubectl-edit"
        ),
        True,
    ),
    "apply": (_apply_old_file, True),
    "restart": (lambda agent: _kubectl(agent, "rollout restart"), False),
    "scale-away": (lambda agent: _kubectl(agent, "scale", "--replicas=0"), True),
    "scale-up": (lambda agent: _kubectl(agent, "scale", "--replicas=2"), False),
    "hpa": (
        lambda agent: _patch(
            agent, {"spec": {"replicas": 2}}, "--subresource=scale", "--field-manager=horizontal-pod-autoscaler"
        ),
        False,
    ),
}


def of_option(option: str) -> str:
    return f"muda-{option.replace('_', '-')}"


def of_hand(hand: str) -> str:
    return f"mao-{hand}"


def changes(run: Run, agent: str) -> list[Object]:
    """What the rollout of this agent says that it changes, or has changed; [] where the plan left it out."""
    result = run.results.get(agent) or {}
    # What is recorded of a proof cannot be foretold.
    found: list[Object] = [one for one in result.get("changes") or [] if one["kind"] != "ConfigMap"]
    return sorted(
        ({key: one[key] for key in ("kind", "change", "fields")} for one in found), key=lambda one: one["kind"]
    )


def uids(agent: str) -> set[str]:
    return {one["metadata"]["uid"] for one in pods(agent) if not one["metadata"].get("deletionTimestamp")}


def compared(fleet: Fleet, expected: Mapping[str, bool]) -> list[str]:
    """expected: agent -> whether a new pod comes. The check, the run after it, and once more, which does nothing."""
    wrong = []
    before = {agent: uids(agent) for agent in expected}
    foretold = fleet.rollout("", "--check").ok()
    assert {agent: uids(agent) for agent in expected} == before, "a check restarts nobody"
    run = fleet.rollout().ok()
    for agent, restarts in expected.items():
        said, done = changes(foretold, agent), changes(run, agent)
        if said != done:
            wrong.append(f"{agent}: foretold {said}, done {done}")
        told = bool((foretold.results.get(agent) or {}).get("restarts"))
        is_new = not uids(agent) <= before[agent]
        if not told == is_new == restarts:
            wrong.append(f"{agent}: a new pod was {told=}, {is_new=}, wanted {restarts}")
    again = fleet.rollout().ok()
    if f"nothing to do for {len(fleet.names)} of" not in again.output:
        wrong.append(f"the run after it found something to do: {again.output[-1500:]}")
    return wrong


def test_each_option_is_in_the_table_or_has_its_place() -> None:
    assert set(AGENT) == {*OPTIONS, *ELSEWHERE}
    assert not OPTIONS.keys() & ELSEWHERE.keys()


@pytest.mark.usefixtures("fake_nodes")
def test_what_check_says_of_an_option_is_what_the_run_does(make_fleet: Make) -> None:
    agents = {option: of_option(option) for option in OPTIONS}
    bare: dict[str, Object] = {agent: dict(KWOK) for agent in agents.values()}
    quick = {"agent_stability_seconds": 2, "agent_secret_refresh": "1h"}
    fleet = make_fleet(*agents.values(), variables=quick, host_variables=bare, canaries=list(agents.values()))
    fleet.rollout().ok()
    wrong = []
    for words in ("one", "other", ""):
        for option, agent in agents.items():
            value = {f"agent_{option}": getattr(OPTIONS[option], words)} if words else {}
            fleet.host_variables[agent] = {**KWOK, **value}
        found = compared(fleet, {agent: OPTIONS[option].restarts for option, agent in agents.items()})
        wrong += [f"{words or 'removed'}: {line}" for line in found]
    assert not wrong, "\n".join(wrong)


@pytest.mark.usefixtures("fake_nodes")
def test_what_check_and_status_say_of_another_hand_is_what_the_run_does(make_fleet: Make, watched: PodWatch) -> None:
    agents = {hand: of_hand(hand) for hand in HANDS}
    bare: dict[str, Object] = {agent: dict(KWOK) for agent in agents.values()}
    quick = {"agent_stability_seconds": 1, "agent_secret_refresh": "1h"}
    fleet = make_fleet(*agents.values(), variables=quick, host_variables=bare, canaries=list(agents.values()))
    fleet.rollout().ok()
    for hand, agent in agents.items():
        with watched.excused(agent):
            HANDS[hand][0](agent)

    def settled() -> bool:
        found = [get("deployment", agent) or {} for agent in agents.values()]
        return all(
            one["status"].get("observedGeneration") == one["metadata"]["generation"]
            and (one["status"].get("updatedReplicas") or 0)
            == (one["status"].get("availableReplicas") or 0)
            == (one["status"].get("replicas") or 0)
            == one["spec"]["replicas"]
            for one in found
        )

    until(settled, "what the hands did has settled", 60)
    (status,) = fleet.play("playbooks/status.yml").ok().results.values()
    drift = {one["agent"]: one["drift"] for one in status["agents"]}
    foretold = fleet.rollout("", "--check").ok()
    wrong = []
    for hand, agent in agents.items():
        said = [line for one in changes(foretold, agent) if one["kind"] == "Deployment" for line in one["fields"]]
        if sorted(said) != sorted(drift[agent]):
            wrong.append(f"{hand}: status says {drift[agent]}, the check {said}")
    wrong += compared(fleet, {agent: HANDS[hand][1] for hand, agent in agents.items()})
    assert not wrong, "\n".join(wrong)

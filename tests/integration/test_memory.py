"""An agent's memory is one volume: no gateway runs on another one, or on nothing, unless a person has said so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import NAMESPACE, TESTGATEWAY, Fleet, get, kubectl, pods, until
from tests.integration.podwatch import PodWatch
from tests.sandbox.proxy import Through

Make = Callable[..., Fleet]
FOLDER = "/root/.openclaw"
#: What the agent has learnt.
NOTE = "os segredos do condomínio"


@pytest.fixture
def remembers(make_fleet: Make) -> Callable[[str], Fleet]:
    """remembers(agent): it runs, and has written something down."""

    def make(agent: str) -> Fleet:
        fleet = make_fleet(agent)
        fleet.rollout(agent).ok()
        write_note(agent)
        return fleet

    return make


def in_pod(agent: str, script: str) -> str:
    running = next(one for one in pods(agent) if not one["metadata"].get("deletionTimestamp"))
    name = running["metadata"]["name"]
    return kubectl("exec", "-n", NAMESPACE, name, "-c", "openclaw", "--", "sh", "-c", script).strip()


def write_note(agent: str) -> None:
    in_pod(agent, f"printf %s '{NOTE}' > {FOLDER}/note")


def note(agent: str) -> str:
    return in_pod(agent, f"cat {FOLDER}/note 2>/dev/null || true")


def identity(agent: str) -> str:
    """As the releases' ConfigMap has it, which the volume itself must bear out."""
    found = get("configmap", f"{agent}-releases")
    assert found
    recorded = str(found["data"]["volume"])
    statuses = [pod["status"].get("initContainerStatuses") for pod in pods(agent)]
    assert in_pod(agent, f"cat {FOLDER}/volume.id") == recorded, statuses
    return recorded


def scale(agent: str, replicas: int) -> None:
    kubectl("scale", "deployment", agent, "-n", NAMESPACE, f"--replicas={replicas}")
    if not replicas:
        until(lambda: not pods(agent), "its pod is gone")


def refused(agent: str) -> str:
    """What the init container of its pod says, which lets no gateway start."""

    def told() -> str:
        for pod in pods(agent):
            status = pod.get("status") or {}
            for one in status.get("initContainerStatuses") or []:
                ends = [(one.get(state) or {}).get("terminated") or {} for state in ("state", "lastState")]
                if words := next((end["message"] for end in ends if end.get("exitCode") == 66), ""):
                    started = [container.get("started") for container in status.get("containerStatuses") or []]
                    assert not any(started), "a gateway was started"
                    return str(words)
        return ""

    return str(until(told, "the volume is refused"))


def claim(name: str, like: dict[str, Any]) -> None:
    """Another claim of the same class and size, made by hand."""
    spec = {key: like["spec"][key] for key in ("accessModes", "storageClassName", "resources")}
    meta = {"name": name, "namespace": NAMESPACE, "labels": like["metadata"]["labels"]}
    made = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(made))


def patch(agent: str, *operations: dict[str, Any]) -> None:
    kubectl("patch", "deployment", agent, "-n", NAMESPACE, "--type=json", "-p", json.dumps(operations))


def mend(agent: str, script: str) -> None:
    """By a pod of a person's, that ends when it has done so."""
    name, claim = f"{agent}-mend", f"{agent}-state"
    mount = {"name": "state", "mountPath": FOLDER}
    container = {"name": "mend", "image": TESTGATEWAY, "command": ["sh", "-c", script], "volumeMounts": [mount]}
    volume = {"name": "state", "persistentVolumeClaim": {"claimName": claim}}
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(made))
    until(lambda: (get("pod", name) or {})["status"].get("phase") == "Succeeded", "it is mended", 60)
    kubectl("delete", "pod", name, "-n", NAMESPACE)


def test_an_emptied_volume_gets_no_gateway_and_is_told(remembers: Callable[[str], Fleet], watched: PodWatch) -> None:
    """Trials A6: a new configuration was seeded, the pod was Ready, "nothing to do"."""
    agent = "memoria-vazia"
    fleet = remembers(agent)
    before = identity(agent)
    in_pod(agent, f"rm -rf {FOLDER}/* {FOLDER}/.[!.]*")
    with watched.excused(agent):  # a ReplicaSet does not wait for the pod that ends
        kubectl("delete", "pod", pods(agent)[0]["metadata"]["name"], "-n", NAMESPACE)
    assert refused(agent) == f"expected {before}, found none"
    run = fleet.rollout(agent)
    message = message_of(run, agent)
    assert f"the volume does not hold the agent's memory: expected {before}, found none" in message
    assert error_of(run, agent)["cause"] == "memory"
    accept = f"accept_volume={agent}-state"
    assert f"ansible-playbook rollout.yml -e agent={agent} -e {accept}" in message
    assert "no memory" in fleet.play("playbooks/status.yml", "-e", f"agent={agent}").output
    # What was told makes it well.
    fleet.rollout(agent, "-e", accept).ok()
    assert identity(agent) != before
    again = fleet.rollout(agent, "-e", accept).ok()
    assert "nothing to do" in again.output
    assert "nothing to do" in fleet.rollout(agent).ok().output


def test_a_claim_that_was_made_anew_starts_no_gateway_until_it_is_accepted(
    remembers: Callable[[str], Fleet], proxy: Through
) -> None:
    """Trials A7: rc 0, "the gateway takes the token", a green agent without its memory."""
    agent = "memoria-nova"
    fleet = remembers(agent)
    old = get("persistentvolumeclaim", f"{agent}-state")
    assert old
    before = identity(agent)
    scale(agent, 0)
    kubectl("delete", "pvc", f"{agent}-state", "-n", NAMESPACE)
    gone = fleet.rollout(agent, env=proxy.environment)
    gone.failed(f"claim {agent}-state (uid {old['metadata']['uid']})", "is not there any more")
    claim(f"{agent}-state", old)
    new = get("persistentvolumeclaim", f"{agent}-state")
    assert new
    for words in ((), ("--check",)):
        run = fleet.rollout(agent, *words, env=proxy.environment)
        run.failed(old["metadata"]["uid"], new["metadata"]["uid"], f"accept_volume={agent}-state")
    assert proxy.proxy.writes() == []
    # Nor by another hand.
    scale(agent, 1)
    assert refused(agent) == f"expected {before}, found none"
    fleet.rollout(agent, "-e", f"accept_volume={agent}-state").ok()
    assert identity(agent) != before
    assert "nothing to do" in fleet.rollout(agent).ok().output


def test_an_exchanged_claim_is_a_persons_to_choose_and_stays_chosen(
    remembers: Callable[[str], Fleet], proxy: Through
) -> None:
    agent = "memoria-troca"
    fleet = remembers(agent)
    before = identity(agent)
    other = f"{agent}-outra"
    old = get("persistentvolumeclaim", f"{agent}-state")
    assert old
    claim(other, {**old, "metadata": {"labels": {}}})
    path = "/spec/template/spec/volumes/0/persistentVolumeClaim/claimName"
    patch(agent, {"op": "replace", "path": path, "value": other})
    try:
        assert refused(agent) == f"expected {before}, found none"
        run = fleet.rollout(agent, env=proxy.environment)
        run.failed(f"claim {other} at {FOLDER}", f"claim {agent}-state at {FOLDER}")
        run.failed(f"accept_volume={agent}-state:{FOLDER}", f"accept_volume={other}:{FOLDER}")
        assert proxy.proxy.writes() == []
        # Back, by what was told.
        fleet.rollout(agent, "-e", f"accept_volume={agent}-state:{FOLDER}").ok()
        assert (note(agent), identity(agent)) == (NOTE, before)
        # And for good to the other one, which a person made and nobody labelled.
        fleet.rollout(agent, "-e", f"accept_volume={other}").ok()
        assert note(agent) == ""
        write_note(agent)
        after = identity(agent)
        # Where the Deployment is gone the record counts, never a name that is derived from the agent's.
        kubectl("delete", "deployment", agent, "-n", NAMESPACE)
        until(lambda: not pods(agent), "its pod is gone")
        fleet.rollout(agent).ok()
        assert (note(agent), identity(agent)) == (NOTE, after)
        live = get("deployment", agent)
        assert live
        volumes = live["spec"]["template"]["spec"]["volumes"]
        assert volumes[0]["persistentVolumeClaim"]["claimName"] == other
        assert "nothing to do" in fleet.rollout(agent).ok().output
    finally:
        kubectl("delete", "pvc", other, "-n", NAMESPACE, "--wait=false", check=False)


def test_a_volume_that_is_mounted_elsewhere_is_told_and_put_back_by_what_is_told(
    remembers: Callable[[str], Fleet], proxy: Through
) -> None:
    agent = "memoria-pasta"
    fleet = remembers(agent)
    path = "/spec/template/spec/containers/0/volumeMounts/0/mountPath"
    patch(agent, {"op": "replace", "path": path, "value": "/data"})
    words = f"claim {agent}-state at /data", f"claim {agent}-state at {FOLDER}"
    for playbook in ("rollout.yml", "playbooks/restart.yml", "playbooks/rotate.yml"):
        more = ("-e", "keys=OPENCLAW_GATEWAY_TOKEN") if "rotate" in playbook else ()
        fleet.play(playbook, "-e", f"agent={agent}", *more, env=proxy.environment).failed(*words)
    fleet.rollout(agent, "-e", f"accept_volume={agent}-state", env=proxy.environment).failed("can mean two")
    assert proxy.proxy.writes() == []
    fleet.rollout(agent, "-e", f"accept_volume={agent}-state:{FOLDER}").ok()
    assert note(agent) == NOTE


def test_a_word_for_one_agent_is_not_taken_for_several(make_fleet: Make, proxy: Through) -> None:
    fleet = make_fleet("memoria-a", "memoria-b")
    fleet.rollout("", "-e", "accept_volume=x", env=proxy.environment).failed("accept_volume is for one agent")
    fleet.rollout("memoria-a", "-e", "accept_volume=X:y", env=proxy.environment).failed("names no claim")
    assert proxy.proxy.writes() == []


def test_a_crash_loop_that_was_mended_on_the_volume_is_begun_afresh(
    make_fleet: Make, needs: Callable[..., None], watched: PodWatch
) -> None:
    """Trials C7: the ends from before counted, so the advised run told the same error again, twice."""
    needs("kubelet")
    agent = "memoria-laco"
    script = f"if [ -e {FOLDER}/broken ]; then exit 3; fi; exec openclaw gateway run --bind lan --port 18789"
    fleet = make_fleet(agent, variables={"agent_command": ["sh", "-c"], "agent_args": [script]})
    fleet.rollout(agent).ok()
    release = (get("configmap", f"{agent}-releases") or {})["data"]
    in_pod(agent, f"touch {FOLDER}/broken; kill 1")

    def loops() -> bool:
        status = pods(agent)[0]["status"]["containerStatuses"][0]
        return bool(status["restartCount"] > 1 and "waiting" in status["state"])

    until(loops, "its gateway ends again and again", 120)
    # Nothing was mended: the failure tells the cause, and no other release would help.
    message = message_of(fleet.rollout(agent), agent)
    assert "ended 2 times (exit code 3" in message
    assert "This is the last good release itself" in message
    until(loops, "the new one does, too", 120)
    with watched.excused(agent):
        mend(agent, f"rm {FOLDER}/broken")
    foretold = fleet.rollout(agent, "--check").ok()
    assert "new pod: its gateway ends again and again: a new pod begins afresh" in foretold.output
    before = pods(agent)[0]["metadata"]["uid"]
    fleet.rollout(agent).ok()
    (now,) = pods(agent)
    assert now["metadata"]["uid"] != before
    assert now["status"]["containerStatuses"][0]["restartCount"] == 0
    assert (get("configmap", f"{agent}-releases") or {})["data"]["volume"] == release["volume"]
    assert not fleet.rollout(agent).ok().changed(agent)

"""An agent as 0.1.0 made it, rolled out by what is here: the same volume, the same selector, one restart that is told.

recorded/0.1.0.json: all objects of an agent with their managedFields, read from the API server right after the rollout
of commit e58b3e7, less what the server and the controllers write by themselves. Of a later release that changes the pod
template, record another one beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from tests.integration.fleet import NAMESPACE, TESTGATEWAY, VAULT_ADDR, Fleet, Object, get, kubectl, pods, until
from tests.integration.podwatch import PodWatch
from tests.integration.registries import digest_of

AGENT = "antiga"
RECORDED = Path(__file__).parent / "recorded" / "0.1.0.json"
NOTE = "/root/.openclaw/note"


def _objects() -> list[Object]:
    image = f"{TESTGATEWAY}@{digest_of(TESTGATEWAY, 'latest')}"
    text = RECORDED.read_text().replace("@NAMESPACE@", NAMESPACE).replace("@IMAGE@", image)
    found: list[Object] = json.loads(text.replace("@VAULT@", VAULT_ADDR))
    return found


def _made(objects: list[Object]) -> None:
    """As they stood: whoever makes an object owns its fields, so who owned them is put back after it."""
    for one in objects:
        kubectl("create", "-f", "-", stdin=json.dumps(one))
        fields = json.dumps({"metadata": {"managedFields": one["metadata"]["managedFields"]}})
        kubectl("patch", one["kind"], one["metadata"]["name"], "-n", NAMESPACE, "--type=merge", "-p", fields)


def _running() -> str:
    """The name of its pod, once it is ready."""
    for pod in pods(AGENT):
        conditions = (pod.get("status") or {}).get("conditions") or []
        if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            return str(pod["metadata"]["name"])
    return ""


def _in_pod(script: str) -> str:
    return kubectl("exec", "-n", NAMESPACE, _running(), "-c", "openclaw", "--", "sh", "-c", script).strip()


def test_an_agent_of_0_1_0_keeps_its_volume_and_its_selector_and_restarts_once(
    make_fleet: Callable[..., Fleet],
) -> None:
    fleet = make_fleet(AGENT)
    with PodWatch() as watch:
        _made(_objects())
        until(_running, "the pod of 0.1.0 is ready", 60)
        _in_pod(f"echo lembrança > {NOTE}")
        before = get("deployment", AGENT)
        claim = get("persistentvolumeclaim", f"{AGENT}-state")
        run = fleet.rollout(AGENT).ok()
        idle = fleet.rollout(AGENT).ok()
        after = get("deployment", AGENT)
        assert len(watch.names(AGENT)) == 2, "one restart"
        assert not watch.together
    assert f"{AGENT}: new pod: " in run.output, run.output
    assert re.search(r"digitalsys.agents 0.1.0 -> [\d.]+: init container, pod label", run.output)
    assert "nothing to do" in idle.output
    assert before
    assert after
    assert claim
    assert after["spec"]["selector"] == before["spec"]["selector"]
    assert after["spec"]["template"]["spec"]["volumes"] == before["spec"]["template"]["spec"]["volumes"]
    assert _in_pod(f"cat {NOTE}") == "lembrança"
    record = get("configmap", f"{AGENT}-releases")
    assert record
    assert record["data"]["volume"] == _in_pod("cat /root/.openclaw/volume.id")
    facts = json.loads(record["data"]["facts.json"])
    assert facts["claimUid"] == claim["metadata"]["uid"]
    assert [one["id"] for one in json.loads(record["data"]["releases.json"])] == ["r1", "r2"]
    # And once more by hand: probes of another kind, which no apply of ours alone would take out.
    kubectl("rollout", "undo", f"deployment/{AGENT}", "-n", NAMESPACE)
    undone = fleet.rollout(AGENT).ok()
    assert "changed by hand (kubectl" in undone.output
    again = get("deployment", AGENT)
    assert again
    assert again["spec"]["template"] == after["spec"]["template"]
    assert "nothing to do" in fleet.rollout(AGENT).ok().output

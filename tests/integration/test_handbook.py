"""An agent that was made by hand, as the company's handbook makes it: every operation says that it is not ours, and
nothing of it is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.failing import error_of
from tests.integration.fleet import (
    NAMESPACE,
    TESTGATEWAY,
    Fleet,
    Object,
    Run,
    as_identity,
    get,
    kubectl,
    until,
    vault_admin,
    versions,
)
from tests.integration.home import VAULT_ADDR
from tests.integration.rotating import TOKEN
from tests.sandbox.existing import Existing

AGENT = "feita-a-mao"
CLAIM, ACCESS = f"{AGENT}-pvc", f"{AGENT}-vault-approle"
FOLDER = "/root/.openclaw"
#: No hint tells anybody to take anything away: on the real platform a deleted claim is a destroyed disk.
FORBIDDEN = re.compile(r"(?i)\b(remove|delete|kubectl delete|take) (it|that|them|the)\b")


def _by_hand(role_id: str) -> list[Object]:
    def of(api: str, kind: str, name: str, spec: Object) -> Object:
        meta = {"name": name, "namespace": NAMESPACE, "labels": {"app": AGENT}}
        return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}

    secret = {"name": ACCESS, "key": "secret-id"}
    auth = {"appRole": {"path": "approle", "roleId": role_id, "secretRef": secret}}
    vault = {"server": VAULT_ADDR, "path": "kv", "version": "v2", "auth": auth}
    external = {
        "refreshInterval": "1h",
        "secretStoreRef": {"kind": "SecretStore", "name": f"{AGENT}-vault"},
        "target": {"name": f"{AGENT}-env"},
        "dataFrom": [{"extract": {"key": f"agents/{AGENT}"}}],
    }
    configured = f"""echo '{{"gateway": {{"mode": "local"}}}}' > {FOLDER}/openclaw.json"""
    container = {
        "name": AGENT,
        "image": f"{TESTGATEWAY}:latest",
        "command": ["sh", "-c"],
        "args": [f"{configured}; exec openclaw gateway run --bind lan --port 18789"],
        "envFrom": [{"secretRef": {"name": f"{AGENT}-env"}}],
        "volumeMounts": [{"name": "data", "mountPath": FOLDER}],
    }
    pod = {
        "nodeSelector": {"doks.digitalocean.com/node-pool": "bots"},
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}],
    }
    deployment = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": AGENT}},
        "template": {"metadata": {"labels": {"app": AGENT}}, "spec": pod},
    }
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "do-block-storage",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    eso = "external-secrets.io/v1"
    return [
        of("v1", "PersistentVolumeClaim", CLAIM, claim),
        of(eso, "SecretStore", f"{AGENT}-vault", {"provider": {"vault": vault}}),
        of(eso, "ExternalSecret", f"{AGENT}-env-secret", external),
        of("apps/v1", "Deployment", AGENT, deployment),
    ]


@pytest.fixture(scope="module")
def handmade(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if lacking := {"kubelet", "vault-admin"} - sandbox.capabilities:
        pytest.skip(f"this backend lacks: {', '.join(sorted(lacking))}")
    fleet = Fleet(tmp_path_factory.mktemp("handbook"), [AGENT])
    try:
        fleet.provide()
        found = get("secret", ACCESS) or {}
        role_id = vault_admin().auth.approle.read_role_id(f"{AGENT}-role")["data"]["role_id"]
        kubectl("delete", "secret", ACCESS, "-n", NAMESPACE)
        meta = {"name": ACCESS, "namespace": NAMESPACE}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta}
        secret["data"] = {"secret-id": found["data"]["secret-id"]}
        made = [secret, *_by_hand(role_id)]
        kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(one) for one in made))
        until(_has_settled, "it runs, and its controllers have said so", 90)
        yield fleet
    finally:
        for one in reversed(_by_hand("")):
            kubectl(
                "delete", one["kind"], one["metadata"]["name"], "-n", NAMESPACE, "--ignore-not-found", "--wait=false"
            )
        kubectl("delete", "secret", ACCESS, "-n", NAMESPACE, "--ignore-not-found")
        fleet.remove()


def _has_settled() -> bool:
    """Whoever looks at versions must not see a status that was still to come."""
    status = (get("deployment", AGENT) or {}).get("status") or {}
    reasons = [one["reason"] for one in status.get("conditions") or []]
    eso = [get("externalsecret", f"{AGENT}-env-secret"), get("secretstore", f"{AGENT}-vault")]
    synced = all(((one or {}).get("status") or {}).get("conditions") for one in eso)
    return bool(status.get("availableReplicas") and "NewReplicaSetAvailable" in reasons and synced)


def _pod() -> Object:
    (one,) = json.loads(kubectl("get", "pods", "-n", NAMESPACE, "-l", f"app={AGENT}", "-o", "json"))["items"]
    found: Object = one
    return found


def _seen() -> list[Any]:
    vault = vault_admin()
    return [
        versions(AGENT),
        _pod()["metadata"]["uid"],
        vault.sys.read_policy(f"agents-{AGENT}")["data"],
        vault.auth.approle.read_role(f"{AGENT}-role")["data"],
        vault.secrets.kv.v2.read_secret_metadata(f"agents/{AGENT}", mount_point="kv")["data"],
    ]


PLAYBOOKS = {
    "rollout.yml": (),
    "playbooks/restart.yml": (),
    "playbooks/provision.yml": (),
    "playbooks/rotate.yml": ("-e", f"keys={TOKEN}"),
    "playbooks/rotate_access.yml": (),
}


@pytest.mark.parametrize("flags", [("--check",), ()], ids=["check", "run"])
@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_each_operation_says_that_it_is_not_ours_and_touches_nothing(
    handmade: Fleet, playbook: str, flags: tuple[str, ...]
) -> None:
    """Trials E3: the hints, followed one by one, ended in a green agent on a new and empty volume."""
    before = _seen()
    env = as_identity("PROVISIONER") if "provision" in playbook else None
    run: Run = handmade.play(playbook, "-e", f"agent={AGENT}", *PLAYBOOKS[playbook], *flags, env=env)
    assert run.rc != 0, run.output
    assert "made by this collection" in run.output or "was never rolled out" in run.output, run.output
    assert error_of(run, AGENT)["kind"] in ("not_ours", "rollout")
    assert not FORBIDDEN.search(run.output), run.output
    assert _seen() == before


def test_status_says_of_it_what_can_be_seen(handmade: Fleet) -> None:
    before = _seen()
    run = handmade.play("playbooks/status.yml", "-e", f"agent={AGENT}", "-e", "secrets=true").ok()
    assert not FORBIDDEN.search(run.output), run.output
    assert _seen() == before

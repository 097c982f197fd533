"""The agents that are measured: their entries in Vault, their inventories and manifests, and their removal."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tests.integration.fleet import KEYS, NAMESPACE, REGISTRY, Fleet, apply, kubectl, until, vault_admin
from tests.sandbox import kwok

#: Seconds that a pod must stay ready; the first rollouts are also told less these.
STABILITY = 2
#: One AppRole and one policy for all of them: what ESO logs in with is not what is measured.
_ROLE = "bench"
_NODE = "bench-node"
_LABEL = "agents.digitalsys/bench"
_REPOSITORY = "digitalsys/testgateway"
_MANIFESTS = ("oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.v2")
_KINDS = {
    "/apis/apps/v1": ("deployments",),
    "/apis/external-secrets.io/v1": ("externalsecrets", "secretstores"),
    "/apis/networking.k8s.io/v1": ("networkpolicies",),
    "/apis/coordination.k8s.io/v1": ("leases",),
    "/api/v1": ("pods", "persistentvolumeclaims", "serviceaccounts", "configmaps", "secrets"),
}
PLAYBOOKS = Path(__file__).parent / "playbooks"
Object = dict[str, Any]


@dataclass(frozen=True)
class Agents:
    """fleet: the inventory of rollout.yml. objects: the hosts with their manifests in bench_objects, for others' ways.
    manifests: all of them in one file, for kubectl."""

    fleet: Fleet
    objects: Path
    manifests: Path

    @property
    def names(self) -> list[str]:
        return self.fleet.names


def _digest() -> str:
    media = ", ".join(f"application/vnd.{kind}+json" for kind in _MANIFESTS)
    url = f"http://{REGISTRY}/v2/{_REPOSITORY}/manifests/latest"
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": media})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return str(answer.headers["Docker-Content-Digest"])


def make(folder: Path, count: int) -> Agents:
    """Inventories and manifests of `count` agents. The manifests are what module `agent` prints."""
    names = [f"bench-{number:03}" for number in range(count)]
    variables = {
        # Pinned, since manifests carry digests and all ways are to apply the same.
        "agent_image": f"{REGISTRY}/{_REPOSITORY}:latest@{_digest()}",
        "agent_verify": "ready",
        "agent_node_selector": {_LABEL: "true"},
        "agent_tolerations": [kwok.TOLERATION],
        "agent_requests": {},
        "agent_stability_seconds": STABILITY,
        "agent_secret_refresh": "1h",
    }
    folder.mkdir()
    fleet = Fleet(folder, names, variables, canaries=names[:1])
    printed = fleet.play(str(PLAYBOOKS / "agent.yml"), "-e", "bench_state=rendered").ok()
    objects = {name: printed.results[name]["objects"] for name in names}
    others, manifests = folder / "objects", folder / "manifests.json"
    (others / "host_vars").mkdir(parents=True)
    (others / "group_vars").mkdir()
    (others / "hosts.yml").write_text(yaml.safe_dump({"agents": {"hosts": dict.fromkeys(names)}}))
    python = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    (others / "group_vars" / "agents.yml").write_text(yaml.safe_dump(python))
    for name in names:
        (others / "host_vars" / f"{name}.json").write_text(json.dumps({"bench_objects": objects[name]}))
    items = [one for name in names for one in objects[name]]
    manifests.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return Agents(fleet, others, manifests)


@contextmanager
def node() -> Iterator[None]:
    """A fake node of the bench's own: other tests add and remove theirs meanwhile."""
    manifest = kwok.node(_NODE)
    manifest["metadata"]["labels"] = {_LABEL: "true"}
    apply(manifest)
    ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    try:
        until(lambda: kubectl("get", "node", _NODE, "-o", ready) == "True", f"{_NODE} is ready")
        yield
    finally:
        kubectl("delete", "node", _NODE, "--ignore-not-found", "--wait=false")


@contextmanager
def provided(names: list[str]) -> Iterator[None]:
    """Values in Vault for each, and what ESO logs in with."""
    client = vault_admin()
    policy = "".join(
        f'path "kv/{part}/agents/bench-*" {{ capabilities = ["read"] }}\n' for part in ("data", "metadata")
    )
    try:
        client.sys.create_or_update_policy(_ROLE, policy)
        client.auth.approle.create_or_update_approle(_ROLE, token_policies=[_ROLE], secret_id_ttl="0")
        for name in names:
            values = {key: secrets.token_urlsafe(24) for key in KEYS}
            client.secrets.kv.v2.create_or_update_secret(f"agents/{name}", values, mount_point="kv")
        yield
    finally:
        for name in names:
            client.secrets.kv.v2.delete_metadata_and_all_versions(f"agents/{name}", mount_point="kv")
        client.auth.approle.delete_role(_ROLE)
        client.sys.delete_policy(_ROLE)


def _access_secrets(names: list[str]) -> None:
    client = vault_admin()
    role_id = client.auth.approle.read_role_id(_ROLE)["data"]["role_id"]
    data = {"role-id": role_id, "secret-id": client.auth.approle.generate_secret_id(_ROLE)["data"]["secret_id"]}
    labels = {
        "app.kubernetes.io/part-of": "agents",
        "app.kubernetes.io/managed-by": "digitalsys.agents",
    }
    metadata = {"namespace": NAMESPACE}
    apply(
        *(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    **metadata,
                    "name": f"{name}-vault-approle",
                    "labels": {**labels, "app.kubernetes.io/instance": name},
                },
                "stringData": data,
            }
            for name in names
        )
    )


def _selector(names: list[str]) -> str:
    return f"app.kubernetes.io/instance in ({','.join(names)})"


def fresh(names: list[str]) -> None:
    """Nothing of them in the cluster but the Secrets that `provision` would have left."""
    remove(names)
    _access_secrets(names)


def remove(names: list[str]) -> None:
    """Everything of them in the cluster, by collections: one request for each kind. Waits until it is gone."""
    for group, kinds in _KINDS.items():
        for kind in kinds:
            path = f"{group}/namespaces/{NAMESPACE}/{kind}?labelSelector={quote(_selector(names))}&gracePeriodSeconds=0"
            kubectl("delete", "--raw", path)
    # Written by ESO, owned by the ExternalSecret, without our label.
    kubectl("delete", "-n", NAMESPACE, "--ignore-not-found", "--wait=false", *(f"secret/{name}-env" for name in names))
    left = (
        "get",
        "deployments,replicasets,pods,persistentvolumeclaims",
        "-n",
        NAMESPACE,
        "-l",
        _selector(names),
        "-o",
        "name",
    )
    until(lambda: not kubectl(*left).strip(), "the agents are gone", 120)


def settled(names: list[str]) -> None:
    """Waits until all their Deployments are available, so that nothing else is going on when the next run starts."""
    done = 'jsonpath={range .items[*]}{.status.availableReplicas}{"\\n"}{end}'
    asked = ("get", "deployments", "-n", NAMESPACE, "-l", _selector(names), "-o", done)
    until(lambda: kubectl(*asked).split() == ["1"] * len(names), "the agents are available", 180)

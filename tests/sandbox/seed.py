"""The fleet as `provision` would have made it, and the two identities that tests run with."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from . import cluster, config, vault
from .addresses import AGENTS, IDENTITIES_NAMESPACE, MARKER, NAMESPACE, STORAGE_CLASS
from .paths import CHECKOUT, SECRETS, write_secret
from .vault import FLEETS, Server

PERMISSIONS = CHECKOUT / "docs" / "permissions"
IDENTITIES = ("operator", "provisioner")
KEYS = ("GITHUB_TOKEN", "LINEAR_API_KEY", "OPENCLAW_GATEWAY_TOKEN")
_FLEET_LABELS = {"app.kubernetes.io/part-of": "agents", "app.kubernetes.io/managed-by": "digitalsys.agents"}
_MONTH = "768h"
_YEAR = "8760h"


@dataclass(frozen=True)
class AppRole:
    """What logs in by AppRole: the ids, and the accessor that names the secret-id without knowing it."""

    role_id: str
    secret_id: str
    accessor: str


def _new_app_role(role: str, policies: list[str], server: Server = FLEETS) -> AppRole:
    client = vault.client(server)
    # A TTL of 0 is "never expires": a sandbox may stay up for days, and the fleet's own SecretIDs once did not.
    client.auth.approle.create_or_update_approle(
        role, token_policies=policies, secret_id_ttl="0", secret_id_num_uses=0, token_ttl="20m", token_max_ttl="1h"
    )
    made = client.auth.approle.generate_secret_id(role)["data"]
    role_id = client.auth.approle.read_role_id(role)["data"]["role_id"]
    return AppRole(role_id, made["secret_id"], made["secret_id_accessor"])


def vault_policy(identity: str) -> str:
    """Not agents-…: those are the agents' own, which the provisioner may write, and an agent may be called operator."""
    return f"fleet-{identity}"


def agent_policy(agent: str) -> str:
    """What an agent's SecretStore may read: its own entry, and that entry's versions."""
    paths = (f"{vault.MOUNT}/{kind}/agents/{agent}" for kind in ("data", "metadata"))
    return "\n".join(f'path "{path}" {{\n  capabilities = ["read"]\n}}' for path in paths) + "\n"


def _write_policies(server: Server = FLEETS) -> None:
    for identity in IDENTITIES:
        text = (PERMISSIONS / f"{identity}.hcl").read_text()
        vault.client(server).sys.create_or_update_policy(vault_policy(identity), text)


def refresh_permissions() -> None:
    """Makes the running sandbox's identities what docs/permissions says by now."""
    cluster.apply([found for identity in IDENTITIES for found in _permissions(identity)])
    _write_policies()


def vault_side() -> dict[str, AppRole]:
    """Entry, policy and role of each agent, and the identities'. The agents' AppRoles by name."""
    client = vault.client()
    agents = {}
    for agent in AGENTS:
        client.secrets.kv.v2.create_or_update_secret(
            f"agents/{agent}", {key: secrets.token_urlsafe(24) for key in KEYS}, mount_point=vault.MOUNT
        )
        client.secrets.kv.v2.update_metadata(
            f"agents-rotation/{agent}", max_versions=3, cas_required=True, mount_point=vault.MOUNT
        )
        client.sys.create_or_update_policy(f"agents-{agent}", agent_policy(agent))
        agents[agent] = _new_app_role(f"{agent}-role", [f"agents-{agent}"])
    vault_identities(FLEETS)
    return agents


def vault_identities(server: Server) -> None:
    """Policies, tokens, and the operator's AppRole; what logs in is kept beside the server's root token."""
    _write_policies(server)
    for identity in IDENTITIES:
        policy = vault_policy(identity)
        made = vault.client(server).auth.token.create(
            policies=[policy], no_parent=True, ttl=_MONTH, display_name=policy
        )
        write_secret(server.secrets / f"{identity}-vault-token", made["auth"]["client_token"])
    operator = _new_app_role("fleet-operator", [vault_policy("operator")], server)
    write_secret(server.secrets / "operator-role-id", operator.role_id)
    write_secret(server.secrets / "operator-secret-id", operator.secret_id)


def _object(api_version: str, kind: str, name: str, namespace: str | None = None, **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def access_secret(agent: str, role: AppRole) -> dict[str, Any]:
    """The Secret by which the agent's SecretStore logs in."""
    return _object(
        "v1",
        "Secret",
        f"{agent}-vault-approle",
        NAMESPACE,
        metadata={
            "labels": {"app.kubernetes.io/name": "openclaw", "app.kubernetes.io/instance": agent, **_FLEET_LABELS},
            "annotations": {"agents.digitalsys/secret-id-accessor": role.accessor},
        },
        stringData={"role-id": role.role_id, "secret-id": role.secret_id},
    )


def _permissions(identity: str) -> list[dict[str, Any]]:
    """The Role and ClusterRole that the collection ships for this identity."""
    shipped: list[dict[str, Any]] = yaml.safe_load((PERMISSIONS / f"{identity}.yaml").read_text())["items"]
    return shipped


def _binding(identity: str, kind: str, namespace: str | None) -> dict[str, Any]:
    name = f"agents-{identity}"
    return _object(
        "rbac.authorization.k8s.io/v1",
        f"{kind}Binding",
        name,
        namespace,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        subjects=[{"kind": "ServiceAccount", "name": name, "namespace": IDENTITIES_NAMESPACE}],
    )


def fleets_namespace(namespace: str) -> None:
    """A namespace as the fleet's is: labels, service account, the identities' rights."""
    cluster.apply(
        [
            _object("v1", "Namespace", namespace, metadata={"labels": _FLEET_LABELS}),
            _object("v1", "ServiceAccount", "default", namespace),
        ]
    )
    grant_in(namespace)


def grant_in(namespace: str) -> None:
    """Gives both identities, in another namespace (which must exist), the Roles that they have in `bots`."""
    objects: list[Mapping[str, Any]] = []
    for identity in IDENTITIES:
        for found in _permissions(identity):
            if found["kind"] == "Role":
                objects.append({**found, "metadata": {**found["metadata"], "namespace": namespace}})
        objects.append(_binding(identity, "Role", namespace))
    cluster.apply(objects)


def cluster_side() -> None:
    """Marker, namespaces, StorageClass, the identities with their rights and kubeconfigs."""
    permissions = [found for identity in IDENTITIES for found in _permissions(identity)]
    cluster.apply(
        [
            _object("v1", "Namespace", "kube-system", metadata={"annotations": {MARKER: "true"}}),
            _object("v1", "Namespace", NAMESPACE, metadata={"labels": _FLEET_LABELS}),
            _object("v1", "Namespace", IDENTITIES_NAMESPACE),
            _object(
                "storage.k8s.io/v1", "StorageClass", STORAGE_CLASS,
                provisioner="kubernetes.io/host-path", reclaimPolicy="Delete", volumeBindingMode="Immediate",
            ),
            *(_object("v1", "ServiceAccount", f"agents-{name}", IDENTITIES_NAMESPACE) for name in IDENTITIES),
            # Pods are refused until it is there, and its controller takes seconds to come to it.
            _object("v1", "ServiceAccount", "default", NAMESPACE),
            *permissions,
            *(_binding(name, "Role", NAMESPACE) for name in IDENTITIES),
            *(_binding(name, "ClusterRole", None) for name in IDENTITIES),
        ]
    )  # fmt: skip
    for name in IDENTITIES:
        words = ("create", "token", f"agents-{name}", f"--namespace={IDENTITIES_NAMESPACE}", f"--duration={_YEAR}")
        token = cluster.kubectl(*words).strip()
        write_secret(SECRETS / f"{name}.kubeconfig", config.kubeconfig({"token": token}))


def access_secrets(agents: Mapping[str, AppRole]) -> None:
    """The Secrets that the agents' SecretStores log in with."""
    cluster.apply([access_secret(agent, role) for agent, role in agents.items()])


def cluster_uid() -> str:
    """The uid of the namespace kube-system, by which an inventory knows its cluster."""
    found = cluster.get("/api/v1/namespaces/kube-system")
    assert found is not None
    uid: str = found["metadata"]["uid"]
    return uid

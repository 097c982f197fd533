"""What a renewal of a SecretID works on, and what it leaves, read by other means: hvac as the administrator, kubectl.

No pod is needed for any of it: the agents are an entry in Vault, an AppRole, a SecretStore and an ExternalSecret.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

import hvac

from tests.integration.fleet import NAMESPACE, Fleet, Object, Run, apply, get, kubectl, until, vault_admin
from tests.integration.writes import holder
from tests.sandbox.proxy import Match, Request

PLAYBOOK = "playbooks/rotate_access.yml"
OURS = "agents.digitalsys/"
MADE_BY_US = {"managed-by": "digitalsys.agents", "cluster": os.environ.get("AGENTS_SANDBOX_CLUSTER_UID", "")}
MAKE, DESTROY = "role/[^/]+/secret-id$", "/secret-id-accessor/destroy$"


def connect(agent: str) -> None:
    """SecretStore and ExternalSecret, as a rollout leaves them; returns when ESO has synced."""
    labels = {"app.kubernetes.io/instance": agent, "app.kubernetes.io/managed-by": "digitalsys.agents"}
    name = f"{agent}-vault-approle"
    refs = {"roleRef": {"name": name, "key": "role-id"}, "secretRef": {"name": name, "key": "secret-id"}}
    auth = {"appRole": {"path": "approle", **refs}}
    vault = {"server": os.environ["VAULT_ADDR"], "path": "kv", "version": "v2", "auth": auth}
    spec = {
        "refreshInterval": "1h",
        "secretStoreRef": {"kind": "SecretStore", "name": f"{agent}-vault"},
        "target": {"name": f"{agent}-env", "creationPolicy": "Owner"},
        "dataFrom": [{"extract": {"key": f"agents/{agent}"}}],
    }
    api = "external-secrets.io/v1"

    def of(kind: str, name: str, spec: Object) -> Object:
        meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
        return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}

    apply(
        of("SecretStore", f"{agent}-vault", {"provider": {"vault": vault}}),
        of("ExternalSecret", f"{agent}-env-secret", spec),
    )
    until(lambda: ready(agent) == "True", f"the first sync of {agent}", 60)


def ready(agent: str, kind: str = "externalsecret", tail: str = "env-secret") -> str:
    """What ESO says of the agent's ExternalSecret, or SecretStore."""
    status = (get(kind, f"{agent}-{tail}") or {}).get("status") or {}
    return next((str(one["status"]) for one in status.get("conditions") or [] if one["type"] == "Ready"), "")


def ask_eso(agent: str, stamp: str) -> None:
    kubectl("annotate", "externalsecret", f"{agent}-env-secret", "-n", NAMESPACE, f"asked={stamp}", "--overwrite")


def access(agent: str) -> dict[str, str]:
    """RoleID and SecretID as they stand in the Secret, and what it says of them: our annotations, unprefixed."""
    found = get("secret", f"{agent}-vault-approle")
    assert found
    said = {name.removeprefix(OURS): text for name, text in found["metadata"]["annotations"].items() if OURS in name}
    return {**{key: base64.b64decode(value).decode() for key, value in found["data"].items()}, **said}


def logs_in(given: dict[str, str]) -> bool:
    try:
        hvac.Client(url=os.environ["VAULT_ADDR"]).auth.approle.login(
            given["role-id"], given["secret-id"], use_token=False
        )
    except hvac.exceptions.InvalidRequest:
        return False
    return True


def lock_out(given: dict[str, str]) -> None:
    """Logins with a SecretID that does not work, as ESO's are that tries on, until Vault refuses all by this RoleID."""

    def refused() -> bool:
        try:
            return logs_in({**given, "secret-id": "no-longer"})
        except hvac.exceptions.Forbidden:
            return True

    assert any(refused() for _attempt in range(20))


def unlock(role_id: str) -> None:
    """As a person with every right would."""
    accessor = vault_admin().sys.list_auth_methods()["data"]["approle/"]["accessor"]
    vault_admin().write(f"sys/locked-users/{accessor}/unlock/{role_id}")


def alive(agent: str) -> dict[str, Object]:
    """Accessor -> metadata of every SecretID that Vault has for the agent."""
    approle, role = vault_admin().auth.approle, f"{agent}-role"
    found = approle.list_secret_id_accessors(role)["data"]["keys"]
    return {one: approle.read_secret_id_accessor(role, one)["data"]["metadata"] or {} for one in found}


def a_persons(agent: str) -> str:
    """The accessor of a SecretID that a person made."""
    made = vault_admin().auth.approle.generate_secret_id(f"{agent}-role", metadata={"made-by": "alice"})
    return str(made["data"]["secret_id_accessor"])


def renew(fleet: Fleet, agent: str, *words: str, env: Mapping[str, str] | None = None) -> Run:
    return fleet.play(PLAYBOOK, "-e", f"agent={agent}", *words, env=env)


def not_renewed(agent: str, before: dict[str, str]) -> list[str]:
    """What is not as after a good renewal, read by other means."""
    now, there = access(agent), alive(agent)
    wrong = [f"{name} is left" for name in ("secret-id-renewal", "previous-secret-id-accessor") if name in now]
    if now["secret-id"] == before["secret-id"] or logs_in(before):
        wrong.append("the old SecretID is there, or works")
    if not logs_in(now):
        wrong.append("the new SecretID does not log in")
    if [one for one, metadata in there.items() if metadata == MADE_BY_US] != [now["secret-id-accessor"]]:
        wrong.append(f"of ours there are {there}")
    if found := holder(agent):
        wrong.append(f"the lock is held by {found}")
    return wrong


def spellings(value: str) -> list[str]:
    return [value, base64.b64encode(value.encode()).decode()]


def order(requests: list[Request]) -> list[str]:
    """The steps of a renewal as they were asked for, each once: its writes, and the login of the new SecretID."""
    steps = {
        "make": ("POST", MAKE),
        "Secret": ("PATCH", "/secrets/"),
        "login": ("POST", "/approle/login$"),
        "SecretStore": ("PATCH", "/secretstores/"),
        "ExternalSecret": ("PATCH", "/externalsecrets/"),
        "destroy": ("POST", DESTROY),
    }
    found = [
        name
        for request in requests
        for name, (method, path) in steps.items()
        if Match(methods={method}, path=path).covers(request.front, request.method, request.path, request.is_write)
    ]
    return list(dict.fromkeys(found))

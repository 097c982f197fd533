"""What a rotation works on, read back and edited by other means: hvac as the administrator, kubectl."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hvac

from tests.integration.fleet import NAMESPACE, get, kubectl, vault_admin

TOKEN = "OPENCLAW_GATEWAY_TOKEN"
#: The small image's gateway takes this in place of its own token: with most values it refuses what stands in Vault.
OVERRIDE = "TESTGATEWAY_TOKEN_OVERRIDE"
Object = dict[str, Any]


def _read(path: str, version: int | None = None) -> Object | None:
    try:
        answer = vault_admin().secrets.kv.v2.read_secret_version(
            path, version=version, mount_point="kv", raise_on_deleted_version=True
        )
    except hvac.exceptions.InvalidPath:
        return None
    found: Object = answer["data"]
    return found


def journal(agent: str) -> Object:
    """The newest document of the agent's journal; {} where no rotation ever began."""
    found = _read(f"agents-rotation/{agent}")
    return dict(found["data"]) if found else {}


def values_left(agent: str) -> list[str]:
    """Words for every version of the journal in which Vault still has a new value."""
    path = f"agents-rotation/{agent}"
    documents = {number: _read(path, number) for number in _versions(path)}
    return [f"{path} version {number}" for number, found in documents.items() if found and found["data"].get("new")]


def inbox(agent: str) -> dict[str, str]:
    """What lies in the inbox."""
    found = _read(f"agents-inbox/{agent}")
    return dict(found["data"]) if found else {}


def _versions(path: str) -> list[int]:
    try:
        metadata = vault_admin().secrets.kv.v2.read_secret_metadata(path, mount_point="kv")["data"]
    except hvac.exceptions.InvalidPath:
        return []
    return [
        int(number)
        for number, state in metadata["versions"].items()
        if not state["destroyed"] and not state["deletion_time"]
    ]


def vault_version(agent: str) -> int:
    """The newest version of the agent's live values."""
    metadata = vault_admin().secrets.kv.v2.read_secret_metadata(f"agents/{agent}", mount_point="kv")
    return int(metadata["data"]["current_version"])


def told(agent: str) -> dict[str, str]:
    """The custom metadata of the live path."""
    metadata = vault_admin().secrets.kv.v2.read_secret_metadata(f"agents/{agent}", mount_point="kv")
    return dict(metadata["data"]["custom_metadata"] or {})


def bring(agent: str, **values: str) -> None:
    """Values that a person lays into the inbox."""
    vault_admin().secrets.kv.v2.create_or_update_secret(f"agents-inbox/{agent}", values, mount_point="kv")


def take_out(agent: str) -> None:
    """All that lies in the inbox, as if it had never been there."""
    vault_admin().secrets.kv.v2.delete_metadata_and_all_versions(f"agents-inbox/{agent}", mount_point="kv")


def edit(agent: str, **values: str | None) -> None:
    """A person's edit of single keys on the live path; None removes one."""
    found = _read(f"agents/{agent}")
    assert found
    edited = {key: value for key, value in {**found["data"], **values}.items() if value is not None}
    vault_admin().secrets.kv.v2.create_or_update_secret(f"agents/{agent}", edited, mount_point="kv")


def secret(agent: str) -> dict[str, str]:
    """What the pod would read now."""
    found = get("secret", f"{agent}-env")
    return {key: base64.b64decode(value).decode() for key, value in ((found or {}).get("data") or {}).items()}


def stamp(agent: str) -> str:
    """The secret's version in the pod template."""
    live = get("deployment", agent)
    assert live
    return str(live["spec"]["template"]["metadata"]["annotations"].get("agents.digitalsys/secret-version", ""))


@contextmanager
def frozen() -> Iterator[None]:
    """A freeze of the whole fleet."""
    words = ("--from-literal=until=2999-01-01T00:00:00Z", "--from-literal=reason=stock-taking", "--from-literal=by=ana")
    kubectl("create", "configmap", "fleet-freeze", "-n", NAMESPACE, *words)
    try:
        yield
    finally:
        kubectl("delete", "configmap", "fleet-freeze", "-n", NAMESPACE)

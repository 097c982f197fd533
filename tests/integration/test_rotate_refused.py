"""What is not as it must be for a rotation is said before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.integration.disturbing import KEYS, running
from tests.integration.failing import error_of, message_of
from tests.integration.fleet import NAMESPACE, Fleet, kubectl, until, vault_admin
from tests.integration.renewing import ready
from tests.integration.rotating import frozen, secret, vault_version
from tests.sandbox import control
from tests.sandbox.proxy import Through

AGENT = "giro-recusa"
_EXTERNAL, _STORE = f"externalsecret/{AGENT}-env-secret", f"secretstore/{AGENT}-vault"
#: What the run's environment has besides, while it is so.
State = AbstractContextManager[dict[str, str]]
fleet = running(AGENT)


def _patch(what: str, spec: object) -> None:
    kubectl("patch", what, "-n", NAMESPACE, "--type=merge", "-p", json.dumps({"spec": spec}))


@contextmanager
def _refreshes(spec: object) -> Iterator[dict[str, str]]:
    _patch(_EXTERNAL, spec)
    try:
        yield {}
    finally:
        _patch(_EXTERNAL, {"refreshPolicy": None})


@contextmanager
def _store_is_not_ready() -> Iterator[dict[str, str]]:
    def point_at(mount: str, then: str) -> None:
        _patch(_STORE, {"provider": {"vault": {"auth": {"appRole": {"path": mount}}}}})
        until(lambda: ready(AGENT, "secretstore", "vault") == then, f"the store's readiness is {then}", 60)

    try:
        point_at("nowhere", "False")
        yield {}
    finally:
        point_at("approle", "True")


@contextmanager
def _external_secret_is_gone() -> Iterator[dict[str, str]]:
    """What follows every state, a rollout, puts it back."""
    kubectl("delete", _EXTERNAL, "-n", NAMESPACE)
    yield {}


@contextmanager
def _path_keeps_versions(number: int) -> Iterator[dict[str, str]]:
    kv = vault_admin().secrets.kv.v2
    try:
        kv.update_metadata(f"agents/{AGENT}", max_versions=number, mount_point="kv")
        yield {}
    finally:
        kv.update_metadata(f"agents/{AGENT}", max_versions=0, mount_point="kv")


@contextmanager
def _mount_keeps_versions(number: int) -> Iterator[dict[str, str]]:
    kv = vault_admin().secrets.kv.v2
    try:
        kv.configure(max_versions=number, mount_point="kv")
        yield {}
    finally:
        kv.configure(max_versions=0, mount_point="kv")


@contextmanager
def _newest_version_is_deleted() -> Iterator[dict[str, str]]:
    kv, version = vault_admin().secrets.kv.v2, vault_version(AGENT)
    try:
        kv.delete_latest_version_of_secret(f"agents/{AGENT}", mount_point="kv")
        yield {}
    finally:
        kv.undelete_secret_versions(f"agents/{AGENT}", [version], mount_point="kv")


@contextmanager
def _no_journal() -> Iterator[dict[str, str]]:
    kv = vault_admin().secrets.kv.v2
    try:
        kv.delete_metadata_and_all_versions(f"agents-rotation/{AGENT}", mount_point="kv")
        yield {}
    finally:
        kv.update_metadata(f"agents-rotation/{AGENT}", max_versions=3, cas_required=True, mount_point="kv")


@contextmanager
def _may_not_patch() -> Iterator[dict[str, str]]:
    client = vault_admin()
    client.sys.create_or_update_policy("test-reads", 'path "kv/*" { capabilities = ["read", "create", "update"] }')
    try:
        yield {"VAULT_TOKEN": client.auth.token.create(policies=["test-reads"], ttl="5m")["auth"]["client_token"]}
    finally:
        client.sys.delete_policy("test-reads")


@contextmanager
def _vault_is_sealed() -> Iterator[dict[str, str]]:
    control.seal_vault()
    try:
        yield {}
    finally:
        control.unseal_vault()


@contextmanager
def _frozen() -> Iterator[dict[str, str]]:
    with frozen():
        yield {}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: _refreshes({"refreshPolicy": "CreatedOnce"}), ["refreshPolicy CreatedOnce", "rollout.yml"]),
        (lambda: _refreshes({"refreshInterval": "0s"}), ["refreshInterval 0", "rollout.yml"]),
        (_store_is_not_ready, [f"SecretStore {AGENT}-vault is not ready since 20"]),
        (_external_secret_is_gone, [f"ExternalSecret {AGENT}-env-secret is not there", "rollout.yml"]),
        (lambda: _path_keeps_versions(3), ["keeps 3 versions", "-max-versions=10"]),
        (lambda: _mount_keeps_versions(3), ["keeps 3 versions", "-max-versions=10"]),
        (_newest_version_is_deleted, ["has no values at", "undelete"]),
        (_no_journal, ["no place for the journal", "provision.yml"]),
        (_may_not_patch, [f"patch on kv/data/agents/{AGENT}", "operator.hcl"]),
        (_vault_is_sealed, ["is sealed", "vault operator unseal"]),
        (_frozen, ["frozen", "stock-taking"]),
    ],
    ids=["once", "never", "store", "external-secret", "path", "mount", "deleted", "journal", "policy", "sealed",
         "freeze"],
)  # fmt: skip
def test_what_would_make_it_fail_is_told_before_anything_is_written(
    fleet: Fleet, proxy: Through, state: Callable[[], State], words: list[str]
) -> None:
    old, version = fleet.values(AGENT), vault_version(AGENT)
    with state() as environment:
        run = fleet.rotate(AGENT, *KEYS, env={**proxy.environment, **environment})
    message = message_of(run, AGENT)
    assert all(word in message for word in words), message
    assert not proxy.proxy.writes()
    assert fleet.values(AGENT) == old
    assert vault_version(AGENT) == version
    fleet.rollout(AGENT).ok()
    until(lambda: secret(AGENT) == old, "the Secret is there", 30)


def test_a_kv_engine_of_version_1_is_refused(fleet: Fleet, proxy: Through) -> None:
    """There check-and-set is silently ignored."""
    admin = vault_admin()
    admin.sys.enable_secrets_engine(backend_type="kv", path="kv-old", options={"version": "1"})
    fleet.variables["agent_vault_mount"] = "kv-old"
    try:
        run = fleet.rotate(AGENT, *KEYS, env={**proxy.environment, "VAULT_TOKEN": admin.token})
    finally:
        del fleet.variables["agent_vault_mount"]
        admin.sys.disable_secrets_engine("kv-old")
    assert error_of(run, AGENT)["kind"] == "vault"
    assert "not a KV engine of version 2" in message_of(run, AGENT)
    assert not proxy.proxy.writes()

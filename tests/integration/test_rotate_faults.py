"""What is not as it must be around a rotation is said before anything is written; in its middle, it is gone on with."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hvac
import pytest

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import NAMESPACE, Fleet, gateway, kubectl, until, vault_admin
from tests.integration.renewing import ready
from tests.integration.rotating import TOKEN, bring, journal, secret, stamp, values_left, vault_version
from tests.integration.writes import holder
from tests.sandbox import control
from tests.sandbox.existing import Existing
from tests.sandbox.proxy import Match, Through, hold

AGENT = "giro-falha"
KEYS = ("-e", f"keys={TOKEN}")
LIVE = "/v1/kv/data/agents/"
_EXTERNAL, _STORE = f"externalsecret/{AGENT}-env-secret", f"secretstore/{AGENT}-vault"


@pytest.fixture(scope="module")
def fleet(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One agent that runs well; every test leaves it so."""
    if lacking := {"kubelet", "processes", "vault-admin"} - sandbox.capabilities:
        pytest.skip(f"this backend lacks: {', '.join(sorted(lacking))}")
    fleet = Fleet(tmp_path_factory.mktemp("rotate"), [AGENT], {"agent_secret_refresh": "1h"})
    try:
        fleet.provide()
        fleet.rollout(AGENT).ok()
        yield fleet
    finally:
        fleet.remove()


def _agrees(fleet: Fleet, phase: str = "finished") -> None:
    """Vault, the Secret and the pod have the same; nothing is open."""
    values = fleet.values(AGENT)
    assert secret(AGENT) == values
    assert gateway(AGENT, values[TOKEN]) == 200
    assert not holder(AGENT)
    assert journal(AGENT)["phase"] == phase
    assert not values_left(AGENT)


def _patch(what: str, spec: object) -> None:
    kubectl("patch", what, "-n", NAMESPACE, "--type=merge", "-p", json.dumps({"spec": spec}))


@contextmanager
def _refreshes(spec: object) -> Iterator[dict[str, str]]:
    _patch(_EXTERNAL, spec)
    yield {}
    kubectl("patch", _EXTERNAL, "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"refreshPolicy":null}}')


@contextmanager
def _store_is_not_ready() -> Iterator[dict[str, str]]:
    path = "provider/vault/auth/appRole/path"

    def point_at(mount: str, then: str) -> None:
        patch = [{"op": "replace", "path": f"/spec/{path}", "value": mount}]
        kubectl("patch", _STORE, "-n", NAMESPACE, "--type=json", "-p", json.dumps(patch))
        until(lambda: ready(AGENT, "secretstore", "vault") == then, f"the store's readiness is {then}", 60)

    point_at("nowhere", "False")
    yield {}
    point_at("approle", "True")


@contextmanager
def _external_secret_is_gone() -> Iterator[dict[str, str]]:
    kubectl("delete", _EXTERNAL, "-n", NAMESPACE)
    yield {}


@contextmanager
def _keeps_versions(number: int) -> Iterator[dict[str, str]]:
    kv = vault_admin().secrets.kv.v2
    kv.update_metadata(f"agents/{AGENT}", max_versions=number, mount_point="kv")
    yield {}
    kv.update_metadata(f"agents/{AGENT}", max_versions=0, mount_point="kv")


@contextmanager
def _newest_version_is_deleted() -> Iterator[dict[str, str]]:
    kv, version = vault_admin().secrets.kv.v2, vault_version(AGENT)
    kv.delete_latest_version_of_secret(f"agents/{AGENT}", mount_point="kv")
    yield {}
    kv.undelete_secret_versions(f"agents/{AGENT}", [version], mount_point="kv")


@contextmanager
def _no_journal() -> Iterator[dict[str, str]]:
    kv = vault_admin().secrets.kv.v2
    kv.delete_metadata_and_all_versions(f"agents-rotation/{AGENT}", mount_point="kv")
    yield {}
    kv.update_metadata(f"agents-rotation/{AGENT}", max_versions=3, cas_required=True, mount_point="kv")


@contextmanager
def _may_not_patch() -> Iterator[dict[str, str]]:
    client = vault_admin()
    client.sys.create_or_update_policy("test-reads", 'path "kv/*" { capabilities = ["read", "create", "update"] }')
    token = client.auth.token.create(policies=["test-reads"], ttl="5m")["auth"]["client_token"]
    yield {"VAULT_TOKEN": token}
    client.sys.delete_policy("test-reads")


@contextmanager
def _frozen() -> Iterator[dict[str, str]]:
    words = ("--from-literal=until=2999-01-01T00:00:00Z", "--from-literal=reason=stock-taking", "--from-literal=by=ana")
    kubectl("create", "configmap", "fleet-freeze", "-n", NAMESPACE, *words)
    try:
        yield {}
    finally:
        kubectl("delete", "configmap", "fleet-freeze", "-n", NAMESPACE)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: _refreshes({"refreshPolicy": "CreatedOnce"}), ["refreshPolicy CreatedOnce", "rollout.yml"]),
        (lambda: _refreshes({"refreshInterval": "0s"}), ["refreshInterval 0", "rollout.yml"]),
        (_store_is_not_ready, [f"SecretStore {AGENT}-vault is not ready since 20"]),
        (_external_secret_is_gone, [f"ExternalSecret {AGENT}-env-secret is not there", "rollout.yml"]),
        (lambda: _keeps_versions(1), ["keeps 1 versions", "-max-versions=10"]),
        (_newest_version_is_deleted, ["has no values at", "undelete"]),
        (_no_journal, ["no place for the journal", "provision.yml"]),
        (_may_not_patch, [f"patch on kv/data/agents/{AGENT}", "operator.hcl"]),
        (_frozen, ["frozen", "stock-taking"]),
    ],
    ids=["once", "never", "store", "external-secret", "versions", "deleted", "journal", "policy", "freeze"],
)  # fmt: skip
def test_what_would_make_it_fail_is_told_before_anything_is_written(
    fleet: Fleet, proxy: Through, state: Callable[[], Iterator[dict[str, str]]], words: list[str]
) -> None:
    old = fleet.values(AGENT)
    with state() as environment:  # type: ignore[attr-defined]
        run = fleet.rotate(AGENT, *KEYS, env={**proxy.environment, **environment})
    message = message_of(run, AGENT)
    assert all(word in message for word in words), message
    assert not proxy.proxy.writes()
    assert fleet.values(AGENT) == old
    fleet.rollout(AGENT).ok()
    until(lambda: secret(AGENT) == old, "the Secret is there", 30)


def test_a_secret_edited_by_hand_is_put_right_on_the_way(fleet: Fleet) -> None:
    kubectl(
        "patch", "secret", f"{AGENT}-env", "-n", NAMESPACE, "--type=merge", "-p", '{"data":{"GITHUB_TOKEN":"eA=="}}'
    )
    fleet.rotate(AGENT, *KEYS).ok()
    _agrees(fleet)


def test_with_eso_stopped_nothing_changes_for_the_pod_and_both_sides_agree(fleet: Fleet) -> None:
    old, pod = fleet.values(AGENT), stamp(AGENT)
    control.stop_part("external-secrets")
    fleet.variables["agent_sync_timeout"] = 3
    try:
        run = fleet.rotate(AGENT, *KEYS)
    finally:
        control.start_part("external-secrets")
        del fleet.variables["agent_sync_timeout"]
    message = message_of(run, AGENT)
    assert "the External Secrets Operator is silent" in message
    assert "Everything is back" in message
    assert fleet.values(AGENT) == old
    assert stamp(AGENT) == pod
    _agrees(fleet, "rolled_back")


def test_with_eso_stopped_on_the_way_back_the_next_run_goes_on(fleet: Fleet, proxy: Through) -> None:
    old = fleet.values(AGENT)
    bring(AGENT, TESTGATEWAY_TOKEN_OVERRIDE="another-one")
    words = ("-e", "keys=TESTGATEWAY_TOKEN_OVERRIDE")

    def stop() -> None:
        proxy.proxy.wait_for(lambda one: one.is_write and "/deployments/" in one.path and one.status == 200, timeout=90)
        control.stop_part("external-secrets")

    thread = threading.Thread(target=stop)
    fleet.variables["agent_sync_timeout"] = 3
    thread.start()
    try:
        run = fleet.rotate(AGENT, *words, env=proxy.environment)
    finally:
        thread.join()
        control.start_part("external-secrets")
        del fleet.variables["agent_sync_timeout"]
    message = message_of(run, AGENT)
    assert "refuses the token that stands in Vault" in message
    assert "Going back is not finished" in message
    assert "run the same command again" in message
    assert journal(AGENT)["phase"] == "rolling_back"
    message = message_of(fleet.rotate(AGENT, *words), AGENT)
    assert "Everything is back" in message
    assert fleet.values(AGENT) == old
    _agrees(fleet, "rolled_back")
    vault_admin().secrets.kv.v2.delete_metadata_and_all_versions(f"agents-inbox/{AGENT}", mount_point="kv")


def _disturbed(fleet: Fleet, proxy: Through, disturb: Callable[[], None], env: dict[str, str]) -> tuple[str, int]:
    """A rotation between whose journal and promotion this is done: (its message, its exit code)."""
    standing = proxy.proxy.add(hold(Match(methods={"PATCH"}, path=LIVE)))

    def act() -> None:
        standing.wait_fired(timeout=60)
        disturb()
        standing.release()

    thread = threading.Thread(target=act)
    thread.start()
    run = fleet.rotate(AGENT, *KEYS, env={**proxy.environment, **env})
    thread.join()
    return ("" if run.rc == 0 else message_of(run, AGENT)), run.rc


def test_a_vault_sealed_between_two_steps_is_gone_on_with_once_it_is_unsealed(fleet: Fleet, proxy: Through) -> None:
    version = vault_version(AGENT)
    try:
        message, code = _disturbed(fleet, proxy, control.seal_vault, {})
    finally:
        control.unseal_vault()
    assert code
    assert "was sealed meanwhile" in message
    assert "Unseal it and run the same command again" in message
    assert journal(AGENT)["phase"] == "prepared"
    assert "going on with rotation" in fleet.rotate(AGENT).ok().output
    assert vault_version(AGENT) == version + 1
    _agrees(fleet)


def test_a_token_that_ends_in_the_middle_is_renewed_or_gone_on_with(fleet: Fleet, proxy: Through) -> None:
    version, admin = vault_version(AGENT), vault_admin()
    # A plain token cannot be had again: said, and the next run goes on.
    token = admin.auth.token.create(policies=["fleet-operator"], ttl="5m", no_parent=True)["auth"]["client_token"]
    message, code = _disturbed(fleet, proxy, lambda: admin.auth.token.revoke(token), {"VAULT_TOKEN": token})
    assert code
    assert "renew the token" in message
    assert token not in message
    fleet.rotate(AGENT).ok()
    assert vault_version(AGENT) == version + 1
    # Who logs in by AppRole logs in once more.
    by_role = {
        "VAULT_TOKEN": "",
        "VAULT_ROLE_ID": os.environ["AGENTS_SANDBOX_OPERATOR_ROLE_ID"],
        "VAULT_SECRET_ID": os.environ["AGENTS_SANDBOX_OPERATOR_SECRET_ID"],
    }
    message, code = _disturbed(fleet, proxy, lambda: _revoke_logins(admin), by_role)
    assert code == 0, message
    assert vault_version(AGENT) == version + 2
    _agrees(fleet)


def _revoke_logins(admin: hvac.Client) -> None:
    """Every token that an AppRole login gave, ESO's too, which logs in with each look."""
    admin.sys.revoke_prefix("auth/approle/login")


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

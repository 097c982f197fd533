"""Vault sealed, its token ended, versions gone or deleted in the middle of a rotation: said, and gone on with."""

from __future__ import annotations

import os

import hvac
import pytest

from tests.integration.disturbing import (
    AUDIT,
    KEYS,
    PROMOTION,
    RESTART,
    SYNC,
    agrees,
    meanwhile,
    running,
)
from tests.integration.failing import message_of
from tests.integration.fleet import Fleet, gateway, vault_admin
from tests.integration.rotating import OVERRIDE, TOKEN, bring, edit, journal, take_out, values_left, vault_version
from tests.integration.writes import holder
from tests.sandbox import control
from tests.sandbox.proxy import Match, Through

AGENT = "giro-cofre"
PATH = f"agents/{AGENT}"
fleet = running(AGENT)


@pytest.mark.parametrize(
    ("where", "phase"),
    [(PROMOTION, "prepared"), (SYNC, "promoted"), (RESTART, "promoted"), (AUDIT, "promoted")],
    ids=["promotion", "sync", "restart", "audit"],
)
def test_a_vault_sealed_between_two_steps_is_gone_on_with_once_it_is_unsealed(
    fleet: Fleet, proxy: Through, where: Match, phase: str
) -> None:
    old, version = fleet.values(AGENT), vault_version(AGENT)
    try:
        run = meanwhile(fleet, proxy, where, control.seal_vault)
    finally:
        control.unseal_vault()
    message = message_of(run, AGENT)
    assert "was sealed meanwhile" in message
    assert "Unseal it and run the same command again" in message
    assert journal(AGENT)["phase"] == phase
    assert not holder(AGENT)
    assert "going on with rotation" in fleet.rotate(AGENT).ok().output
    # The one value of the one rotation.
    assert vault_version(AGENT) == version + 1
    assert gateway(AGENT, old[TOKEN]) == 401
    agrees(fleet)


def test_a_token_that_ends_in_the_middle_is_renewed_or_gone_on_with(fleet: Fleet, proxy: Through) -> None:
    version, admin = vault_version(AGENT), vault_admin()
    # A plain token cannot be had again: said, and the next run goes on.
    token = admin.auth.token.create(policies=["fleet-operator"], ttl="5m", no_parent=True)["auth"]["client_token"]
    run = meanwhile(fleet, proxy, PROMOTION, lambda: admin.auth.token.revoke(token), env={"VAULT_TOKEN": token})
    assert "renew the token" in message_of(run, AGENT)
    assert token not in run.output
    fleet.rotate(AGENT).ok()
    assert vault_version(AGENT) == version + 1
    # Who logs in by AppRole logs in once more.
    by_role = {
        "VAULT_TOKEN": "",
        "VAULT_ROLE_ID": os.environ["AGENTS_SANDBOX_OPERATOR_ROLE_ID"],
        "VAULT_SECRET_ID": os.environ["AGENTS_SANDBOX_OPERATOR_SECRET_ID"],
    }
    meanwhile(fleet, proxy, PROMOTION, lambda: _revoke_logins(admin), env=by_role).ok()
    assert vault_version(AGENT) == version + 2
    agrees(fleet)


def _revoke_logins(admin: hvac.Client) -> None:
    """Every token that an AppRole login gave, ESO's too, which logs in with each look."""
    admin.sys.revoke_prefix("auth/approle/login")


def test_values_deleted_in_the_middle_stop_it_and_undeleted_it_goes_on(fleet: Fleet, proxy: Through) -> None:
    kv, old, version = vault_admin().secrets.kv.v2, fleet.values(AGENT), vault_version(AGENT)
    try:
        run = meanwhile(fleet, proxy, PROMOTION, lambda: kv.delete_latest_version_of_secret(PATH, mount_point="kv"))
        message = message_of(run, AGENT)
        assert f"Vault's kv/{PATH} was deleted (version {version})" in message
        assert f"vault kv undelete -mount=kv -versions={version} {PATH}" in message
        assert journal(AGENT)["phase"] == "prepared"
        assert not holder(AGENT)
    finally:
        kv.undelete_secret_versions(PATH, [version], mount_point="kv")
    fleet.rotate(AGENT, *KEYS).ok()
    assert vault_version(AGENT) == version + 1
    new = fleet.values(AGENT)
    assert {**old, TOKEN: new[TOKEN]} == new
    agrees(fleet)


def test_the_values_to_go_back_to_are_never_the_ones_that_vault_drops(fleet: Fleet, proxy: Through) -> None:
    """Vault keeps four versions here: the base of a rotation that stands open falls out by four edits."""
    kv = vault_admin().secrets.kv.v2
    kv.update_metadata(PATH, max_versions=4, mount_point="kv")
    try:
        fleet.rotate(AGENT, *KEYS).ok()
        old, base = fleet.values(AGENT), vault_version(AGENT)

        def write_often() -> None:
            for number in range(4):
                edit(AGENT, LINEAR_API_KEY=f"edit-{number}")

        message = message_of(meanwhile(fleet, proxy, PROMOTION, write_often), AGENT)
        assert f"Vault has destroyed version {base}" in message
        assert "nothing of it was overwritten" in message
        assert fleet.values(AGENT) == {**old, "LINEAR_API_KEY": "edit-3"}
        assert journal(AGENT)["phase"] == "aborted"
        assert not values_left(AGENT)
        assert not holder(AGENT)
    finally:
        kv.update_metadata(PATH, max_versions=0, mount_point="kv")
    fleet.rollout(AGENT).ok()
    # Twelve versions and more: what a mount keeps by itself is ten.
    while vault_version(AGENT) < 12:
        edit(AGENT, LINEAR_API_KEY=f"version-{vault_version(AGENT)}")
    fleet.rollout(AGENT).ok()
    fleet.rotate(AGENT, *KEYS).ok()
    agrees(fleet)


def test_the_way_back_has_its_own_base_where_vault_keeps_few_versions(fleet: Fleet, proxy: Through) -> None:
    """Four are kept: base, promotion, a person's edit, and the old values again, which the next edits push out."""
    kv = vault_admin().secrets.kv.v2
    kv.update_metadata(PATH, max_versions=4, mount_point="kv")
    old = fleet.values(AGENT)
    bring(AGENT, **{OVERRIDE: "another-one"})

    def write_twice() -> None:
        for number in range(2):
            edit(AGENT, LINEAR_API_KEY=f"way-back-{number}")

    try:
        message = message_of(meanwhile(fleet, proxy, RESTART, write_twice, "-e", f"keys={OVERRIDE}"), AGENT)
        assert "Everything is back" in message
        assert fleet.values(AGENT) == {**old, "LINEAR_API_KEY": "way-back-1"}
        assert journal(AGENT)["phase"] == "rolled_back"
    finally:
        kv.update_metadata(PATH, max_versions=0, mount_point="kv")
        take_out(AGENT)
    fleet.rollout(AGENT).ok()
    agrees(fleet, "rolled_back")

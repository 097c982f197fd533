"""Vault, ESO and the Secret between them: who is silent, sealed, forbidden or lacking is said by name, in time."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import Fleet, Object, gateway, get, vault_admin
from tests.sandbox import control
from tests.sandbox.existing import Existing
from tests.sandbox.proxy import VAULT, Match, Through, reset

AGENT = "sincronia"


@pytest.fixture(scope="module")
def fleet(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One agent that runs well; every test leaves it so."""
    if lacking := {"kubelet", "processes", "vault-admin"} - sandbox.capabilities:
        pytest.skip(f"this backend lacks: {', '.join(sorted(lacking))}")
    fleet = Fleet(tmp_path_factory.mktemp("sync"), [AGENT])
    try:
        fleet.provide()
        fleet.rollout(AGENT).ok()
        yield fleet
    finally:
        fleet.remove()


def _live() -> Object:
    found = get("deployment", AGENT)
    assert found
    return found


def test_with_eso_stopped_it_fails_before_the_deployment_and_says_who_is_silent(fleet: Fleet) -> None:
    old, before = fleet.values(AGENT), _live()["metadata"]["resourceVersion"]
    external = get("externalsecret", f"{AGENT}-env-secret")
    assert external
    control.stop_part("external-secrets")
    try:
        version = fleet.put(AGENT, {**old, "OPENCLAW_GATEWAY_TOKEN": "edited-by-hand-while-eso-sleeps"})
        fleet.variables = {"agent_sync_timeout": 3}
        run = fleet.rollout(AGENT)
    finally:
        control.start_part("external-secrets")
        fleet.variables = {}
    message = message_of(run, AGENT)
    assert error_of(run, AGENT)["kind"] == "secret"
    assert "unequal: OPENCLAW_GATEWAY_TOKEN" in message
    assert "the External Secrets Operator is silent" in message
    assert f"its last refresh of {AGENT}-env-secret was {external['status']['refreshTime']}" in message
    assert "The Deployment was not touched." in message
    assert _live()["metadata"]["resourceVersion"] == before
    assert gateway(AGENT, old["OPENCLAW_GATEWAY_TOKEN"]) == 200
    assert "edited-by-hand" not in run.output
    # The same command again, now that ESO is back.
    fleet.rollout(AGENT).ok()
    assert gateway(AGENT, "edited-by-hand-while-eso-sleeps") == 200
    annotations = _live()["spec"]["template"]["metadata"]["annotations"]
    assert annotations["agents.digitalsys/secret-version"] == str(version)


def _asked_of_vault(proxy: Through) -> list[str]:
    """Its requests; what a preflight needs to know must be known within two seconds of the first."""
    asked = proxy.proxy.requests()
    assert asked[-1].time - asked[0].time < 2
    assert proxy.proxy.writes() == []
    return [one.path for one in asked if one.front == VAULT]


def test_a_sealed_vault_is_known_at_once(fleet: Fleet, proxy: Through) -> None:
    control.seal_vault()
    try:
        run = fleet.rollout(AGENT, env=proxy.environment)
    finally:
        control.unseal_vault()
    message = message_of(run, AGENT)
    assert f"Vault at {proxy.environment['VAULT_ADDR']} is sealed" in message
    assert "vault operator unseal" in message
    assert _asked_of_vault(proxy) == ["/v1/sys/health"]


def test_a_vault_out_of_reach_is_known_at_once(fleet: Fleet, proxy: Through) -> None:
    proxy.proxy.add(reset(Match(front=VAULT, times=None)))
    message = message_of(fleet.rollout(AGENT, env=proxy.environment), AGENT)
    assert f"Vault at {proxy.environment['VAULT_ADDR']} cannot be reached" in message
    assert "VAULT_ADDR" in message.splitlines()[-1]
    assert _asked_of_vault(proxy) == ["/v1/sys/health"]


def test_a_token_that_may_not_is_told_which_path_and_capability(fleet: Fleet, proxy: Through) -> None:
    token = vault_admin().auth.token.create(policies=["default"], ttl="5m")["auth"]["client_token"]
    message = message_of(fleet.rollout(AGENT, env={**proxy.environment, "VAULT_TOKEN": token}), AGENT)
    assert f"Vault does not allow 'read' on kv/metadata/agents/{AGENT}" in message
    assert "docs/permissions" in message
    assert token not in message
    vault_admin().auth.token.revoke(token)
    message = message_of(fleet.rollout(AGENT, env={**proxy.environment, "VAULT_TOKEN": token}), AGENT)
    assert "invalid token" in message
    assert "renew the token" in message
    assert proxy.proxy.writes() == []


@pytest.mark.parametrize("lacking", ["absent", "empty"])
def test_a_required_key_that_vault_lacks_is_named_with_the_command_that_puts_it(fleet: Fleet, lacking: str) -> None:
    values, before = fleet.values(AGENT), _live()["metadata"]["resourceVersion"]
    kept = {key: value for key, value in values.items() if key != "LINEAR_API_KEY"}
    fleet.put(AGENT, kept if lacking == "absent" else {**kept, "LINEAR_API_KEY": ""})
    try:
        run = fleet.rollout(AGENT)
    finally:
        fleet.put(AGENT, values)
    message = message_of(run, AGENT)
    assert message.splitlines()[0] == f"{AGENT}: Vault's kv/agents/{AGENT} lacks LINEAR_API_KEY"
    assert f"vault kv patch -mount=kv agents/{AGENT} LINEAR_API_KEY=-" in message
    assert error_of(run, AGENT)["missing_keys"] == ["LINEAR_API_KEY"]
    assert _live()["metadata"]["resourceVersion"] == before


def test_a_secret_id_that_vault_refuses_is_told_by_esos_own_condition(fleet: Fleet) -> None:
    """As when a SecretID has expired: the operator's own access to Vault is well, ESO's is not."""
    secret, before = get("secret", f"{AGENT}-vault-approle"), _live()["metadata"]["resourceVersion"]
    assert secret
    role_id, secret_id = (base64.b64decode(secret["data"][key]).decode() for key in ("role-id", "secret-id"))
    accessor = secret["metadata"]["annotations"]["agents.digitalsys/secret-id-accessor"]
    values = fleet.values(AGENT)
    fleet.write_access_secret(AGENT, role_id, "00000000-0000-0000-0000-000000000000", accessor)
    try:
        fleet.put(AGENT, {**values, "GITHUB_TOKEN": "a-newer-token-of-the-test"})
        fleet.variables = {"agent_sync_timeout": 8}
        run = fleet.rollout(AGENT)
    finally:
        fleet.variables = {}
        fleet.write_access_secret(AGENT, role_id, secret_id, accessor)
    message = message_of(run, AGENT)
    assert "is not ready since 20" in message
    assert f"{AGENT}-vault" in message or f"{AGENT}-env-secret" in message
    assert "unequal: GITHUB_TOKEN" in message
    assert "a-newer-token-of-the-test" not in run.output
    assert _live()["metadata"]["resourceVersion"] == before

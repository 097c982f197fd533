"""`provision` loses nothing: what a person made, in the cluster or in Vault, is named before any write, or kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration import rotating
from tests.integration.failing import error_of
from tests.integration.fleet import (
    KWOK,
    NAMESPACE,
    Fleet,
    Object,
    apply,
    get,
    kubectl,
    vault_admin,
    versions,
)
from tests.sandbox.control import secrets_operator_in
from tests.sandbox.seed import grant_in

Make = Callable[..., Fleet]
#: No text, as a person may well have written it.
LIMITS = {"per_day": 5}


def entry(agent: str) -> Any:
    """Of the newest version: its values as they are, and its number."""
    answer = vault_admin().secrets.kv.v2.read_secret_version(
        f"agents/{agent}", mount_point="kv", raise_on_deleted_version=True
    )
    return answer["data"]["data"], answer["data"]["metadata"]["version"]


def test_what_was_made_by_hand_is_named_at_once_and_not_touched(make_fleet: Make) -> None:
    """Trials E1 and E2: policy and AppRole were rewritten first, and the Secret's other keys were lost."""
    agent = "provida-mao"
    fleet = make_fleet(agent, provide=False)
    fleet.put(agent, {"OLD_KEY": "old"})
    vault = vault_admin()
    policy = 'path "kv/data/*" {\n  capabilities = ["read"]\n}\n'
    vault.sys.create_or_update_policy(f"agents-{agent}", policy)
    vault.auth.approle.create_or_update_approle(
        f"{agent}-role", token_policies=["default", f"agents-{agent}"], token_ttl="3600"
    )

    def by_hand(kind: str, name: str, **more: Any) -> Object:
        meta = {"name": name, "namespace": NAMESPACE, "labels": {"app": agent}}
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, **more}

    apply(
        by_hand("Secret", f"{agent}-env", stringData={"OLD_KEY": "old"}),
        by_hand("Secret", f"{agent}-vault-approle", stringData={"secret-id": "of-a-person"}),
        by_hand("ServiceAccount", agent),
    )

    def seen() -> list[Any]:
        role = vault.auth.approle.read_role(f"{agent}-role")["data"]
        return [versions(agent), vault.sys.read_policy(f"agents-{agent}")["data"], role, entry(agent)]

    before = seen()
    try:
        run = fleet.provision(agent).failed("were not made by this collection", "nothing needs to be removed")
        assert error_of(run, agent)["kind"] == "not_ours"
        assert error_of(run, agent)["strangers"] == [
            f"ServiceAccount {agent}",
            f"Secret {agent}-env",
            f"Secret {agent}-vault-approle",
            f"Vault's policy agents-{agent}",
            f"Vault's AppRole {agent}-role",
        ]
        assert not run.changed(agent)
        # Where provision was never asked, a rollout does not take them either.
        rolled = fleet.rollout(agent).failed(f"Secret {agent}-env", "were not made by this collection")
        assert error_of(rolled, agent)["kind"] == "not_ours"
        assert seen() == before
    finally:
        made = (f"secret/{agent}-env", f"secret/{agent}-vault-approle", f"serviceaccount/{agent}")
        kubectl("delete", *made, "-n", NAMESPACE)


def test_of_an_entry_that_is_there_only_what_is_missing_is_written(make_fleet: Make) -> None:
    """Trials E5: values that are no text were turned into it."""
    agent = "provida-resto"
    fleet = make_fleet(agent, provide=False)
    vault = vault_admin()
    kept = {"LIMITS": LIMITS, "PORT": 8080, "NONE": None}
    vault.secrets.kv.v2.create_or_update_secret(f"agents/{agent}", kept, mount_point="kv")
    vault.secrets.kv.v2.update_metadata(
        f"agents/{agent}", mount_point="kv", cas_required=True, custom_metadata={"owner": "financeiro"}
    )
    fleet.provision(agent)
    values, version = entry(agent)
    assert version == 2
    token = values.pop("OPENCLAW_GATEWAY_TOKEN")
    assert json.dumps(values, sort_keys=True) == json.dumps(kept, sort_keys=True)
    assert len(token) >= 32
    told = vault.secrets.kv.v2.read_secret_metadata(f"agents/{agent}", mount_point="kv")["data"]
    assert told["custom_metadata"]["owner"] == "financeiro"


@pytest.mark.parametrize("destroyed", [False, True], ids=["deleted", "destroyed"])
def test_a_newest_version_that_is_gone_is_brought_back_not_written_over(make_fleet: Make, destroyed: bool) -> None:
    """Trials E4: what followed was a version with the gateway's new token alone."""
    agent = f"provida-volta-{'x' if destroyed else 'd'}"
    fleet = make_fleet(agent)
    path = {"path": f"agents/{agent}", "mount_point": "kv"}
    values = fleet.values(agent)
    fleet.put(agent, {**values, "LINEAR_API_KEY": "newer"})
    vault = vault_admin().secrets.kv.v2
    if destroyed:
        vault.destroy_secret_versions(**path, versions=[2])
        words, hint = "version 2, the newest, was destroyed", f"vault kv rollback -mount=kv -version=1 agents/{agent}"
    else:
        vault.delete_latest_version_of_secret(**path)
        words, hint = "version 2, the newest, was deleted", f"vault kv undelete -mount=kv -versions=2 agents/{agent}"
    for run in (fleet.provision(agent), fleet.rollout(agent)):
        run.failed(words, hint)
        assert not run.changed(agent)
    assert vault.read_secret_metadata(**path)["data"]["current_version"] == 2
    assert get("deployment", agent) is None
    # As told.
    if destroyed:
        fleet.put(agent, values)
    else:
        vault.undelete_secret_versions(**path, versions=[2])
    assert "has no values" not in fleet.provision(agent).output


@pytest.mark.usefixtures("fake_nodes")
def test_another_agents_entry_is_refused_and_named(make_fleet: Make) -> None:
    """Trials E11: two agents with one Discord token, and the first one's policy rewritten."""
    copied = {**KWOK, "agent_vault_path": "agents/provida-um"}
    fleet = make_fleet("provida-um", "provida-dois", host_variables={"provida-um": KWOK, "provida-dois": copied})
    before = entry("provida-um")
    fleet.provision("provida-dois").failed("Vault's kv/agents/provida-um looks like provida-um's")
    # Once its own rollout was proved, it says so itself: to whichever operation.
    fleet.rollout("provida-um").ok()
    home = f"{os.environ['AGENTS_SANDBOX_CLUSTER_UID']}/{NAMESPACE}/provida-um"
    assert rotating.told("provida-um") == {"agents_home": home}
    words = f"belongs to provida-um in namespace {NAMESPACE}"
    for run in (
        fleet.provision("provida-dois"),
        fleet.rollout("provida-dois"),
        fleet.rollout("provida-dois", "--check"),
    ):
        run.failed(words, "agent_vault_path")
    assert entry("provida-um") == before
    assert get("deployment", "provida-dois") is None


@pytest.mark.usefixtures("fake_nodes")
def test_an_agents_home_is_one_namespace(make_fleet: Make) -> None:
    """Trials A10: it ran in both, the second time on an empty volume."""
    agent = "provida-casa"
    fleet = make_fleet(agent, host_variables={agent: KWOK})
    fleet.rollout(agent).ok()
    with secrets_operator_in("provida-longe"):
        kubectl("create", "namespace", "provida-longe")
        try:
            grant_in("provida-longe")
            fleet.namespace = "provida-longe"
            before = entry(agent)
            for run in (fleet.provision(agent), fleet.rollout(agent)):
                run.failed(
                    f"belongs to {agent} in namespace {NAMESPACE}", "this run is for", "in namespace provida-longe"
                )
            assert entry(agent) == before
            assert get("secret", f"{agent}-vault-approle", "provida-longe") is None
            assert get("deployment", agent, "provida-longe") is None
        finally:
            fleet.namespace = NAMESPACE
            kubectl("delete", "namespace", "provida-longe", "--wait=false")


def test_a_secret_id_of_few_logins_is_not_used_up_by_a_provision(make_fleet: Make) -> None:
    """Trials E6, of one that somebody has pasted: no annotation tells its accessor. In check mode, for the rollout
    behind a provision has External Secrets log in."""
    agent = "provida-usos"
    fleet = make_fleet(agent)
    vault = vault_admin().auth.approle
    vault.create_or_update_approle(f"{agent}-role", secret_id_num_uses=3)
    pasted = vault.generate_secret_id(f"{agent}-role")["data"]["secret_id"]
    vault.create_or_update_approle(f"{agent}-role", secret_id_num_uses=0)
    fleet.write_access_secret(agent, vault.read_role_id(f"{agent}-role")["data"]["role_id"], pasted, "")
    for _again in range(2):
        assert "a new SecretID" not in fleet.provision(agent, "--check").ok().output
    assert vault.read_secret_id(f"{agent}-role", pasted)["data"]["secret_id_num_uses"] == 3

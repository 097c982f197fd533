"""`--check --diff`: tells what would happen, writes nothing, shows no value. Seen at the proxy and in the objects."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hvac.exceptions import InvalidPath

from tests.integration.fleet import KEYS, TESTGATEWAY, Fleet, Run, gateway, pods, vault_admin, versions
from tests.sandbox.proxy.clients import Through, proxied

Make = Callable[..., Fleet]
DRY = ("--check", "--diff")
#: ESO writes the time of each refresh into its objects: none comes between two looks of a test.
RARELY = {"agent_secret_refresh": "1h"}


def assert_no_value(run: Run, fleet: Fleet) -> None:
    for name in fleet.names:
        for key, value in fleet.values(name).items():
            assert value not in run.output, f"{key} of {name} in:\n{run.output}"


def test_on_an_empty_cluster_it_tells_all_and_writes_nothing(make_fleet: Make, proxy: Through) -> None:
    fleet = make_fleet("ensaio-vazio", variables=RARELY)
    before = versions("ensaio-vazio")
    assert list(before) == ["Secret/ensaio-vazio-vault-approle"]
    run = fleet.rollout("ensaio-vazio", *DRY, env=proxy.environment).ok()
    assert proxy.proxy.writes() == []
    assert versions("ensaio-vazio") == before
    assert run.changed("ensaio-vazio")
    told = {(change["kind"], change["change"]) for change in run.results["ensaio-vazio"]["changes"]}
    kinds = ("ServiceAccount", "PersistentVolumeClaim", "NetworkPolicy", "SecretStore", "ExternalSecret", "Deployment")
    assert told == {(kind, "created") for kind in kinds}
    for kind in kinds:
        assert f"{kind} ensaio-vazio" in run.output  # the diff's header
    assert "ServiceAccount is to be made" in run.output  # the plan's words
    assert_no_value(run, fleet)


def test_on_a_changed_agent_it_tells_the_change_and_writes_nothing(make_fleet: Make, proxy: Through) -> None:
    name = "ensaio-mudado"
    fleet = make_fleet(name, variables=RARELY)
    fleet.rollout(name).ok()
    old_token = fleet.values(name)["OPENCLAW_GATEWAY_TOKEN"]
    fleet.put(name, {key: f"a-new-value-of-{key.lower()}" for key in KEYS})
    changed = {"agent_image": f"{TESTGATEWAY}:second", "agent_env": {"RITMO": "baião"}, "agent_network": "open"}
    fleet.variables.update(changed)
    before, pod = versions(name), pods(name)[0]["metadata"]["uid"]

    run = fleet.rollout(name, *DRY, env=proxy.environment).ok()
    assert proxy.proxy.writes() == []
    assert run.changed(name)
    result = run.results[name]
    told = {(change["kind"], change["change"]) for change in result["changes"]}
    assert told == {("Deployment", "changed"), ("NetworkPolicy", "removed")}
    assert result["restarts"]
    for words in ("image ", "(second)", "secret version 1 -> 2", "RITMO", "agent_network: open"):
        assert words in run.output, run.output
    assert "baião" in run.output  # an ordinary value is shown by the diff
    assert_no_value(run, fleet)
    assert old_token not in run.output

    restart = fleet.play("playbooks/restart.yml", "-e", f"agent={name}", *DRY, env=proxy.environment).ok()
    assert proxy.proxy.writes() == []
    assert restart.changed(name)
    assert "new pod: " in restart.output
    assert_no_value(restart, fleet)

    assert versions(name) == before
    assert [found["metadata"]["uid"] for found in pods(name)] == [pod]
    assert gateway(name, old_token) == 200


def test_provision_tells_what_it_would_make(make_fleet: Make, needs: Callable[..., None], tmp_path: Path) -> None:
    needs("admin", "vault-admin")
    name = "ensaio-novo"
    fleet = make_fleet(name, variables=RARELY, provide=False)
    provisioner = {part: os.environ[f"AGENTS_SANDBOX_PROVISIONER_{part}"] for part in ("KUBECONFIG", "VAULT_TOKEN")}
    with proxied(tmp_path, {**os.environ, **provisioner}) as through:
        run = fleet.provision(name, *DRY, env=through.environment)
        assert through.proxy.requests()
        assert through.proxy.writes() == []
    # As in a run that writes: the rollout that follows it wants what only a person has.
    run.failed(
        f"Vault's kv/agents/{name}: OPENCLAW_GATEWAY_TOKEN generated (would)",
        f"policy agents-{name} written (would)",
        f"AppRole {name}-role written (would)",
        f"a new SecretID for {name}-role in Secret {name}-vault-approle (would)",
        "a person must supply GITHUB_TOKEN, LINEAR_API_KEY",
        f"Vault's kv/agents/{name} lacks GITHUB_TOKEN, LINEAR_API_KEY",
    )
    assert versions(name) == {}
    fleet.variables["agent_required_keys"] = ["OPENCLAW_GATEWAY_TOKEN"]
    (tmp_path / "again").mkdir()
    with proxied(tmp_path / "again", {**os.environ, **provisioner}) as through:
        run = fleet.provision(name, *DRY, env=through.environment).ok()
        assert through.proxy.writes() == []
    assert f"{name}: new pod: Deployment is to be made" in run.output
    assert versions(name) == {}
    client = vault_admin()
    assert f"agents-{name}" not in client.sys.list_acl_policies()["data"]["keys"]
    # One by one: of a Vault without any of them there is no list.
    with pytest.raises(InvalidPath):
        client.secrets.kv.v2.read_secret_metadata(f"agents/{name}", mount_point="kv")
    with pytest.raises(InvalidPath):
        client.auth.approle.read_role(f"{name}-role")

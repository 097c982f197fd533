"""`provision` for an agent nobody has heard of, in a namespace that is not there, with the provisioner's identity."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Iterator, Mapping

import hvac
import pytest

from tests.integration.fleet import KEYS, Fleet, Run, as_identity, gateway, get, kubectl, vault_admin
from tests.integration.renewing import lock_out, unlock
from tests.sandbox import control, seed

Make = Callable[..., Fleet]
NAME = "provida"


@pytest.fixture
def namespace(needs: Callable[..., None]) -> Iterator[str]:
    """A name that no namespace has."""
    needs("admin", "vault-admin")
    name = f"provisao-{secrets.token_hex(3)}"
    with control.secrets_operator_in(name):
        yield name
    kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def _access(namespace: str) -> Mapping[str, str]:
    found = get("secret", f"{NAME}-vault-approle", namespace)
    assert found
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def _login(access: Mapping[str, str]) -> hvac.Client:
    client = hvac.Client(url=os.environ["VAULT_ADDR"])
    client.auth.approle.login(role_id=access["role-id"], secret_id=access["secret-id"])
    return client


def test_from_nothing_to_a_running_agent(make_fleet: Make, namespace: str) -> None:
    fleet = make_fleet(NAME, provide=False, namespace=namespace, variables={"agent_cluster_uid": ""})
    uid = os.environ["AGENTS_SANDBOX_CLUSTER_UID"]

    def provision() -> Run:
        return fleet.provision(NAME)

    # The namespace is made. What may be done in it is for the cluster's owner to say, and so is told.
    provision().failed(
        f"namespace {namespace} made",
        f"this identity may not, in namespace {namespace}: get secrets, ",
        "docs/permissions/provisioner.yaml is the Role that it needs there",
    )
    labels = get("namespace", namespace, "default")
    assert labels
    assert labels["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "digitalsys.agents"
    assert not any("instance" in label for label in labels["metadata"]["labels"])
    seed.grant_in(namespace)

    # What can be made is made; what a person must supply or pin is named.
    first = provision().failed(
        f"set agent_cluster_uid: {uid}",
        "a person must supply GITHUB_TOKEN, LINEAR_API_KEY: vault kv patch -mount=kv agents/provida GITHUB_TOKEN=-",
    )
    generated = fleet.values(NAME)
    assert set(generated) == {"OPENCLAW_GATEWAY_TOKEN"}
    assert len(generated["OPENCLAW_GATEWAY_TOKEN"]) >= 32
    access = _access(namespace)
    # Its SecretID logs in, and reads this agent's values and nobody else's.
    eso = _login(access)
    assert eso.secrets.kv.v2.read_secret_version(f"agents/{NAME}", mount_point="kv", raise_on_deleted_version=True)
    with pytest.raises(hvac.exceptions.Forbidden):
        eso.secrets.kv.v2.read_secret_version("agents/roberval", mount_point="kv", raise_on_deleted_version=True)
    # It says whose it is: a renewal destroys what killed runs left, and no SecretID that a person made.
    made = vault_admin().auth.approle.read_secret_id(f"{NAME}-role", access["secret-id"])["data"]
    uid = os.environ["AGENTS_SANDBOX_CLUSTER_UID"]
    assert made["metadata"] == {"managed-by": "digitalsys.agents", "cluster": uid}
    for value in (*generated.values(), access["secret-id"]):
        assert value not in first.output
    assert get("deployment", NAME, namespace) is None

    # What works is kept.
    second = provision().failed(f"set agent_cluster_uid: {uid}")
    assert first.changed(NAME)
    assert not second.changed(NAME)
    assert _access(namespace) == access
    assert fleet.values(NAME) == generated

    # Where Vault has locked the role out no SecretID would log in: none is made.
    lock_out(dict(access))
    provision().failed(f"Vault has locked {NAME}-role out", f"rotate_access.yml -e agent={NAME} lifts that")
    assert _access(namespace) == access
    unlock(access["role-id"])

    # A SecretID that does not log in any more is replaced, alone.
    vault_admin().auth.approle.destroy_secret_id(f"{NAME}-role", access["secret-id"])
    provision().failed(f"a new SecretID for {NAME}-role")
    assert _access(namespace)["role-id"] == access["role-id"]
    assert _access(namespace)["secret-id"] != access["secret-id"]
    _login(_access(namespace))
    assert fleet.values(NAME) == generated

    # With the keys supplied and the cluster pinned it goes on to the rollout.
    fleet.put(NAME, {**generated, **{key: f"by-hand-{key}" for key in KEYS if key not in generated}})
    fleet.variables["agent_cluster_uid"] = uid
    rolled = provision().ok()
    assert rolled.results[NAME]["release"]
    assert gateway(NAME, generated["OPENCLAW_GATEWAY_TOKEN"], namespace) == 200
    idle = provision().ok()
    assert not idle.changed(NAME)
    assert f"nothing to do for {NAME}" in idle.output


def test_the_operators_identity_is_told_what_it_lacks(make_fleet: Make, namespace: str) -> None:
    fleet = make_fleet("provida-nao", provide=False, namespace=namespace)
    run = fleet.play("playbooks/provision.yml", "-e", "agent=provida-nao")
    run.failed(f"not allowed: GET namespaces/{namespace}", "docs/permissions")
    assert get("namespace", namespace, "default") is None

    # The cluster's rights alone are not enough either: Vault's are named as clearly.
    kubectl("create", "namespace", namespace)
    seed.grant_in(namespace)
    half = {"KUBECONFIG": as_identity("PROVISIONER")["KUBECONFIG"]}
    refused = fleet.play("playbooks/provision.yml", "-e", "agent=provida-nao", env=half)
    refused.failed("Vault does not allow ", "provida-nao", "docs/permissions")
    assert get("secret", "provida-nao-vault-approle", namespace) is None

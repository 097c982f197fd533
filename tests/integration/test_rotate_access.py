"""The renewal of the SecretID that ESO logs in with: the new one is proved before the old one goes."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import hvac

from tests.integration.failing import error_of
from tests.integration.fleet import NAMESPACE, Fleet, get, kubectl, until, vault_admin, versions
from tests.integration.renewing import (
    DESTROY,
    a_persons,
    access,
    alive,
    ask_eso,
    connect,
    lock_out,
    logs_in,
    not_renewed,
    order,
    ready,
    renew,
    spellings,
)
from tests.integration.rotating import secret
from tests.integration.writes import PATIENT, holder, servers
from tests.sandbox import seed
from tests.sandbox.proxy import Match, Through, hold, lose_answer

Make = Callable[..., Fleet]


def test_the_new_one_is_proved_before_the_old_one_goes(make_fleet: Make, proxy: Through) -> None:
    agent = "renova"
    fleet, servers_ = make_fleet(agent, variables=PATIENT), servers(proxy)
    connect(agent)
    before, person = access(agent), a_persons(agent)

    # What is foretold is not done.
    plan = renew(fleet, agent, "--check", "-e", "rotation_id=r1", env=servers_).ok()
    assert "would make a second SecretID" in plan.output
    assert plan.changed(agent)
    assert proxy.proxy.writes() == []

    at_the_end = proxy.proxy.add(hold(Match(path=DESTROY)))
    synced = (get("externalsecret", f"{agent}-env-secret") or {})["status"]["syncedResourceVersion"]
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(renew, fleet, agent, "-e", "rotation_id=r1", "-vvv", env=servers_)
        at_the_end.wait_fired(timeout=60)
        # The old one is about to be destroyed. Both work, the Secret names both, and ESO has synced with the new one.
        open_, status = access(agent), (get("externalsecret", f"{agent}-env-secret") or {})["status"]
        asked = proxy.proxy.requests()
        both = logs_in(before), logs_in(open_)
        at_the_end.release()
        run = going.result().ok()
    assert both == (True, True)
    assert open_["previous-secret-id-accessor"] == before["secret-id-accessor"]
    assert open_["secret-id-renewal"] == "r1"
    assert status["syncedResourceVersion"] != synced
    assert ready(agent) == "True"
    assert order(asked) == ["make", "Secret", "login", "SecretStore", "ExternalSecret", "destroy"]

    assert not not_renewed(agent, before)
    assert person in alive(agent)
    assert len(alive(agent)) == 2
    now = access(agent)
    assert now["secret-id-renewed"] == "r1"
    result = run.results[agent]
    assert result["changed"]
    assert result["expires"] == ""
    assert len(result["changes"]) == 5
    for value in (before["secret-id"], now["secret-id"]):
        assert not [text for text in spellings(value) if text in run.output + json.dumps(result)]

    # The same words again do nothing.
    mark, there = proxy.proxy.mark(), versions(agent)
    again = renew(fleet, agent, "-e", "rotation_id=r1", env=servers_).ok()
    assert not again.changed(agent)
    assert again.results[agent]["changes"] == []
    assert proxy.proxy.writes(mark) == []
    assert versions(agent) == there


def test_one_that_has_ended_is_mended(make_fleet: Make) -> None:
    agent = "renova-fim"
    fleet, approle = make_fleet(agent, variables=PATIENT), vault_admin().auth.approle
    connect(agent)
    before = access(agent)
    approle.create_or_update_approle(f"{agent}-role", token_policies=[f"agents-{agent}"], secret_id_ttl="1s")
    made = approle.generate_secret_id(f"{agent}-role")["data"]
    approle.destroy_secret_id_accessor(f"{agent}-role", before["secret-id-accessor"])
    fleet.write_access_secret(agent, before["role-id"], made["secret_id"], made["secret_id_accessor"])
    ended = access(agent)

    def has_ended() -> bool:
        # Vault itself looks once a minute for what has ended; until then it logs in.
        vault_admin().write("auth/approle/tidy/secret-id")
        return not logs_in(ended)

    until(has_ended, "the SecretID's end", 60)
    ask_eso(agent, "after-the-end")
    until(lambda: ready(agent) == "False", "ESO finds that it cannot log in", 60)
    fleet.put(agent, {**fleet.values(agent), "LINEAR_API_KEY": "written-while-nothing-arrived"})
    # ESO tries on, so that Vault answers no login of this AppRole after a while, whatever the SecretID.
    lock_out(ended)

    approle.create_or_update_approle(f"{agent}-role", token_policies=[f"agents-{agent}"], secret_id_ttl="1h")
    run = renew(fleet, agent).ok()
    assert f"the lockout of {agent}-role in Vault is lifted" in run.output
    assert not not_renewed(agent, ended)
    assert ready(agent) == "True"
    assert secret(agent) == fleet.values(agent)
    # It lives as long as the role says.
    state = approle.read_secret_id_accessor(f"{agent}-role", access(agent)["secret-id-accessor"])["data"]
    assert run.results[agent]["expires"][:19] == state["expiration_time"][:19] > state["creation_time"][:19]


def test_a_lockout_that_may_not_be_lifted_is_told_and_gone_on_after(make_fleet: Make, proxy: Through) -> None:
    agent = "renova-trancada"
    fleet = make_fleet(agent, variables=PATIENT)
    connect(agent)
    before = access(agent)
    lock_out(before)
    assert "would make a second SecretID" in renew(fleet, agent, "--check", env=servers(proxy)).ok().output
    assert proxy.proxy.writes() == []

    text = (seed.PERMISSIONS / "operator.hcl").read_text()
    policy = text.replace("sys/locked-users/auth_approle_", "sys/locked-users/auth_another_")
    assert policy != text
    vault_admin().sys.create_or_update_policy(f"agents-{agent}-narrow", policy)
    token = vault_admin().auth.token.create(policies=[f"agents-{agent}-narrow"], ttl="5m")["auth"]["client_token"]
    narrow = renew(fleet, agent, env={**servers(proxy), "VAULT_TOKEN": token})
    vault_admin().sys.delete_policy(f"agents-{agent}-narrow")
    narrow.failed(
        f"Vault has locked {agent}-role out",
        "update on sys/locked-users/auth_approle_*",
        "No SecretID was destroyed",
        "the same command again: it goes on",
    )
    made = access(agent)
    assert made["previous-secret-id-accessor"] == before["secret-id-accessor"]
    assert before["role-id"] not in narrow.output
    assert not holder(agent)

    # With the right it goes on with what was made, also where the answer is lost.
    lost = proxy.proxy.add(lose_answer(Match(path="/sys/locked-users/", writes_only=True)))
    mark = proxy.proxy.mark()
    renew(fleet, agent, env=servers(proxy)).ok()
    lost.wait_fired(timeout=1)
    assert "make" not in order(proxy.proxy.requests(mark))
    assert access(agent)["secret-id"] == made["secret-id"]
    assert not not_renewed(agent, before)


def test_what_is_missing_is_named_before_any_write(make_fleet: Make, proxy: Through) -> None:
    agent = "renova-falta"
    fleet = make_fleet(agent, variables=PATIENT)
    never = renew(fleet, agent, env=servers(proxy))
    never.failed(f"ExternalSecret {agent}-env-secret is not there", "rollout.yml", "Nothing was changed")
    connect(agent)

    policy = f'path "kv/*" {{ capabilities = ["read"] }}\npath "auth/approle/role/{agent}-role/secret-id" {{\n'
    vault_admin().sys.create_or_update_policy(f"agents-{agent}-weak", policy + '  capabilities = ["update"]\n}\n')
    token = vault_admin().auth.token.create(policies=[f"agents-{agent}-weak"], ttl="5m")["auth"]["client_token"]
    weak = renew(fleet, agent, env={**servers(proxy), "VAULT_TOKEN": token})
    vault_admin().sys.delete_policy(f"agents-{agent}-weak")
    path = f"auth/approle/role/{agent}-role"
    weak.failed(
        f"read on {path}/role-id", f"list on {path}/secret-id;", f"update on {path}/secret-id/lookup", "operator.hcl"
    )
    assert f"update on {path}/secret-id;" not in weak.output
    assert error_of(weak, agent)["kind"] == "vault"

    for spec, words in (
        ({"refreshPolicy": "CreatedOnce"}, "refreshPolicy CreatedOnce"),
        ({"refreshPolicy": "Periodic", "refreshInterval": "0s"}, "refreshInterval 0"),
    ):
        patch = json.dumps({"spec": spec})
        kubectl("patch", "externalsecret", f"{agent}-env-secret", "-n", NAMESPACE, "--type=merge", "-p", patch)
        renew(fleet, agent, env=servers(proxy)).failed(words)
    label = "app.kubernetes.io/managed-by"
    kubectl("label", "secret", f"{agent}-vault-approle", "-n", NAMESPACE, f"{label}=alice", "--overwrite")
    strange = renew(fleet, agent, env=servers(proxy))
    kubectl("label", "secret", f"{agent}-vault-approle", "-n", NAMESPACE, f"{label}=digitalsys.agents", "--overwrite")
    strange.failed("was not made by this collection")
    kubectl("delete", "secret", f"{agent}-vault-approle", "-n", NAMESPACE)
    renew(fleet, agent, env=servers(proxy)).failed(f"Secret {agent}-vault-approle is not there", "provision.yml")
    assert proxy.proxy.writes() == []


def test_a_freeze_is_obeyed_but_what_is_open_may_end(
    make_fleet: Make, proxy: Through, needs: Callable[..., None]
) -> None:
    needs("admin")
    agent, namespace = "renova-gelo", f"renovacao-{secrets.token_hex(3)}"
    kubectl("create", "namespace", namespace)
    try:
        seed.grant_in(namespace)
        fleet = make_fleet(agent, namespace=namespace, variables=PATIENT)
        kubectl("create", "configmap", "fleet-freeze", "-n", namespace, "--from-literal=reason=carnival")
        frozen = renew(fleet, agent, env=servers(proxy))
        frozen.failed("the fleet is frozen until further notice", "carnival", "override_freeze=true")
        assert error_of(frozen, agent)["kind"] == "frozen"
        # It gets as far as to see what else is missing: when told to, and when it only goes on.
        beyond = f"ExternalSecret {agent}-env-secret is not there"
        renew(fleet, agent, "-e", "override_freeze=true", env=servers(proxy)).failed(beyond)
        kubectl(
            "annotate", "secret", f"{agent}-vault-approle", "-n", namespace, "agents.digitalsys/secret-id-renewal=r"
        )
        renew(fleet, agent, env=servers(proxy)).failed(beyond)
        assert proxy.proxy.writes() == []
    finally:
        kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")


def test_the_operator_may_not_make_one_for_the_fleets_own_roles(sandbox: object) -> None:
    """A "+" in a path of Vault's is any role, and roles are one in small and capital letters: however it is spelled."""
    operator = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"])
    name = "fleet-provisioner"
    spelled = [name, name.upper(), *(name[:at] + name[at:].capitalize() for at in range(len("fleet")))]
    for role in spelled:
        for what in ("role-id", "secret-id"):
            path = f"auth/approle/role/{role}/{what}"
            assert operator.sys.get_capabilities(paths=[path])["data"][path] == ["deny"]
    path = "auth/approle/role/fleeting-role/secret-id"
    assert sorted(operator.sys.get_capabilities(paths=[path])["data"][path]) == ["list", "update"]

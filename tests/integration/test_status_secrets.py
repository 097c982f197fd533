"""What a status tells of secrets when it is asked for them: where they stand, what is open, what ends; no value."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import hvac

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault
from tests.integration.canary import assert_clean, canary
from tests.integration.fleet import NAMESPACE, Fleet, Object, Run, kubectl, until, vault_admin, versions
from tests.integration.renewing import access, connect, lock_out
from tests.integration.rotating import edit, secret, vault_version
from tests.integration.writes import PATIENT, servers
from tests.sandbox import control
from tests.sandbox.proxy import VAULT, Through

Make = Callable[..., Fleet]
DAY = 86400


def status(fleet: Fleet, *words: str, env: dict[str, str] | None = None) -> Run:
    return fleet.play("playbooks/status.yml", *words, env=env)


def told(fleet: Fleet, *words: str, env: dict[str, str] | None = None) -> tuple[Run, Object]:
    """A status with secrets, and the facts of the fleet's first agent."""
    run = status(fleet, "-e", "secrets=true", *words, env=env).ok()
    return run, facts_of(run, fleet.names[0])


def facts_of(run: Run, agent: str) -> Object:
    """One task looks at all agents: its result is one host's."""
    (result,) = run.results.values()
    return next(one["secrets"] for one in result["agents"] if one["agent"] == agent)


def line(run: Run, agent: str) -> str:
    """The agent's line of the table, one space between its words."""
    return next(" ".join(one.split()) for one in run.output.splitlines() if one.strip().startswith(f"{agent} "))


def force_sync(agent: str, stamp: str, fleet: Fleet) -> None:
    """As a person would, and waited for."""
    kubectl("annotate", "externalsecret", f"{agent}-env-secret", "-n", NAMESPACE, f"force-sync={stamp}", "--overwrite")
    until(lambda: secret(agent) == fleet.values(agent), "the Secret is as Vault has it", 60)


def test_where_the_values_stand_is_told_when_asked(make_fleet: Make, proxy: Through) -> None:
    agent = "situacao"
    fleet, through = make_fleet(agent, variables=PATIENT), servers(proxy)
    fleet.rollout(agent).ok()

    # Not asked: Vault hears nothing, and the table is the everyday one.
    plain = status(fleet, env=through).ok()
    assert [one for one in proxy.proxy.requests() if one.front == VAULT] == []
    assert "secrets" not in plain.results[agent]["agents"][0]
    assert plain.results[agent]["table"][0].split()[-4:] == ["volume", "restarts", "release", "lock"]
    said_no = status(fleet, "-e", "secrets=false", env=through).ok()
    assert [one for one in proxy.proxy.requests() if one.front == VAULT] == []
    assert said_no.results[agent]["table"] == plain.results[agent]["table"]

    # In step. A handful of questions, and nothing is written.
    mark, before = proxy.proxy.mark(), versions(agent)
    run, facts = told(fleet, env=through)
    assert facts["notes"] == []
    assert (facts["vault_version"], facts["in_secret"], facts["in_pod"]) == (1, "equal", "current")
    assert (facts["missing_keys"], facts["rotation"], facts["journal_exposed"]) == ([], {}, False)
    assert (facts["secret_id"], facts["secret_id_expires"]) == ("valid", "")
    assert line(run, agent).endswith(" v1 equal v1 - valid -")
    questions = [one for one in proxy.proxy.requests(mark) if one.front == VAULT]
    assert 1 <= len(questions) <= 9, questions
    assert proxy.proxy.writes(mark) == []
    assert versions(agent) == before
    assert [one.status for one in questions if one.path.endswith("/login")] == [200]
    assert [one.status for one in questions if one.path.endswith("/revoke-self")] == [204], "a token is left behind"

    # A hand edit that ESO has not copied yet; then copied, but not in the pod.
    edit(agent, LINEAR_API_KEY="by-hand-in-the-status-test")
    run, facts = told(fleet)
    assert (facts["vault_version"], facts["in_secret"], facts["in_pod"]) == (2, "behind", "behind")
    assert facts["unequal_keys"] == ["LINEAR_API_KEY"]
    assert f"{agent}: the Secret is behind Vault in LINEAR_API_KEY" in run.output
    assert line(run, agent).endswith(" v2 behind v1 behind - valid -")
    force_sync(agent, "one", fleet)
    run, facts = told(fleet)
    assert (facts["in_secret"], facts["in_pod"]) == ("equal", "pending restart")
    assert f"{agent}: the pod was started with version 1, Vault has 2" in run.output
    assert line(run, agent).endswith(" v2 equal v1 pending - valid -")

    # As a rotation that was taken back leaves it: a new number, the content of the pod's version. Nothing is pending.
    edit(agent, LINEAR_API_KEY=first_values(agent)["LINEAR_API_KEY"])
    force_sync(agent, "two", fleet)
    run, facts = told(fleet)
    assert (facts["vault_version"], facts["in_secret"], facts["in_pod"]) == (3, "equal", "current")
    assert facts["notes"] == []
    assert line(run, agent).endswith(" v3 equal v1 = v3 - valid -")

    # A key that the inventory requires is gone; then all of them.
    edit(agent, GITHUB_TOKEN=None)
    run, facts = told(fleet)
    assert facts["missing_keys"] == ["GITHUB_TOKEN"]
    assert f"{agent}: Vault lacks GITHUB_TOKEN: vault kv patch -mount=kv agents/{agent} GITHUB_TOKEN=-" in run.output
    vault_admin().secrets.kv.v2.delete_latest_version_of_secret(f"agents/{agent}", mount_point="kv")
    run, facts = told(fleet)
    assert (facts["vault_version"], facts["in_secret"], facts["in_pod"]) == (0, "unknown", "unknown")
    assert f"{agent}: Vault has no values at kv/agents/{agent}" in run.output


def first_values(agent: str) -> dict[str, str]:
    answer = vault_admin().secrets.kv.v2.read_secret_version(
        f"agents/{agent}", version=1, mount_point="kv", raise_on_deleted_version=True
    )
    found: dict[str, str] = answer["data"]["data"]
    return found


def test_an_open_rotation_is_shown_without_its_new_values(make_fleet: Make) -> None:
    agent = "situacao-aberta"
    fleet = make_fleet(agent, variables=PATIENT)
    value, betraying = canary()
    admin = Vault({"vault_token": os.environ["AGENTS_SANDBOX_ADMIN_VAULT_TOKEN"]}, Context(os.environ, ""))
    where = journals.entry(admin, "kv", agent)
    opened = journals.write(
        where,
        journals.Journal(
            "c0ffee", ("GITHUB_TOKEN", "LINEAR_API_KEY"), 1, admin.now() - 3 * 3600, "job 812 (alice)", 1,
            phase=journals.PROMOTED, new={"GITHUB_TOKEN": value, "LINEAR_API_KEY": f"{value}2"},
        ),
    )  # fmt: skip

    run, facts = told(fleet, "-vvv")
    rotation = facts["rotation"]
    assert (rotation["rotation_id"], rotation["phase"]) == ("c0ffee", "promoted")
    assert rotation["keys"] == ["GITHUB_TOKEN", "LINEAR_API_KEY"]
    assert rotation["age_seconds"] >= 3 * 3600
    assert " promoted 3 h " in line(run, agent)
    assert f"{agent}: rotation c0ffee of GITHUB_TOKEN, LINEAR_API_KEY is open for 3 h (promoted)" in run.output
    everything = run.output + json.dumps(run.results, ensure_ascii=False)
    assert_clean(everything, betraying, "the output")
    for secret_ in (*fleet.values(agent).values(), access(agent)["secret-id"]):
        assert secret_ not in everything

    journals.close(where, opened, journals.ABORTED)
    assert told(fleet)[1]["rotation"] == {}
    vault_admin().secrets.kv.v2.create_or_update_secret(
        f"agents-rotation/{agent}", {"schema": 1, "new": {"A": value}}, cas=opened.version + 1, mount_point="kv"
    )
    run, facts = told(fleet, "-vvv")
    assert facts["rotation"] is None
    assert f"{agent}: the journal at kv/agents-rotation/{agent} was edited by hand" in run.output
    assert_clean(run.output + json.dumps(run.results, ensure_ascii=False), betraying, "the output")


def test_what_is_wrong_with_the_access_of_eso_is_a_note(make_fleet: Make) -> None:
    agent = "situacao-acesso"
    fleet, approle = make_fleet(agent, variables=PATIENT), vault_admin().auth.approle
    connect(agent)

    def renewed(ttl: str) -> str:
        """A SecretID with this end in the Secret; when it ends, in whole seconds."""
        approle.create_or_update_approle(f"{agent}-role", token_policies=[f"agents-{agent}"], secret_id_ttl=ttl)
        made = approle.generate_secret_id(f"{agent}-role")["data"]
        accessor = made["secret_id_accessor"]
        fleet.write_access_secret(agent, access(agent)["role-id"], made["secret_id"], accessor)
        return str(approle.read_secret_id_accessor(f"{agent}-role", accessor)["data"]["expiration_time"])[:19]

    # A policy made by hand, for all agents at once.
    wide = 'path "kv/data/*" { capabilities = ["read"] }\n'
    vault_admin().sys.create_or_update_policy(f"agents-{agent}", wide)
    until_soon = renewed("70h")
    run, facts = told(fleet)
    assert facts["journal_exposed"] is True
    assert f"{agent}: ESO may read the journal of rotations, kv/data/agents-rotation/{agent}" in run.output
    assert (facts["secret_id"], facts["secret_id_expires"][:19]) == ("ends soon", until_soon)
    assert 0 < facts["secret_id_seconds_left"] <= 70 * 3600
    assert f"{agent}: its SecretID ends in 2 d: rotate_access.yml -e agent={agent}" in run.output
    assert " ends in 2 d " in line(run, agent)

    narrow = f'path "kv/data/agents/{agent}" {{ capabilities = ["read"] }}\n'
    vault_admin().sys.create_or_update_policy(f"agents-{agent}", narrow)
    until_late = renewed("720h")
    run, facts = told(fleet)
    assert facts["notes"] == []
    assert (facts["secret_id"], facts["secret_id_expires"][:19]) == ("valid", until_late)
    assert facts["secret_id_seconds_left"] > 28 * DAY

    approle.destroy_secret_id_accessor(f"{agent}-role", access(agent)["secret-id-accessor"])
    run, facts = told(fleet)
    assert (facts["secret_id"], facts["secret_id_expires"]) == ("refused", None)
    assert f"{agent}: its SecretID does not log in" in run.output
    lock_out(access(agent))
    run, facts = told(fleet)
    assert (facts["secret_id"], facts["secret_id_expires"]) == ("locked out", None)
    assert f"{agent}: Vault has locked {agent}-role out" in run.output
    assert f"rotate_access.yml -e agent={agent}" in run.output
    kubectl("delete", "secret", f"{agent}-vault-approle", "-n", NAMESPACE)
    run, facts = told(fleet)
    assert facts["secret_id"] == "missing"
    assert f"{agent}: Secret {agent}-vault-approle has no SecretID for ESO: provision.yml makes one" in run.output


def test_what_may_not_be_read_is_a_question_mark_and_each_agent_is_looked_at_where_it_is(make_fleet: Make) -> None:
    agent, elsewhere = "situacao-pouco", "situacao-longe"
    hosts = {elsewhere: {"agent_vault_path": f"agents/{agent}", "agent_required_keys": ["NOT_THERE"]}}
    fleet = make_fleet(agent, elsewhere, variables=PATIENT, host_variables=hosts)
    edit(agent, LINEAR_API_KEY="the-second-version")
    run, facts = told(fleet)
    assert (facts["vault_version"], facts["missing_keys"]) == (2, [])
    other = facts_of(run, elsewhere)
    assert (other["vault_version"], other["missing_keys"]) == (2, ["NOT_THERE"])

    policy = f"situacao-{agent}"
    vault_admin().sys.create_or_update_policy(
        policy, f'path "kv/metadata/agents/{agent}" {{ capabilities = ["read"] }}'
    )
    token = vault_admin().auth.token.create(policies=[policy], ttl="5m")["auth"]["client_token"]
    try:
        run, facts = told(fleet, "-e", f"agent={agent}", env={"VAULT_TOKEN": token})
    finally:
        vault_admin().sys.delete_policy(policy)
    assert facts["vault_version"] == vault_version(agent)
    for unknown in ("missing_keys", "rotation", "secret_id_expires"):
        assert facts[unknown] is None
    # ESO's login needs no right of ours.
    assert (facts["in_secret"], facts["secret_id"], facts["journal_exposed"]) == ("unknown", "valid", False)
    for path in (f"kv/data/agents/{agent}", f"kv/data/agents-rotation/{agent}"):
        assert f"{agent}: Vault does not allow 'read' on {path}" in run.output
    assert f"{agent}: Vault does not allow 'create/update' on auth/approle/role/{agent}-role" in run.output
    assert line(run, agent).endswith(" v2 ? ! - ? valid ? -")

    ended = status(fleet, "-e", "secrets=true", env={"VAULT_TOKEN": token_that_has_ended()})
    ended.failed("Vault does not allow", "renew the token")
    (result,) = ended.results.values()
    assert len(result["msg"].splitlines()) <= 3


def token_that_has_ended() -> str:
    client: hvac.Client = vault_admin()
    token = str(client.auth.token.create(policies=["default"], ttl="5m")["auth"]["client_token"])
    client.auth.token.revoke(token)
    return token


def test_a_sealed_vault_is_one_clear_error(make_fleet: Make, needs: Callable[..., None]) -> None:
    needs("processes", "vault-admin")
    fleet = make_fleet("situacao-selo", provide=False)
    control.seal_vault()
    try:
        sealed, plain = status(fleet, "-e", "secrets=true"), status(fleet)
    finally:
        control.unseal_vault()
    sealed.failed("is sealed", "vault operator unseal")
    assert len(sealed.message("situacao-selo").splitlines()) == 2
    assert plain.ok().results["situacao-selo"]["agents"][0]["health"] == "missing"


def _with_role(fleet: Fleet, agent: str, **settings: object) -> dict[str, str]:
    """Another SecretID in the agent's Secret, of its AppRole with these settings."""
    vault = vault_admin().auth.approle
    vault.create_or_update_approle(f"{agent}-role", token_policies=[f"agents-{agent}"], **settings)
    made = vault.generate_secret_id(f"{agent}-role")["data"]
    role_id = vault.read_role_id(f"{agent}-role")["data"]["role_id"]
    fleet.write_access_secret(agent, role_id, made["secret_id"], made["secret_id_accessor"])
    return access(agent)


def test_a_secret_id_of_few_logins_is_not_used_up_by_looking(make_fleet: Make) -> None:
    """Trials E6: after four looks ESO could not log in any more."""
    agent = "situacao-usos"
    fleet = make_fleet(agent)
    there = _with_role(fleet, agent, secret_id_num_uses=2)
    for _look in range(3):
        _run, facts = told(fleet)
        assert facts["secret_id"] == "valid"
        assert any("good for 2 more logins" in note for note in facts["notes"])
    left = vault_admin().auth.approle.read_secret_id(f"{agent}-role", there["secret-id"])["data"]
    assert left["secret_id_num_uses"] == 2


def test_a_secret_id_that_is_bound_to_another_address_is_told_as_that(make_fleet: Make) -> None:
    """Trials E8: "does not log in, so ESO copies nothing", and a new one at each provision."""
    agent = "situacao-longe"
    fleet = make_fleet(agent)
    there = _with_role(fleet, agent, secret_id_bound_cidrs=["10.99.0.0/16"])
    _run, facts = told(fleet)
    assert facts["secret_id"] == "valid"
    assert any("may not log in from this machine's address" in note for note in facts["notes"])
    run = fleet.provision(agent, "--check")
    assert "a new SecretID" not in run.output
    assert access(agent) == there


def test_an_access_without_a_role_id_is_a_note_and_the_others_are_told(make_fleet: Make) -> None:
    """Trials E7: the status of the whole fleet failed, after half a minute."""
    fleet = make_fleet("situacao-meia", "situacao-toda")
    fleet.write_access_secret("situacao-meia", "", access("situacao-meia")["secret-id"], "")
    run, facts = told(fleet)
    assert any("has no role-id" in note for note in facts["notes"])
    assert facts_of(run, "situacao-toda")["secret_id"] == "valid"

"""What every operation stands on: the lock asked for each attempt, fences that never go down, deadlines, one story of a
failure, and nothing left in Vault."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hvac
import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from tests.integration.admission import only_with
from tests.integration.failing import error_of, message_of
from tests.integration.fleet import KWOK, NAMESPACE, Fleet, Object, Run, get, kubectl, vault_admin
from tests.integration.renewing import renew
from tests.integration.test_hosts import play
from tests.integration.writes import FENCED, fences, lease, leave_a_lock, servers
from tests.sandbox.proxy import Match, Through, answer, hold, lose_answer

Make = Callable[..., Fleet]


@pytest.fixture
def holding(tmp_path: Path, make_fleet: Make) -> Callable[[str], Lock]:
    """holding(agent): somebody's lock, who lives."""
    folder = tmp_path / "private"
    folder.mkdir()
    context = Context(dict(os.environ), str(folder))
    return lambda agent: Lock(Kube({}, context), NAMESPACE, agent, "somebody@elsewhere", context)


def _environment_of(agent: str) -> dict[str, str]:
    live = get("deployment", agent)
    assert live
    return {one["name"]: one.get("value", "") for one in live["spec"]["template"]["spec"]["containers"][0]["env"]}


@pytest.mark.usefixtures("fake_nodes")
def test_a_retry_that_outlives_its_lock_writes_nothing(make_fleet: Make, proxy: Through) -> None:
    """Trials G1: it wrote over what the run that took over had made."""
    agent = "sessao-tardia"
    fleet = make_fleet(agent, host_variables={agent: KWOK}, variables={"agent_env": {"BY": "the first"}})
    runs: list[Run] = []
    first = threading.Thread(target=lambda: runs.append(fleet.rollout(agent, env=servers(proxy))))
    outage = [proxy.proxy.add(answer(503, Match(methods={"POST"}, path="/deployments", times=None)))]
    first.start()
    outage[0].wait_fired(timeout=60)
    outage.append(proxy.proxy.add(answer(503, Match(path="/leases", times=None))))
    second = Fleet(fleet.folder / "second", [agent], {"agent_env": {"BY": "the second"}}, {agent: KWOK})
    second.folder.mkdir()
    second.rollout(agent, "-e", "force_unlock=true").ok()
    before = get("deployment", agent)
    mark = proxy.proxy.mark()
    for armed in outage:
        armed.release()
    first.join(timeout=120)
    assert error_of(runs[0], agent)["kind"] == "lock_lost", runs[0].output
    after = get("deployment", agent)
    assert before
    assert after
    # Its status is the controllers' to write.
    assert (after["spec"], after["metadata"]["uid"]) == (before["spec"], before["metadata"]["uid"])
    assert _environment_of(agent)["BY"] == "the second"
    # A quick second run leaves the first one sure of its lock: then its retry is sent, meets what is there, and ends.
    sent = {(one.method, one.status) for one in proxy.proxy.writes(since=mark)}
    assert sent <= {("PUT", 409), ("POST", 409)}, sent


@pytest.mark.usefixtures("fake_nodes")
def test_after_a_takeover_all_that_may_be_written_has_the_fence(make_fleet: Make) -> None:
    agent = "sessao-cerca"
    fleet = make_fleet(agent, host_variables={agent: KWOK})
    fleet.rollout(agent).ok()
    assert set(fences(agent).values()) == {""}
    leave_a_lock(agent)
    fleet.rollout(agent, "-e", "force_unlock=true").ok()
    left = lease(agent)
    fence = str(left["spec"]["leaseTransitions"])
    assert fences(agent) == dict.fromkeys(FENCED, fence)


@pytest.mark.usefixtures("fake_nodes")
def test_a_fence_never_goes_down(make_fleet: Make) -> None:
    """Trials G2: with its Lease deleted, every later rollout met "another run has taken over"."""
    agent = "sessao-sobe"
    fleet = make_fleet(agent, host_variables={agent: KWOK})
    fleet.rollout(agent).ok()
    leave_a_lock(agent)
    fleet.rollout(agent, "-e", "force_unlock=true").ok()
    before = int(fences(agent)["deployment"])
    kubectl("delete", "lease", f"fleet-{agent}", "-n", NAMESPACE)
    fleet.variables["agent_env"] = {"MARK": "2"}
    fleet.rollout(agent).ok()
    left = lease(agent)
    assert left["spec"]["leaseTransitions"] > before
    assert int(fences(agent)["deployment"]) == left["spec"]["leaseTransitions"]


@pytest.mark.usefixtures("fake_nodes")
def test_nothing_to_do_is_nothing_to_do_whoever_holds_the_lock(
    make_fleet: Make, holding: Callable[[str], Lock]
) -> None:
    """Trials G4: it was a failure of the fleet's run."""
    agent = "sessao-quieta"
    fleet = make_fleet(agent, host_variables={agent: KWOK})
    fleet.rollout(agent).ok()
    with holding(agent) as lock:
        run = fleet.rollout(agent).ok()
        lock.require()
    assert not run.changed(agent)
    assert "nothing to do" in run.output


@pytest.mark.usefixtures("fake_nodes")
def test_module_agent_asks_the_lock(make_fleet: Make, holding: Callable[[str], Lock]) -> None:
    """Trials G5: `absent` deleted under another's lock."""
    agent = "sessao-modulo"
    fleet = make_fleet(agent, host_variables={agent: KWOK})
    fleet.rollout(agent).ok()
    options = ("name", "namespace", "cluster_uid", "image", "vault_server")
    told = {option: f"{{{{ agent_{option} }}}}" for option in options[1:]}
    task = {"digitalsys.agents.agent": {**told, "name": agent, "state": "absent"}}
    with holding(agent):
        run = play(fleet, task).failed("somebody@elsewhere")
    assert error_of(run, agent)["kind"] == "locked"
    assert get("deployment", agent)
    play(fleet, task).ok()
    assert get("deployment", agent) is None
    assert get("persistentvolumeclaim", f"{agent}-state"), "never its memory"
    assert not play(fleet, task).ok().changed(agent)


@pytest.mark.usefixtures("fake_nodes")
def test_what_was_made_by_a_post_can_be_taken_away_again(make_fleet: Make, proxy: Through) -> None:
    """What a POST made is another entry of managedFields than our applies: none of its fields would ever go."""
    agent = "sessao-menos"
    fleet = make_fleet(agent, host_variables={agent: KWOK}, variables={"agent_env": {"KEPT": "1", "GONE": "1"}})
    fleet.rollout(agent, env=servers(proxy)).ok()
    made = {one.path.rpartition("/")[2] for one in proxy.proxy.writes() if one.method == "POST"}
    assert made >= {"deployments", "configmaps", "networkpolicies", "secretstores"}
    fleet.variables["agent_env"] = {"KEPT": "2"}
    fleet.rollout(agent).ok()
    assert "GONE" not in _environment_of(agent)
    assert _environment_of(agent)["KEPT"] == "2"
    live = get("deployment", agent)
    assert live
    entries = [
        (one["manager"], one["operation"])
        for one in live["metadata"]["managedFields"]
        if one["manager"] == names.FIELD_MANAGER
    ]
    assert entries == [(names.FIELD_MANAGER, "Apply")]


@pytest.mark.usefixtures("fake_nodes")
def test_a_create_whose_answer_is_lost_is_found_and_gone_on_with(make_fleet: Make, proxy: Through) -> None:
    agent = "sessao-achada"
    fleet = make_fleet(agent, host_variables={agent: KWOK})
    for kind in ("deployments", "externalsecrets", "persistentvolumeclaims"):
        proxy.proxy.add(lose_answer(Match(methods={"POST"}, path=f"/{kind}")))
    fleet.rollout(agent, env=servers(proxy)).ok()
    sent = [(one.path.rpartition("/")[2], one.status) for one in proxy.proxy.writes() if one.method == "POST"]
    assert ("deployments", 409) in sent
    assert not fleet.rollout(agent).ok().changed(agent)


def test_a_port_forward_that_hangs_ends_with_the_timeout(make_fleet: Make, proxy: Through) -> None:
    """Trials C9: still there after 450 s."""
    agent = "sessao-pendura"
    fleet = make_fleet(agent, variables={"agent_timeout": 15})
    proxy.proxy.add(hold(Match(path="/portforward", times=None)))
    started = time.monotonic()
    run = fleet.rollout(agent, env=servers(proxy)).failed("opens no port-forward")
    assert time.monotonic() - started < 60, "one deadline"
    error = error_of(run, agent)
    assert [step["step"] for step in error["steps"]][-2:] == ["R5", "R6"]
    assert run.results[agent]["changed"]


def test_why_it_began_is_told_first_when_going_back_is_refused(make_fleet: Make) -> None:
    """Trials H1: the policy's words alone, and no hint."""
    agent = "sessao-duas"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    fleet.variables["agent_env"] = {"BAD": "1", "TESTGATEWAY_EXIT": 78}
    with only_with(agent, "BAD"):
        run = fleet.rollout(agent)
    message = message_of(run, agent)
    first, *rest = message.splitlines()
    assert "exit 78" in first, message
    assert any(" failed too: " in line and "stock-taking" in line for line in rest), message
    assert f"rollout.yml -e agent={agent}" in rest[-1]
    error = error_of(run, agent)
    assert error["cause"] == "configuration"
    assert error["went_back"] is False
    assert error["error_back"]["kind"] == "invalid"
    assert run.results[agent]["changed"]


@pytest.mark.usefixtures("fake_nodes")
def test_what_was_changed_before_a_failure_is_told(make_fleet: Make) -> None:
    """Trials H2: five objects made, and `changed: false`."""
    agent = "sessao-conta"
    fleet = make_fleet(agent, host_variables={agent: {**KWOK, "agent_sync_timeout": 2}})
    fleet.variables["agent_vault_path"] = "agents/equipe/conta"
    vault_admin().secrets.kv.v2.create_or_update_secret(
        "agents/equipe/conta", dict.fromkeys(("GITHUB_TOKEN", "LINEAR_API_KEY", "OPENCLAW_GATEWAY_TOKEN"), "value"),
        mount_point="kv",
    )  # fmt: skip
    run = fleet.rollout(agent)
    message_of(run, agent)
    error = error_of(run, agent)
    assert error["kind"] == "secret"
    assert run.results[agent]["changed"]
    assert {change["kind"] for change in error["changes"]} >= {"SecretStore", "ExternalSecret", "ServiceAccount"}
    assert get("deployment", agent) is None


@pytest.mark.usefixtures("fake_nodes")
def test_no_token_of_a_login_is_left_in_vault(make_fleet: Make) -> None:
    """Trials E9: 1 -> 6 after four commands."""
    agent = "sessao-limpa"
    fleet = make_fleet(agent, host_variables={agent: KWOK})
    login = {
        "VAULT_TOKEN": "",
        "VAULT_ROLE_ID": os.environ["AGENTS_SANDBOX_OPERATOR_ROLE_ID"],
        "VAULT_SECRET_ID": os.environ["AGENTS_SANDBOX_OPERATOR_SECRET_ID"],
    }
    before = _logins()
    fleet.rollout(agent, env=login).ok()
    fleet.rollout(agent, env=login).ok()
    fleet.play("playbooks/status.yml", "-e", f"agent={agent}", "-e", "secrets=true", env=login).ok()
    renew(fleet, agent, env=login).ok()
    fleet.rotate(agent, "--check", "-e", "keys=OPENCLAW_GATEWAY_TOKEN", env=login).ok()
    assert _logins() == before
    # One that was given is left alone.
    given = vault_admin().auth.token.create(policies=["fleet-operator"], ttl="5m")["auth"]
    fleet.rollout(agent, "-e", "restart_id=x", env={"VAULT_TOKEN": given["client_token"]}).ok()
    assert vault_admin().auth.token.lookup_accessor(given["accessor"])


def _logins() -> list[str]:
    """Accessors of tokens that the operator's AppRole was given."""
    admin = vault_admin()
    found: list[str] = []
    for accessor in admin.list("auth/token/accessors")["data"]["keys"]:
        told: Any = _lookup(admin, accessor)
        if told and told["path"] == "auth/approle/login" and "fleet-operator" in told["policies"]:
            found.append(accessor)
    return sorted(found)


def _lookup(admin: Any, accessor: str) -> Object | None:
    try:
        return dict(admin.auth.token.lookup_accessor(accessor)["data"])
    except hvac.exceptions.VaultError:  # it has ended meanwhile
        return None

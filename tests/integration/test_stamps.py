"""What a pod was started with is told by content and by container: never by a version's number alone."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import (
    KEYS,
    NAMESPACE,
    TESTGATEWAY,
    Fleet,
    Run,
    gateway,
    get,
    kubectl,
    pods,
    until,
    vault_admin,
)
from tests.integration.rotating import TOKEN, secret, stamp, vault_version
from tests.integration.swapping import swapped_image
from tests.integration.writes import running_image

Make = Callable[..., Fleet]
RARELY = {"agent_secret_refresh": "1h"}


def pod_of(agent: str) -> str:
    (one,) = pods(agent)
    return str(one["metadata"]["uid"])


def sync(fleet: Fleet, agent: str) -> None:
    """As a person asks for one."""
    word = f"force-sync={secrets.token_hex(4)}"
    kubectl("annotate", "externalsecret", f"{agent}-env-secret", "-n", NAMESPACE, word, "--overwrite")
    until(lambda: secret(agent) == fleet.values(agent), "the Secret is as Vault has it", 60)


def begin_again(agent: str) -> None:
    """The container alone, in its pod; when this returns the agent is available again."""
    name = pods(agent)[0]["metadata"]["name"]
    kubectl("exec", "-n", NAMESPACE, name, "-c", "openclaw", "--", "sh", "-c", "kill 1")

    def runs_again() -> bool:
        status = pods(agent)[0]["status"]["containerStatuses"][0]
        return bool(status["restartCount"] and status["ready"])

    until(runs_again, "it runs again", 60)
    until(lambda: (get("deployment", agent) or {})["status"].get("availableReplicas"), "it is available", 60)


def told(fleet: Fleet, agent: str) -> Run:
    return fleet.play("playbooks/status.yml", "-e", f"agent={agent}", "-e", "secrets=true").ok()


def in_pod(run: Run, agent: str) -> str:
    (result,) = run.results.values()
    return next(str(one["secrets"]["in_pod"]) for one in result["agents"] if one["agent"] == agent)


def test_the_same_values_written_again_restart_nobody(make_fleet: Make) -> None:
    """Trials G8: status said "current", and a rollout restarted."""
    agent = "carimbo-igual"
    fleet = make_fleet(agent, variables=RARELY)
    fleet.rollout(agent).ok()
    before = pod_of(agent)
    fleet.put(agent, fleet.values(agent))
    assert vault_version(agent) == 2
    assert in_pod(told(fleet, agent), agent) == "current"
    for words in (("--check",), ()):
        run = fleet.rollout(agent, *words).ok()
        assert not run.changed(agent)
        assert f"nothing to do for {agent}" in run.output
    assert pod_of(agent) == before
    assert stamp(agent) == "1"


def test_an_entry_that_was_made_anew_is_told_by_its_content(make_fleet: Make) -> None:
    """Trials C14: "nothing to do", and a pod with another token."""
    agent = "carimbo-novo"
    fleet = make_fleet(agent, variables=RARELY)
    fleet.rollout(agent).ok()
    before = pod_of(agent)
    vault_admin().secrets.kv.v2.delete_metadata_and_all_versions(f"agents/{agent}", mount_point="kv")
    fleet.put(agent, {key: secrets.token_urlsafe(24) for key in KEYS})
    assert vault_version(agent) == 1
    assert in_pod(told(fleet, agent), agent) in ("behind", "pending")
    foretold = fleet.rollout(agent, "--check").ok()
    assert f"{agent}: new pod: secret version 1, written anew" in foretold.output
    fleet.rollout(agent).ok()
    assert pod_of(agent) != before
    assert gateway(agent, fleet.values(agent)[TOKEN]) == 200
    assert in_pod(told(fleet, agent), agent) == "current"


def test_a_container_that_began_again_in_between_is_not_taken_for_what_was_proved(make_fleet: Make) -> None:
    """Trials C15: "in pod v2 = v4", and the container had v3's."""
    agent = "carimbo-meio"
    fleet = make_fleet(agent, variables=RARELY)
    fleet.rollout(agent).ok()
    values, before = fleet.values(agent), pod_of(agent)
    fleet.put(agent, {**values, TOKEN: "the-token-of-a-while"})
    sync(fleet, agent)
    begin_again(agent)
    assert gateway(agent, "the-token-of-a-while") == 200, "it reads what the Secret held then"
    fleet.put(agent, values)
    sync(fleet, agent)
    status = told(fleet, agent)
    assert in_pod(status, agent) == "unknown"
    assert "its container began again since it was proved" in status.output
    words = "its container began again since it was proved, and its Secret is another"
    assert words in fleet.rollout(agent, "--check").ok().output
    run = fleet.rollout(agent).ok()
    assert words in run.output
    assert pod_of(agent) != before
    assert gateway(agent, values[TOKEN]) == 200
    assert in_pod(told(fleet, agent), agent) == "current"
    assert not fleet.rollout(agent).ok().changed(agent)


def test_a_container_that_began_again_with_the_same_secret_is_left_alone(make_fleet: Make) -> None:
    agent = "carimbo-volta"
    fleet = make_fleet(agent, variables=RARELY)
    fleet.rollout(agent).ok()
    before = pod_of(agent)
    begin_again(agent)
    assert in_pod(told(fleet, agent), agent) == "current"
    assert not fleet.rollout(agent).ok().changed(agent)
    assert pod_of(agent) == before


def test_an_image_that_the_cluster_puts_in_its_place_is_no_release(make_fleet: Make, tmp_path: Path) -> None:
    """Trials C16: the release was recorded, and the pod ran another digest."""
    agent = "carimbo-troca"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    good = running_image(agent)
    with swapped_image(agent, f"{TESTGATEWAY}:latest", tmp_path):
        fleet.variables["agent_env"] = {"MARK": "2"}
        run = fleet.rollout(agent)
        message = message_of(run, agent)
        assert error_of(run, agent)["cause"] == "swapped"
        assert f"was given the image {TESTGATEWAY}:latest in place of {good}" in message
        shown = fleet.play("playbooks/status.yml", "-e", f"agent={agent}").ok()
        (result,) = shown.results.values()
        assert result["agents"][0]["image"] == f"{TESTGATEWAY}:latest"
    fleet.rollout(agent).ok()
    assert running_image(agent) == good


def test_a_secret_that_is_changed_while_the_old_pod_drains_is_what_the_new_one_is_asked_with(make_fleet: Make) -> None:
    """Trials C17: "refuses the token that stands in Vault", and a good release was taken back."""
    agent = "carimbo-espera"
    slow = {**RARELY, "agent_grace_seconds": 20, "agent_env": {"TESTGATEWAY_IGNORE_SIGTERM": "1"}}
    fleet = make_fleet(agent, variables=slow)
    fleet.rollout(agent).ok()
    fleet.variables["agent_env"] = {"MARK": "2"}
    wrong: list[BaseException] = []

    def edit() -> None:
        try:
            until(lambda: any(one["metadata"].get("deletionTimestamp") for one in pods(agent)), "the old pod ends", 60)
            fleet.put(agent, {**fleet.values(agent), TOKEN: "the-token-of-the-drain"})
            sync(fleet, agent)
        except BaseException as error:
            wrong.append(error)

    editing = threading.Thread(target=edit)
    editing.start()
    run = fleet.rollout(agent)
    editing.join()
    assert not wrong, f"{wrong[0]}\n{run.output}"
    run.ok()
    assert "the Secret was changed while the pod came up" in run.output
    assert gateway(agent, "the-token-of-the-drain") == 200
    assert stamp(agent) == "2"
    assert len(pods(agent)) == 1
    assert not fleet.rollout(agent).ok().changed(agent)


def test_a_store_that_reaches_nothing_is_not_finished(make_fleet: Make) -> None:
    """Trials C18: rc 0 and recorded; the store failed seconds later; "nothing to do"."""
    agent = "carimbo-porta"
    fleet = make_fleet(agent, variables={**RARELY, "agent_sync_timeout": 8})
    fleet.rollout(agent).ok()
    good, before = fleet.variables.get("agent_vault_server"), pod_of(agent)
    fleet.variables["agent_vault_server"] = "http://127.0.0.1:9"
    for _run in range(2):
        message = message_of(fleet.rollout(agent), agent)
        assert "SecretStore" in message
        assert "nothing was synced since" in message
        assert "agent_vault_server" in message
    shown = fleet.play("playbooks/status.yml", "-e", f"agent={agent}").ok()
    (result,) = shown.results.values()
    assert not result["agents"][0]["secret_ready"]
    if good:
        fleet.variables["agent_vault_server"] = good
    else:
        del fleet.variables["agent_vault_server"]
    fleet.rollout(agent).ok()
    assert pod_of(agent) == before
    assert not fleet.rollout(agent).ok().changed(agent)

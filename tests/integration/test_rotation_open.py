"""While a rotation is open nothing else starts a pod with half of it, unless a person says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.disturbing import KEYS, agrees, killed_after_its_journal, killed_after_its_promotion, running
from tests.integration.failing import error_of
from tests.integration.fleet import Fleet, get, pods, vault_admin, versions
from tests.integration.rotating import journal

AGENT = "giro-aberto"
#: The dead run's lock need not be waited for.
NOW = ("-e", "force_unlock=true")
fleet = running(AGENT)


@pytest.mark.parametrize("playbook", ["rollout.yml", "playbooks/restart.yml"])
def test_what_would_start_a_pod_is_stopped_and_told_how_to_end_it(fleet: Fleet, tmp_path: Path, playbook: str) -> None:
    """Trials G3: recorded as a release with the half value, without a word."""
    killed_after_its_promotion(fleet, tmp_path / "killed")
    pod = pods(AGENT)[0]["metadata"]["uid"]
    before = versions(AGENT)
    for words in ((), ("--check",)):
        run = fleet.play(playbook, "-e", f"agent={AGENT}", *NOW, *words).failed(
            f"of {KEYS[1].partition('=')[2]} is open (prepared)", f"playbooks/rotate.yml -e agent={AGENT}", "abort=true"
        )
        assert error_of(run, AGENT)["kind"] == "rotation_open"
    assert versions(AGENT) == before
    assert pods(AGENT)[0]["metadata"]["uid"] == pod
    fleet.rotate(AGENT, *NOW).ok()
    agrees(fleet)


def test_a_run_with_nothing_to_do_does_not_mind(fleet: Fleet, tmp_path: Path) -> None:
    killed_after_its_journal(fleet, tmp_path / "killed")
    # The lock that the killed run left is freed by it, and no more.
    fleet.rollout(AGENT, *NOW).ok()
    assert journal(AGENT)["phase"] == "prepared"
    fleet.rotate(AGENT, *NOW).ok()
    agrees(fleet)


def test_in_an_emergency_a_person_says_so_and_it_is_recorded(fleet: Fleet, tmp_path: Path) -> None:
    killed_after_its_promotion(fleet, tmp_path / "killed")
    fleet.variables["agent_env"] = {"MARK": "an emergency"}
    try:
        run = fleet.rollout(AGENT, *NOW, "-e", "despite_rotation=true").ok()
        assert "is open (prepared)" in run.output
        record = get("configmap", f"{AGENT}-releases")
        assert record
        assert "(although rotation " in json.loads(record["data"]["releases.json"])[-1]["by"]
        fleet.rotate(AGENT, *NOW).ok()
        agrees(fleet)
    finally:
        del fleet.variables["agent_env"]


def test_a_journal_that_may_not_be_read_is_a_stop_that_names_the_right(fleet: Fleet) -> None:
    vault = vault_admin()
    text = 'path "kv/*" { capabilities = ["read"] }\npath "kv/data/agents-rotation/*" { capabilities = ["deny"] }\n'
    vault.sys.create_or_update_policy("half-blind", text)
    token = vault.auth.token.create(policies=["half-blind"], ttl="10m")["auth"]["client_token"]
    fleet.variables["agent_env"] = {"MARK": "unseen"}
    before = versions(AGENT)
    try:
        fleet.rollout(AGENT, env={"VAULT_TOKEN": token}).failed(
            f"Vault does not allow 'read' on kv/data/agents-rotation/{AGENT}", "docs/permissions"
        )
        assert versions(AGENT) == before
    finally:
        del fleet.variables["agent_env"]
        vault.sys.delete_policy("half-blind")

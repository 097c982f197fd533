"""The API server itself says no in the middle of a rotation: waited for where it may come right, else taken back."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.admission import no_pod_can_be_new, no_sync_can_be_asked_for, webhook_of_eso_is_down
from tests.integration.disturbing import KEYS, SYNC, agrees, killed_after_its_journal, meanwhile, running
from tests.integration.failing import message_of
from tests.integration.fleet import Fleet, gateway, pods
from tests.integration.rotating import TOKEN, stamp, vault_version
from tests.sandbox.proxy import Through

AGENT = "giro-porteiro"
fleet = running(AGENT)


def _pod() -> tuple[str, str]:
    (only,) = pods(AGENT)
    return only["metadata"]["uid"], stamp(AGENT)


def test_a_sync_that_nobody_may_ask_for_is_taken_back_and_the_refusal_told(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, pod = fleet.values(AGENT), _pod()
    monkeypatch.setitem(fleet.variables, "agent_sync_timeout", 3)
    with no_sync_can_be_asked_for(AGENT):
        message = message_of(fleet.rotate(AGENT, *KEYS), AGENT)
    assert "the External Secrets Operator could not be asked" in message
    assert "What it had under way could still bring the values that were taken back" in message
    assert "stock-taking" in message
    assert "Everything is back" in message
    assert fleet.values(AGENT) == old
    assert _pod() == pod
    agrees(fleet, "rolled_back")


def test_a_webhook_of_eso_that_comes_back_is_waited_for(fleet: Fleet, proxy: Through) -> None:
    old = fleet.values(AGENT)
    with ExitStack() as down:
        down.enter_context(webhook_of_eso_is_down(AGENT))
        meanwhile(fleet, proxy, replace(SYNC, first=2), down.close).ok()
    asked = [write.status for write in proxy.proxy.writes() if "/externalsecrets/" in write.path]
    # ESO writes to it, too: a version that is no longer the newest is read again.
    assert [status for status in asked if status != 409] == [500, 200]
    agrees(fleet)
    assert gateway(AGENT, old[TOKEN]) == 401


def test_a_new_pod_that_a_policy_refuses_is_taken_back_and_the_old_one_runs_on(fleet: Fleet) -> None:
    old, version, pod = fleet.values(AGENT), vault_version(AGENT), _pod()
    with no_pod_can_be_new(AGENT):
        message = message_of(fleet.rotate(AGENT, *KEYS), AGENT)
    assert "stock-taking" in message
    assert "Everything is back" in message
    assert fleet.values(AGENT) == old
    assert vault_version(AGENT) == version + 2
    assert _pod() == pod
    agrees(fleet, "rolled_back")


def test_a_dead_runs_rotation_is_aborted_although_its_external_secret_takes_no_write(
    fleet: Fleet, tmp_path: Path
) -> None:
    """The fence cannot be raised there, for anybody: the dead run could not write to it either."""
    old, pod = fleet.values(AGENT), _pod()
    killed_after_its_journal(fleet, tmp_path)
    with no_sync_can_be_asked_for(AGENT):
        run = fleet.rotate(AGENT, "-e", "abort=true", "-e", "force_unlock=true").ok()
    assert "stock-taking" in run.output
    assert fleet.values(AGENT) == old
    assert _pod() == pod
    agrees(fleet, "aborted")

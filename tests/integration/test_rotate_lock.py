"""Two rotations of one agent, and a run that outlived its kill: one works, no other writes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import CasConflict, Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry
from tests.integration.disturbing import KEYS, PROMOTION, killed_after_its_journal
from tests.integration.failing import error_of
from tests.integration.fleet import Fleet, gateway, pods, until
from tests.integration.rotating import TOKEN, journal, values_left, vault_version
from tests.integration.writes import holder, servers
from tests.sandbox.existing import Existing
from tests.sandbox.paths import CHECKOUT
from tests.sandbox.proxy import Through, hold

Make = Callable[..., Fleet]


@pytest.fixture
def vault(sandbox: Existing, tmp_path: Path) -> Vault:
    """As the operator, past every proxy: the hands of a run that somebody thinks dead."""
    return Vault({}, Context(dict(os.environ), str(tmp_path)))


def test_of_two_rotations_one_works_and_the_other_names_it(make_fleet: Make, proxy: Through, tmp_path: Path) -> None:
    agent = "giro-dois"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    old = fleet.values(agent)
    standing = proxy.proxy.add(hold(PROMOTION))
    words = ["-e", f"agent={agent}", *KEYS]
    job = ["-e", "awx_job_id=812", "-e", "awx_user_name=alice"]
    other = Fleet(tmp_path / "other", [agent])
    with (tmp_path / "first").open("w+") as output:
        first = subprocess.Popen(
            fleet.command("playbooks/rotate.yml", *words, *job), cwd=CHECKOUT, env=fleet.environment(**servers(proxy)),
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            standing.wait_fired(timeout=60)
            run = other.play("playbooks/rotate.yml", *words).failed("job 812 (alice)")
            assert error_of(run, agent)["kind"] == "locked"
            assert fleet.values(agent) == old
            standing.release()
            assert first.wait(120) == 0, Path(output.name).read_text()
        finally:
            first.kill()
            first.wait()
    assert vault_version(agent) == 2
    assert journal(agent)["rotation_id"] == "812"
    assert not holder(agent)
    assert len(pods(agent)) == 1


def test_a_run_that_outlived_its_kill_writes_nothing_after_another_took_over(
    make_fleet: Make, tmp_path: Path, vault: Vault, needs: Callable[..., None]
) -> None:
    """I12, I2: what it knows is from before; the journal and the live path have moved on."""
    needs("processes")
    agent = "giro-zumbi"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    # As in AWX, where the job that goes on has another number than the one that was killed.
    killed_after_its_journal(fleet, tmp_path / "killed", "-e", "awx_job_id=5")
    live, where = Entry(vault, "kv", f"agents/{agent}"), journals.entry(vault, "kv", agent)
    zombie = journals.read(where)
    assert zombie
    run = fleet.rotate(agent, *KEYS, "-e", "awx_job_id=6").ok()
    assert "going on with rotation 5" in run.output
    # The one value that was ever made is the one that runs.
    assert fleet.values(agent)[TOKEN] == zombie.new[TOKEN]
    assert gateway(agent, zombie.new[TOKEN]) == 200
    before = fleet.values(agent), vault_version(agent), journal(agent)
    with pytest.raises(CasConflict):
        live.patch({TOKEN: "late"}, expected_version=zombie.base_version)
    with pytest.raises(AgentError) as caught:
        journals.write(where, replace(zombie, phase=journals.ROLLING_BACK))
    assert caught.value.kind is ErrorKind.LOCK_LOST
    assert (fleet.values(agent), vault_version(agent), journal(agent)) == before


def test_after_an_abort_the_value_can_not_be_promoted_any_more(
    make_fleet: Make, tmp_path: Path, vault: Vault, needs: Callable[..., None]
) -> None:
    needs("processes")
    agent = "giro-desfeito"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    old = fleet.values(agent)
    killed_after_its_journal(fleet, tmp_path / "killed")
    live, where = Entry(vault, "kv", f"agents/{agent}"), journals.entry(vault, "kv", agent)
    zombie = journals.read(where)
    assert zombie
    run = fleet.rotate(agent, "-e", "abort=true", "-e", "force_unlock=true").ok()
    assert f"rotation {zombie.rotation_id} is aborted" in run.output
    assert journal(agent)["phase"] == "aborted"
    assert not values_left(agent)
    assert fleet.values(agent) == old
    with pytest.raises(CasConflict):
        live.patch(zombie.new, expected_version=zombie.base_version)
    with pytest.raises(AgentError) as caught:
        journals.write(where, replace(zombie, phase=journals.PROMOTED))
    assert caught.value.kind is ErrorKind.LOCK_LOST
    assert fleet.values(agent) == old
    assert len(pods(agent)) == 1
    # What runs was never touched, and what comes next begins anew.
    assert "no rotation is open" in fleet.rotate(agent, "-e", "abort=true").ok().output
    assert fleet.rotate(agent, *KEYS).ok().changed(agent)
    until(lambda: gateway(agent, fleet.values(agent)[TOKEN]) == 200, "the new token", 5)

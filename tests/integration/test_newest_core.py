"""A rollout on the newest ansible-core that a Python of this machine allows. `make venv-newest` makes its place."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.integration.fleet import CHECKOUT, Fleet, gateway

Make = Callable[..., Fleet]
PROGRAMS = CHECKOUT / ".venv" / "newest" / "bin"


@pytest.mark.skipif(
    not (PROGRAMS / "ansible-playbook").exists(), reason="no .venv/newest: no Python 3.12 or later here"
)
def test_rollout_restart_and_status_on_the_newest_core(make_fleet: Make, needs: Callable[..., None]) -> None:
    needs("kubelet")
    name = "novissima"
    fleet = make_fleet(name, programs=PROGRAMS, variables={"agent_secret_refresh": "1h"})
    version = subprocess.run([PROGRAMS / "ansible-playbook", "--version"], capture_output=True, text=True, check=True)
    assert f"{CHECKOUT}/.venv/newest" in version.stdout
    assert "core 2.19" not in version.stdout

    assert fleet.rollout(name).ok().changed(name)
    assert gateway(name, fleet.values(name)["OPENCLAW_GATEWAY_TOKEN"]) == 200
    assert not fleet.rollout(name).ok().changed(name)
    told = fleet.rollout(name, "--check", "--diff", "-e", "tag=second").ok()
    assert told.changed(name)
    assert "(second)" in told.output
    status = fleet.play("playbooks/status.yml", "-e", f"agent={name}").ok()
    assert f"{name}  running" in status.output
    fleet.play("rollout.yml", "-e", "agent=novissim*").failed("is no agent; the agents are: novissima")

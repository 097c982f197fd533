# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action brings into ansible's process before it forks. A run with nothing to do consists of little else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PACKAGE = "ansible_collections.digitalsys.agents.plugins"
#: Their imports take as long as the rest of such a run.
HEAVY = ("kubernetes", "requests", "hvac", "pydantic", "websocket")


def brought_by(action: str) -> list[str]:
    code = f"import json, sys, {PACKAGE}.action.{action}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


def test_a_plan_brings_what_a_plan_needs() -> None:
    found = brought_by("agent_plan")
    assert [name for name in found if name in HEAVY] == []
    ours = {name.rpartition(".")[2] for name in found if name.startswith(f"{PACKAGE}.module_utils._")}
    assert "_plan_run" in ours
    # What waits, writes, locks and diagnoses is loaded when there is something to do.
    assert ours.isdisjoint(
        ("_rollout", "_bring_up", "_verdict", "_diagnose", "_watching", "_lease", "_apply", "_secret")
    )


def test_a_status_asks_without_them_too() -> None:
    assert [name for name in brought_by("agent_info") if name in HEAVY] == []


@pytest.mark.parametrize("action", ["agent", "agent_access", "agent_rollout", "agent_rotation"])
def test_what_runs_once_for_each_agent_brings_all_that_its_workers_may_need(action: str) -> None:
    assert {"kubernetes", f"{PACKAGE}.module_utils._kube_library"} <= set(brought_by(action))

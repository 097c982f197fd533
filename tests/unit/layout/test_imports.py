# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action brings into ansible's process before it forks. A run with nothing to do consists of little else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "ansible_collections.digitalsys.agents.plugins"
#: Their imports take as long as the rest of such a run.
HEAVY = ("kubernetes", "requests", "hvac", "pydantic", "websocket")
UTILS = Path(__file__).parents[3] / "plugins/module_utils"
NAMES = {".".join(path.relative_to(UTILS).with_suffix("").parts) for path in UTILS.rglob("*.py")}


def brought_by(action: str) -> list[str]:
    code = f"import json, sys, {PACKAGE}.action.{action}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


def test_a_plan_brings_what_a_plan_needs() -> None:
    found = brought_by("agent_plan")
    assert [name for name in found if name in HEAVY] == []
    prefix = f"{PACKAGE}.module_utils."
    ours = {name.removeprefix(prefix) for name in found if name.startswith(prefix)}
    assert "_rollout.plan" in ours
    # What waits, writes, locks and diagnoses is loaded when there is something to do.
    later = {
        f"_{name}"
        for name in (
            "rollout.operation",
            "rollout.bring_up",
            "rollout.verdict",
            "rollout.diagnosis",
            "kube.watch",
            "kube.apply",
            "lock.lease",
            "eso.proof",
        )
    }
    assert later <= NAMES, "a name that no longer exists would be missing for ever"
    assert ours.isdisjoint(later)


def test_a_status_asks_without_them_too() -> None:
    assert [name for name in brought_by("agent_info") if name in HEAVY] == []


@pytest.mark.parametrize("action", ["agent", "agent_access", "agent_rollout", "agent_rotation"])
def test_what_runs_once_for_each_agent_brings_all_that_its_workers_may_need(action: str) -> None:
    assert {"kubernetes", f"{PACKAGE}.module_utils._kube.library"} <= set(brought_by(action))

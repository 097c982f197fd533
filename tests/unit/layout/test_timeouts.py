# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting times stand in _core/timeouts.py, each with its reason, and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[3] / "plugins" / "module_utils"
TIMEOUTS = UTILS / "_core" / "timeouts.py"
#: Calls whose first argument is a time.
_WAITS = ("sleep", "wait", "wait_for", "Budget", "settimeout", "patience")


def bare_times(source: str) -> list[str]:
    """Places where a number stands for a time: sleep(2), Budget(10.0), timeout=(1, 10), NAME_SECONDS = 5."""
    places = []
    for node in ast.walk(ast.parse(source)):
        times: list[ast.expr] = []
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            times = [word.value for word in node.keywords if word.arg in ("timeout", "_request_timeout")]
            times += node.args[:1] if called in _WAITS else []
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            times = [node.value] if any("SECONDS" in name or "TIMEOUT" in name for name in names) else []
        numbers = [
            part
            for time in times
            for part in (time.elts if isinstance(time, ast.Tuple) else [time])
            if isinstance(part, ast.Constant) and isinstance(part.value, int | float) and part.value
        ]
        places += [f"line {part.lineno}: {part.value!r}" for part in numbers]
    return places


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(UTILS.rglob("*.py")) if path != TIMEOUTS],
    ids=lambda path: f"{path.parent.name}.{path.stem}",
)
def test_no_waiting_time_stands_anywhere_else(path: Path) -> None:
    assert bare_times(path.read_text()) == []


@pytest.mark.parametrize(
    "source", ["time.sleep(2)", "Budget(10.0)", "ask(timeout=(1, 10))", "_RETRY_SECONDS = 5", "self._stopped.wait(0.5)"]
)
def test_a_bare_one_is_seen(source: str) -> None:
    assert bare_times(source)
    assert not bare_times("time.sleep(PAUSE)\nBudget(RETRIES if retry else 0.0)")


def test_none_is_without_use() -> None:
    names = {
        target.id
        for node in ast.parse(TIMEOUTS.read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    everything = [path.read_text() for path in UTILS.rglob("*.py")]
    used = {
        node.id for text in everything for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
    }  # fmt: skip
    assert names - used == set()

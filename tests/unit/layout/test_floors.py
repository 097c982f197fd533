# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floors of plugins/module_utils: a room imports only what is below it, so never another one of its own floor.

docs/developing.md says what each room holds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[3] / "plugins" / "module_utils"
PREFIX = "ansible_collections.digitalsys.agents.plugins.module_utils"
FLOORS: tuple[set[str], ...] = (
    {"_core"},
    {"_options"},
    {"_kube", "_vault", "_registry"},
    {"_agent"},
    {"_lock", "_guards", "_eso", "_journal"},
    {"_session"},
    {"_rollout"},
    {"_rotate", "_rotate_access"},
    {"_provision"},  # renews an access, too
    {"_status"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imported(source: str) -> set[str]:
    """Rooms that a source imports, inside functions and for types as well. ValueError for an import that hides one."""
    rooms = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: relative")
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {name.removeprefix(f"{PREFIX}.").split(".")[0] for name in names if name.startswith(f"{PREFIX}.")}
    return rooms


def upward(room: str, source: str) -> list[str]:
    return sorted(other for other in imported(source) if other != room and FLOOR[other] >= FLOOR[room])


def test_every_room_has_its_floor() -> None:
    assert {path.name for path in UTILS.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(FLOOR)
    assert [path.name for path in UTILS.glob("*.py")] == [], "a file outside the rooms"


@pytest.mark.parametrize("path", sorted(UTILS.rglob("*.py")), ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_a_room_imports_only_what_is_below_it(path: Path) -> None:
    assert upward(path.parent.name, path.read_text()) == []


@pytest.mark.parametrize("path", sorted(UTILS.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_a_room_says_in_one_line_what_it_holds_and_hands_nothing_on(path: Path) -> None:
    body = ast.parse(path.read_text()).body
    assert len(body) == 1
    assert (ast.get_docstring(ast.parse(path.read_text())) or "").count("\n") == 0
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("_core", f"from {PREFIX}._options.argspec import AGENT"),
        ("_kube", f"from {PREFIX}._vault import client"),
        ("_agent", f"def f():\n    from {PREFIX}._eso.proof import prove"),
        ("_agent", f"if TYPE_CHECKING:\n    import {PREFIX}._rollout.plan"),
        ("_rotate", f"from {PREFIX} import _status"),
    ],
)
def test_an_import_upwards_is_seen(room: str, source: str) -> None:
    assert upward(room, source)
    assert upward("_status", f"from {PREFIX}._core.errors import AgentError") == []


def test_a_relative_import_is_seen() -> None:
    with pytest.raises(ValueError, match="relative"):
        imported("from .._kube import names")

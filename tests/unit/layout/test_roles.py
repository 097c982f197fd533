"""The roles' argument specs say what their defaults say, and describe all that can be called.

What they say of the modules' options is derived: test_options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.digitalsys.agents.plugins.module_utils._options import argspec
from tests.gates import options

CHECKOUT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (CHECKOUT / "roles").iterdir() if path.is_dir())

#: An agent's own variables are those of the role agent, whichever role reads them.
OF_AN_AGENT = {f"agent_{option}" for option in options.OF_AN_AGENT}


def entry_points(role: str) -> dict[str, Any]:
    path = CHECKOUT / "roles" / role / "meta" / "argument_specs.yml"
    specs: dict[str, Any] = yaml.safe_load(path.read_text())["argument_specs"]
    return specs


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_is_described(role: str) -> None:
    tasks = {path.stem for path in (CHECKOUT / "roles" / role / "tasks").glob("*.yml")}
    described = set(entry_points(role))
    assert described <= tasks
    assert "main" in described
    if role in options.ENTRY_POINTS:
        assert described == tasks


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_of_the_argument_spec(role: str) -> None:
    path = CHECKOUT / "roles" / role / "defaults" / "main.yml"
    defaults: dict[str, Any] = (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}
    told: dict[str, Any] = {}
    for entry in entry_points(role).values():
        told |= {name: option["default"] for name, option in entry.get("options", {}).items() if "default" in option}
    if defaults or role == "awx":
        assert defaults == told
    # The others leave a variable out where the inventory does: the module's own default counts, and test_options
    # compares it.


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_the_name_of_their_role(role: str) -> None:
    for point, entry in entry_points(role).items():
        for name in entry.get("options", {}):
            assert name.startswith(f"{role}_") or name in OF_AN_AGENT, f"{point}: {name}"


def test_every_option_of_an_agent_is_a_variable_of_the_role() -> None:
    wanted = {f"agent_{option}" for option in argspec.OF_AN_AGENT if option != "name"}
    assert wanted <= set(entry_points("agent")["main"]["options"])

"""The roles' argument specs say what their defaults and the modules' options say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.digitalsys.agents.plugins.module_utils._options import argspec

CHECKOUT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (CHECKOUT / "roles").iterdir() if path.is_dir())

#: The module behind each entry point of the roles about agents.
BEHIND: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("agent", "main"): {**argspec.PLAN_MODULE, **argspec.ROLLOUT_MODULE, **argspec.OF_AN_AGENT},
    ("agent", "plan"): {**argspec.PLAN_MODULE, **argspec.OF_AN_AGENT},
    ("agent", "provision"): argspec.ACCESS_MODULE,
    ("agent", "rollout"): argspec.ROLLOUT_MODULE,
    ("agent", "restart"): argspec.ROLLOUT_MODULE,
    ("agent", "status"): {**argspec.INFO_MODULE, **argspec.PLACE},
    ("agent_secrets", "main"): argspec.ROTATION_MODULE,
    ("agent_secrets", "rotate"): argspec.ROTATION_MODULE,
    ("agent_secrets", "rotate_access"): argspec.ACCESS_MODULE,
}
#: An agent's own variables are those of the role agent, whichever role reads them.
OF_AN_AGENT = {f"agent_{option}" for option in (*argspec.OF_AN_AGENT, *argspec.HOLDER)}
#: Variables of a whole run whose module option has the name of an agent's own option.
OF_THE_RUN = {"run_image": "image", "run_tag": "tag", "status_secrets": "secrets"}
#: What one task hands to the next; no option of any module.
HANDED_ON = {"agent_run"}


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
    if behind := {point for owner, point in BEHIND if owner == role}:
        assert described == tasks == behind


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_of_the_argument_spec(role: str) -> None:
    path = CHECKOUT / "roles" / role / "defaults" / "main.yml"
    defaults: dict[str, Any] = (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}
    told: dict[str, Any] = {}
    for entry in entry_points(role).values():
        told |= {name: option["default"] for name, option in entry.get("options", {}).items() if "default" in option}
    if defaults or role == "awx":
        assert defaults == told
    # The others leave a variable out where the inventory does: the module's own default counts, compared below.


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_the_name_of_their_role(role: str) -> None:
    for point, entry in entry_points(role).items():
        for name in entry.get("options", {}):
            assert name.startswith(f"{role}_") or name in OF_AN_AGENT, f"{point}: {name}"


@pytest.mark.parametrize(("role", "point"), sorted(BEHIND))
def test_options_of_a_role_are_those_of_its_modules(role: str, point: str) -> None:
    for variable, told in entry_points(role)[point].get("options", {}).items():
        if variable in HANDED_ON:
            continue
        option = variable.removeprefix(f"{role}_").removeprefix("agent_")
        rules = BEHIND[role, point][OF_THE_RUN.get(option, option)]
        assert told.get("type", "str") == rules.get("type", "str"), variable
        assert told.get("choices") == rules.get("choices"), variable
        if option not in OF_THE_RUN:
            assert told.get("default") == rules.get("default"), variable


def test_every_option_of_an_agent_is_a_variable_of_the_role() -> None:
    wanted = {f"agent_{option}" for option in argspec.OF_AN_AGENT if option != "name"}
    assert wanted <= set(entry_points("agent")["main"]["options"])

"""Modules, actions and their documentation belong together: what no tool of Ansible checks."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
COLLECTION = "digitalsys.agents"


def plugins(kind: str) -> list[str]:
    return sorted(path.stem for path in (CHECKOUT / "plugins" / kind).glob("[!_]*.py"))


MODULES = plugins("modules")
ACTIONS = plugins("action")


def load(kind: str, name: str) -> ModuleType:
    return importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.{kind}.{name}")


@cache
def documented() -> dict[str, Any]:
    """What ansible-doc says of each module, fragments merged: short name -> its documentation."""
    names = [f"{COLLECTION}.{name}" for name in MODULES]
    command = [sys.executable, "-m", "ansible", "doc", "--type", "module", "--json", *names]
    output = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    return {name.rpartition(".")[2]: entry["doc"] for name, entry in json.loads(output).items()}


def test_the_modules_are_there() -> None:
    assert {"agent", "agent_access", "agent_info", "agent_plan", "agent_rollout", "agent_rotation"} <= set(MODULES)


def test_action_group_lists_every_module() -> None:
    runtime = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text())
    assert sorted(runtime["action_groups"]["agents"]) == MODULES


def test_every_module_has_its_action_and_the_other_way_round() -> None:
    assert ACTIONS == MODULES


@pytest.mark.parametrize("name", ACTIONS)
def test_action_and_module_run_the_same_operation_with_the_same_options(name: str) -> None:
    action, held_by_module = load("action", name).ActionModule, list(vars(load("modules", name)).values())
    assert any(value is action.spec for value in held_by_module), "the module has a spec of its own"
    assert any(value is action.operation for value in held_by_module), "the module runs another function"


@pytest.mark.parametrize("name", ACTIONS)
def test_every_option_is_documented_as_it_is(name: str) -> None:
    spec, options = load("action", name).ActionModule.spec, documented()[name]["options"]
    assert sorted(options) == sorted(spec)
    for option, rules in spec.items():
        told = options[option]
        assert told["description"], option
        assert told.get("type", "str") == rules.get("type", "str"), option
        assert told.get("default") == rules.get("default"), option
        assert bool(told.get("required")) == bool(rules.get("required")), option
        assert told.get("choices") == rules.get("choices"), option
        assert sorted(told.get("aliases") or []) == sorted(rules.get("aliases") or []), option


@pytest.mark.parametrize("name", MODULES)
def test_module_tells_how_it_treats_check_mode_and_diff(name: str) -> None:
    attributes = documented()[name]["attributes"]
    assert {"check_mode", "diff_mode", "idempotent"} <= set(attributes)

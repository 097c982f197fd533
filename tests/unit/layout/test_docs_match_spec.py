# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read is what the code takes and returns: examples, results, kinds of errors, roles' variables, filters.

Options of a module against its documentation are compared in test_plugins.
"""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.digitalsys.agents.plugins.doc_fragments.attributes import ModuleDocFragment
from ansible_collections.digitalsys.agents.plugins.filter import known_agents, waves
from ansible_collections.digitalsys.agents.plugins.module_utils._core import context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import BY_NAME
from ansible_collections.digitalsys.agents.plugins.module_utils._options import argspec
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.operation import _result as result_of_rollout
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.plan import _result as result_of_plan
from ansible_collections.digitalsys.agents.plugins.module_utils._status.operation import _describe
from tests.unit import builders

CHECKOUT = Path(__file__).resolve().parents[3]
PLUGINS = CHECKOUT / "plugins"
PREFIX = "digitalsys.agents."
SPECS: dict[str, context.Spec] = {
    "agent": argspec.AGENT_MODULE,
    "agent_access": argspec.ACCESS_MODULE,
    "agent_info": argspec.INFO_MODULE,
    "agent_plan": argspec.PLAN_MODULE,
    "agent_rollout": argspec.ROLLOUT_MODULE,
    "agent_rotation": argspec.ROTATION_MODULE,
}
#: What ansible itself makes of a result, for every module alike.
OF_ANSIBLE = {"changed", "warnings", "diff"}
ROLE = CHECKOUT / "roles" / "agent"
ENTRY_POINTS: dict[str, Any] = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]


def text_of(name: str, what: str) -> Any:
    module = importlib.import_module(f"ansible_collections.digitalsys.agents.plugins.modules.{name}")
    return yaml.safe_load(getattr(module, what))


def example_tasks() -> list[Any]:
    return [
        pytest.param(key.removeprefix(PREFIX), task[key], id=f"{name}: {task['name']}")
        for name in SPECS
        for task in text_of(name, "EXAMPLES")
        for key in task
        if key.startswith(PREFIX)
    ]


def settled(value: Any, rules: dict[str, Any]) -> Any:
    """A template's stand-in of the right type: what it gives depends on an inventory."""
    if isinstance(value, str) and "{{" in value:
        return {"dict": {}, "list": []}.get(rules.get("type", "str"), value)
    return value


@pytest.mark.parametrize("name", SPECS)
def test_every_module_has_an_example_of_itself(name: str) -> None:
    assert any(PREFIX + name in task for task in text_of(name, "EXAMPLES"))


@pytest.mark.parametrize(("name", "options"), example_tasks())
def test_examples_give_options_that_the_module_takes(name: str, options: dict[str, Any]) -> None:
    spec = SPECS[name]
    given = {option: settled(value, spec.get(option, {})) for option, value in options.items()}
    assert ArgumentSpecValidator(spec).validate(given).error_messages == []


def test_the_example_that_needs_no_server_runs(tmp_path: Path) -> None:
    task = next(one for one in text_of("agent", "EXAMPLES") if one[PREFIX + "agent"].get("state") == "rendered")
    shown = "{{ " + task["register"] + ".objects | map(attribute='kind') | join(' ') }}"
    tasks = [task, {"name": "Show", "ansible.builtin.debug": {"msg": f"kinds: {shown}"}}]
    play = [{"name": "Example", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "play.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = "ServiceAccount PersistentVolumeClaim NetworkPolicy SecretStore ExternalSecret Deployment"
    assert f"kinds: {kinds}" in " ".join(done.stdout.split())  # ansible folds a line where it is long


@pytest.mark.parametrize("name", SPECS)
def test_a_failure_is_documented(name: str) -> None:
    error = text_of(name, "RETURN")["error"]
    assert error["returned"] == "failure"
    assert {"kind", "message", "hint"} <= set(error["contains"])
    assert {"kind", "message", "hint"} <= set(error["sample"])


def test_every_kind_of_error_is_in_the_notes() -> None:
    notes = " ".join(yaml.safe_load(ModuleDocFragment.HOST)["notes"])
    assert {kind.value for kind in ErrorKind} <= set(re.findall(r"V\(([a-z_]+)\)", notes))
    sources = "".join(path.read_text() for path in (PLUGINS / "module_utils").rglob("*.py"))
    assert [kind for kind in ErrorKind if f"ErrorKind.{kind.name}" not in sources] == [], "a kind that nothing raises"


def test_what_is_told_of_an_agent_is_documented() -> None:
    nothing: dict[str, dict[str, Any]] = {kind: {} for kind in BY_NAME}
    told = _describe("roberval", "bots", nothing, [], 0.0)
    documented = text_of("agent_info", "RETURN")["agents"]["contains"]
    assert documented.pop("secrets")["returned"] == "O(secrets=true)"  # its own facts: status.test_secrets
    assert set(told) == set(documented)
    words = {bool: "bool", int: "int", str: "str", list: "list"}
    assert {field: words[type(value)] for field, value in told.items()} == {
        field: rules["type"] for field, rules in documented.items()
    }


def test_the_result_of_a_rollout_is_documented() -> None:
    returned = result_of_rollout(builders.session(), "7")
    in_check_mode = {"reasons", "restarts"}
    assert set(returned) - OF_ANSIBLE == set(text_of("agent_rollout", "RETURN")) - in_check_mode - {"error"}


def test_the_plan_is_documented() -> None:
    returned = result_of_plan({}, [], "uid", {"operation": "rollout", "restart_id": ""}, Context({}, ""))
    assert set(returned) - OF_ANSIBLE == set(text_of("agent_plan", "RETURN")) - {"error"}


@pytest.mark.parametrize("point", ENTRY_POINTS)
def test_elements_and_duty_of_the_roles_variables_are_those_of_the_modules(point: str) -> None:
    known = {**argspec.PLAN_MODULE, **argspec.ACCESS_MODULE, **argspec.ROLLOUT_MODULE}
    for variable, told in ENTRY_POINTS[point]["options"].items():
        assert told["description"], variable
        rules = known.get(variable.removeprefix("agent_"))
        if rules:
            assert told.get("elements") == rules.get("elements"), variable
            assert bool(told.get("required")) == bool(rules.get("required")), variable


@pytest.mark.parametrize("point", ENTRY_POINTS)
def test_variables_of_an_entry_point_are_what_its_tasks_read(point: str) -> None:
    told = set(ENTRY_POINTS[point]["options"])
    assert told == read_by(point)


def read_by(point: str) -> set[str]:
    """Variables that are read in a file of tasks or in what it imports; agent_options reads all that an agent is."""
    text = (ROLE / "tasks" / f"{point}.yml").read_text()
    tasks = yaml.safe_load(text)
    made = {task["register"] for task in tasks if "register" in task}
    words = " ".join(re.findall(r"\{\{.*?\}\}", text, re.DOTALL) + [str(task.get("when", "")) for task in tasks])
    found = set(re.findall(r"(?<![\w.])agent_\w+", words)) - made
    for task in tasks:
        imported = task.get("ansible.builtin.import_tasks")
        found |= read_by(Path(imported).stem) if imported else set()
    of_an_agent = {f"agent_{option}" for option in argspec.OF_AN_AGENT if option != "name"}
    if some := re.search(r"agent_options',\s*\[(.*?)\]", text, re.DOTALL):
        found |= {f"agent_{option}" for option in re.findall(r"\w+", some[1])}
    elif "digitalsys.agents.agent_options" in text:
        found |= of_an_agent
    if any(PREFIX + "agent_rollout" in task for task in tasks):
        found |= {"agent_image"}  # belongs to the agent; the plan has settled it
    if point == "main":
        found -= {"agent_run"}  # made by its own first step
    return found


def test_every_filter_has_its_document() -> None:
    filters = {**known_agents.FilterModule().filters(), **waves.FilterModule().filters()}
    assert {path.stem for path in (PLUGINS / "filter").glob("*.yml")} == set(filters)
    for name, function in filters.items():
        page = yaml.safe_load((PLUGINS / "filter" / f"{name}.yml").read_text())
        told = page["DOCUMENTATION"]
        assert told["name"] == name
        assert all(isinstance(line, str) for line in told["description"]), "a colon makes a mapping of it: quote it"
        taken = [one for one in inspect.signature(function).parameters if one != "context"]
        assert list(told["options"]) == ["_input", *taken[1:]]
        positional = [word.strip() for word in told.get("positional", "").split(",") if word.strip()]
        assert positional == taken[1:]
        assert yaml.safe_load(page["EXAMPLES"]), name

"""Playbooks are thin, and the READMEs' table lists those that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
PLAYBOOKS = sorted(path.stem for path in (CHECKOUT / "playbooks").glob("*.yml"))
ROLE_CALLS = {"ansible.builtin.import_role", "ansible.builtin.include_role"}
IMPORT = "ansible.builtin.import_playbook"
MODIFIERS = {"name", "when", "tags", "vars"}


def plays(path: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    return loaded


def table_of_playbooks(readme: Path) -> list[str]:
    """The names in the first column of the table whose first heading speaks of playbooks."""
    names: list[str] = []
    inside = False
    for line in readme.read_text().splitlines():
        first = line.strip().strip("|").split("|")[0].strip() if line.strip().startswith("|") else None
        if first is None:
            inside = False
        elif "playbook" in first.lower() and "`" not in first:
            inside = True
        elif inside and not set(first) <= set(":- "):
            found = re.search(r"`(?:playbooks/)?([a-z_]+)(?:\.yml)?`", first)
            assert found, f"{readme.name}: a row without the name of a playbook: {line}"
            names.append(found[1])
    return names


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_playbook_only_calls_roles(name: str) -> None:
    for play in plays(CHECKOUT / "playbooks" / f"{name}.yml"):
        if IMPORT in play:
            assert set(play) <= MODIFIERS | {IMPORT}
            continue
        assert not {"pre_tasks", "post_tasks", "handlers", "roles", "vars_prompt", "vars_files"} & set(play)
        for task in play["tasks"]:
            (call,) = set(task) - MODIFIERS
            assert call in ROLE_CALLS
            assert task[call]["name"].startswith("digitalsys.agents.")


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_plays_stay_on_this_machine_and_gather_nothing(name: str) -> None:
    for play in plays(CHECKOUT / "playbooks" / f"{name}.yml"):
        if IMPORT not in play:
            assert play["connection"] == "local"
            assert play["gather_facts"] is False


@pytest.mark.parametrize("name", [name for name in PLAYBOOKS if name != "awx"])
def test_hosts_go_through_the_filter_that_refuses_patterns(name: str) -> None:
    for play in plays(CHECKOUT / "playbooks" / f"{name}.yml"):
        if IMPORT not in play:
            assert "agent | default(none) | digitalsys.agents.known_agents(groups, ansible_limit" in play["hosts"]


def test_front_door_is_the_playbook_itself() -> None:
    (only,) = plays(CHECKOUT / "rollout.yml")
    assert only[IMPORT] == "playbooks/rollout.yml"


@pytest.mark.parametrize("readme", ["README.md", "README.pt-BR.md"])
def test_readme_lists_the_playbooks_that_exist(readme: str) -> None:
    assert sorted(table_of_playbooks(CHECKOUT / readme)) == PLAYBOOKS

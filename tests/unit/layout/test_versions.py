"""One range per dependency, wherever it is written, and the pinned environment inside of it."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ansible_collections.kubernetes.core.plugins.module_utils as inside_kubernetes_core
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ansible_collections.digitalsys.agents.plugins.module_utils._core.version import VERSION

CHECKOUT = Path(__file__).resolve().parents[3]
COLLECTIONS = Path(next(iter(inside_kubernetes_core.__path__))).parents[3]


def load(name: str) -> Any:
    return yaml.safe_load((CHECKOUT / name).read_text())


GALAXY = load("galaxy.yml")
USERS = [
    Requirement(line)
    for line in (CHECKOUT / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def ranges(collections: list[dict[str, str]]) -> dict[str, str]:
    return {entry["name"]: entry["version"] for entry in collections if "version" in entry}


def test_collections_are_asked_for_in_one_range() -> None:
    for_awx = ranges(load("collections/requirements.yml")["collections"])
    assert for_awx.pop("awx.awx"), "the role awx needs it, and galaxy.yml does not name it"
    assert for_awx == GALAXY["dependencies"]


def test_execution_environment_has_what_awx_projects_get() -> None:
    galaxy = load("execution-environment.yml")["dependencies"]["galaxy"]["collections"]
    assert ranges(galaxy) == ranges(load("collections/requirements.yml")["collections"])


def test_execution_environment_holds_this_version() -> None:
    (file,) = load("execution-environment.yml")["additional_build_files"]
    assert file["src"] == f"digitalsys-agents-{GALAXY['version']}.tar.gz"


@pytest.mark.parametrize("name", sorted(GALAXY["dependencies"]))
def test_tests_run_with_a_collection_of_that_range(name: str) -> None:
    manifest = json.loads((COLLECTIONS / name.replace(".", "/") / "MANIFEST.json").read_text())
    assert manifest["collection_info"]["version"] in SpecifierSet(GALAXY["dependencies"][name])


@pytest.mark.parametrize("requirement", USERS, ids=str)
def test_tests_run_with_a_library_of_the_users_range(requirement: Requirement) -> None:
    assert version(requirement.name) in requirement.specifier
    assert any(clause.operator.startswith("<") for clause in requirement.specifier), "an upper bound"


def test_ansible_core_is_new_enough() -> None:
    assert version("ansible-core") in SpecifierSet(load("meta/runtime.yml")["requires_ansible"])


def test_this_version_is_the_released_one_or_the_one_whose_changes_are_gathered() -> None:
    newest = max(load("changelogs/changelog.yaml")["releases"], key=Version)
    gathered = list((CHECKOUT / "changelogs/fragments").glob("*.yml"))
    assert (Version(GALAXY["version"]) > Version(newest)) if gathered else (GALAXY["version"] == newest)
    anchor = f'<a id="v{newest.replace(".", "-")}"></a>'
    assert anchor in (CHECKOUT / "CHANGELOG.md").read_text()


def test_the_plugins_know_their_version() -> None:
    """It is recorded with each release of an agent."""
    assert GALAXY["version"] == VERSION

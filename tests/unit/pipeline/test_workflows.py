"""GitHub's workflows, held against what they name: actions, scripts, outputs, settings.

What each rule refuses: test_workflow_rules.py.
"""

from __future__ import annotations

import re

import pytest

from . import workflow_rights as rights
from . import workflow_rules as rules
from .workflow_files import CHECKOUT, Workflow, all_workflows

KNOWN = rules.table()
WORKFLOWS = all_workflows()
SETTINGS = rights.documented((CHECKOUT / "docs" / "images.md").read_text())
each = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)


def test_there_are_workflows_for_the_image_the_tests_and_the_releases() -> None:
    assert {workflow.name for workflow in WORKFLOWS} >= {"base-image.yml", "ci.yml", "release.yml"}


# Actions


def test_the_table_has_whole_commits_and_releases() -> None:
    for action in KNOWN.values():
        assert re.fullmatch(r"[0-9a-f]{40}", action.commit)
        assert re.fullmatch(r"v\d+\.\d+\.\d+", action.release)


@each
def test_each_action_is_a_commit_of_the_table_with_its_release_beside_it(workflow: Workflow) -> None:
    assert rules.unpinned(workflow, KNOWN) == []


@each
def test_each_input_is_one_that_the_action_has_and_none_that_it_wants_is_missing(workflow: Workflow) -> None:
    assert rules.wrong_inputs(workflow, KNOWN) == []


# Outputs


@each
def test_each_output_that_is_read_exists(workflow: Workflow) -> None:
    assert rules.missing_outputs(workflow, KNOWN) == []


# Scripts


@each
def test_each_script_is_there_and_takes_the_arguments_it_is_given(workflow: Workflow) -> None:
    assert rules.wrong_calls(workflow) == []


@each
def test_each_variable_that_is_set_is_read_and_arrives(workflow: Workflow) -> None:
    assert rules.wrong_environment(workflow) == []


def test_each_variable_that_a_script_asks_for_is_set() -> None:
    assert rules.forgotten_environment(WORKFLOWS) == []


@each
def test_no_expression_becomes_part_of_a_shells_text(workflow: Workflow) -> None:
    assert rules.expressions_in_commands(workflow) == []


# Rights and settings


@each
def test_each_setting_of_the_repository_is_in_the_documented_table(workflow: Workflow) -> None:
    assert rights.settings_named(workflow) <= {(setting.kind, setting.name) for setting in SETTINGS}
    assert rights.unclear_settings(workflow) == []
    assert rights.misplaced_secrets(workflow, SETTINGS) == []


def test_each_documented_setting_is_one_that_a_workflow_reads() -> None:
    read = set().union(*(rights.settings_named(workflow) for workflow in WORKFLOWS))
    assert {(setting.kind, setting.name) for setting in SETTINGS} == read


@each
def test_no_job_that_a_pull_request_may_start_has_a_secret_or_may_write(workflow: Workflow) -> None:
    assert rights.secrets_on_pull_requests(workflow) == []


@each
def test_no_job_has_a_right_that_it_does_not_name(workflow: Workflow) -> None:
    assert rights.loose_rights(workflow) == []

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at before anything is written."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.freeze import _is_over
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import (
    PROBE_NEEDS,
    ROLLOUT_NEEDS,
    missing_permissions,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.holder import holder

NEEDS = (("apps", "deployments", ("get", "patch")), ("", "pods/log", ("get",)))


def review(*rules: tuple[list[str], list[str], list[str]], **more: Any) -> dict[str, Any]:
    return {
        "resourceRules": [
            {"apiGroups": groups, "resources": resources, "verbs": verbs} for groups, resources, verbs in rules
        ],
        **more,
    }


def test_every_missing_verb_is_named_with_its_resource_and_group() -> None:
    assert missing_permissions(review(), NEEDS) == ["get deployments.apps", "patch deployments.apps", "get pods/log"]


def test_only_what_is_missing_is_named() -> None:
    given = review((["apps"], ["deployments"], ["get"]), ([""], ["pods/log"], ["get", "list"]))
    assert missing_permissions(given, NEEDS) == ["patch deployments.apps"]


@pytest.mark.parametrize(
    "rule",
    [
        (["*"], ["*"], ["*"]),
        (["apps", ""], ["deployments", "pods/log"], ["*"]),
        (["*"], ["deployments", "pods/log"], ["get", "patch"]),
    ],
)
def test_stars_grant_what_they_stand_for(rule: Any) -> None:
    assert missing_permissions(review(rule), NEEDS) == []


@pytest.mark.parametrize(
    "rule",
    [
        (["extensions"], ["deployments", "pods/log"], ["get", "patch"]),
        (["apps", ""], ["pods"], ["*"]),
        ([], [], []),
    ],
)
def test_a_right_on_something_else_grants_nothing(rule: Any) -> None:
    assert len(missing_permissions(review(rule), NEEDS)) == 3


def test_a_right_on_one_name_is_no_right_on_the_kind() -> None:
    given = {"resourceRules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], "resourceNames": ["roberval"]}]}
    assert len(missing_permissions(given, NEEDS)) == 3


def test_rules_with_missing_fields_grant_nothing_and_break_nothing() -> None:
    assert (
        len(
            missing_permissions(
                {"resourceRules": [{}, {"verbs": ["*"]}, {"apiGroups": None, "resources": None}]}, NEEDS
            )
        )
        == 3
    )
    assert len(missing_permissions({}, NEEDS)) == 3


def test_an_incomplete_review_of_a_webhook_authorizer_accuses_nobody() -> None:
    assert missing_permissions(review(incomplete=True), NEEDS) == []


def test_a_rollout_asks_for_no_right_to_read_or_remove_what_it_does_not_need() -> None:
    """The claim, above all, is never deleted."""
    verbs = {verb for _group, _resource, verbs in (*ROLLOUT_NEEDS, *PROBE_NEEDS) for verb in verbs}
    assert "deletecollection" not in verbs
    assert all(
        "delete" not in verbs
        for group, resource, verbs in ROLLOUT_NEEDS
        if resource in ("persistentvolumeclaims", "secrets", "configmaps")
    )
    assert all(
        set(verbs) <= {"get", "list", "watch"}
        for _group, resource, verbs in ROLLOUT_NEEDS
        if resource in ("secrets", "pods", "pods/log", "replicasets")
    )


# The freeze

NOW = datetime.datetime.now(datetime.UTC)
HOUR = datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    "until",
    [
        (NOW - HOUR).isoformat(),
        (NOW - HOUR).strftime("%Y-%m-%dT%H:%M:%SZ"),
        (NOW - HOUR).replace(tzinfo=None).isoformat(),
        "2020-01-01",
        (NOW - HOUR).astimezone(datetime.timezone(-3 * HOUR)).isoformat(),
    ],
    ids=["offset", "seconds", "naive", "day", "west"],
)
def test_a_freeze_whose_end_has_passed_is_over(until: str) -> None:
    assert _is_over(until)


@pytest.mark.parametrize(
    "until",
    [
        (NOW + HOUR).isoformat(),
        (NOW + HOUR).strftime("%Y-%m-%dT%H:%M:%SZ"),
        (NOW + HOUR).replace(tzinfo=None).isoformat(),
        (NOW + HOUR).astimezone(datetime.timezone(-3 * HOUR)).isoformat(),
        "2999-12-31",
    ],
    ids=["offset", "seconds", "naive", "west", "day"],
)
def test_a_freeze_holds_until_its_end_in_any_time_zone(until: str) -> None:
    assert not _is_over(until)


@pytest.mark.parametrize("until", ["", "tomorrow", "2020-13-45", "Friday", None, 20200101])
def test_a_freeze_without_an_end_or_with_one_that_cannot_be_read_holds(until: Any) -> None:
    assert not _is_over(until)


# Who holds the lock


def named(given: Any, **environ: str) -> str:
    return holder({"holder": given}, Context(environ, "/nowhere"))


def test_the_holder_is_the_job_where_awx_says_so() -> None:
    assert named("job 812 (alice)", LOGNAME="awx") == "job 812 (alice)"


@pytest.mark.parametrize("environ", [{"LOGNAME": "alice", "USER": "root"}, {"USER": "alice"}])
def test_else_the_holder_is_who_runs_this_and_where(environ: dict[str, str]) -> None:
    assert named(None, **environ).startswith("alice@")


def test_a_holder_cannot_break_the_line_it_is_shown_in() -> None:
    assert named("alice\nbob #1") == "alice bob  1"
    assert len(named("x" * 500)) == 80

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An event starts a workflow, and brings inputs, as GitHub's documentation of `on:` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.workflow.event import Event, WorkflowError, chosen, load

SPECIFIC = {"push": {"branches": ["main", "releases/**"], "tags": ["v2", "v1.*"]}}
PATHS = {"push": {"branches": ["main"], "paths": ["base/**", "!base/ci/**"]}}
INPUTS: dict[str, Any] = {
    "dry": {"type": "boolean"},
    "loud": {"type": "boolean", "default": True},
    "level": {"type": "choice", "options": ["info", "debug"], "default": "info"},
    "count": {"type": "number", "default": 2},
    "version": {"description": "no type: a string"},
}


def starts(event: Event, on: Any) -> bool:
    return event.starts({"on": on})


@pytest.mark.parametrize(
    ("event", "on", "expected"),
    [
        (Event.push("any"), "push", True),
        (Event.push("any"), ["pull_request", "push"], True),
        (Event.push("any"), {"push": None}, True),
        (Event.push("any"), "pull_request", False),
        (Event.push("main"), SPECIFIC, True),
        (Event.push("releases/10/beta"), SPECIFIC, True),
        (Event.push("topic"), SPECIFIC, False),
        (Event.push(tag="v1.9"), SPECIFIC, True),
        (Event.push(tag="v3"), SPECIFIC, False),
        # A filter for branches alone keeps tags out, one for tags alone branches; none lets all in.
        (Event.push(tag="v1"), {"push": {"branches": ["**"]}}, False),
        (Event.push("main"), {"push": {"tags": ["**"]}}, False),
        (Event.push("main"), {"push": {"tags-ignore": ["v*"]}}, False),
        (Event.push(tag="v1"), {"push": {"paths": ["base/**"]}}, True),
        (Event.push("topic"), {"push": {"branches-ignore": ["main"]}}, True),
        (Event.push("main"), {"push": {"branches-ignore": ["main"]}}, False),
        (Event.push("main"), {"push": {"branches": "main"}}, True),
        # Both filters must let it through; one file is enough.
        (Event.push("main", changed=["base/Dockerfile", "README.md"]), PATHS, True),
        (Event.push("main", changed=["base/ci/build"]), PATHS, False),
        (Event.push("main", changed=["README.md"]), PATHS, False),
        (Event.push("topic", changed=["base/Dockerfile"]), PATHS, False),
        (Event.push("main"), PATHS, False),
        (Event.push("main", changed=["docs/a.md"]), {"push": {"paths-ignore": ["docs/**"]}}, False),
        (Event.push("main", changed=["docs/a.md", "x"]), {"push": {"paths-ignore": ["docs/**"]}}, True),
        # A pull request is asked for its base, its paths and its type.
        (Event.pull_request("topic"), {"pull_request": {"branches": ["main"]}}, True),
        (Event.pull_request("main", base="other"), {"pull_request": {"branches": ["main"]}}, False),
        (Event.pull_request("topic", changed=["base/x"]), {"pull_request": {"paths": ["base/**"]}}, True),
        (Event.pull_request("topic", changed=["x"]), {"pull_request": {"paths": ["base/**"]}}, False),
        (Event.pull_request("topic", action="synchronize"), "pull_request", True),
        (Event.pull_request("topic", action="labeled"), "pull_request", False),
        (Event.pull_request("topic", action="labeled"), {"pull_request": {"types": "labeled"}}, True),
        (Event.schedule(), {"schedule": [{"cron": "0 4 * * 1"}]}, True),
        (Event.schedule("0 4 * * 1"), {"schedule": [{"cron": "0 4 * * 1"}]}, True),
        (Event.schedule("0 5 * * 1"), {"schedule": [{"cron": "0 4 * * 1"}]}, False),
        (Event.schedule(), "push", False),
        (Event.dispatch(), "workflow_dispatch", True),
        (Event.dispatch(), {"workflow_dispatch": {"inputs": INPUTS}}, True),
    ],
)
def test_events_pass_their_filters(event: Event, on: Any, expected: bool) -> None:
    assert starts(event, on) is expected


@pytest.mark.parametrize(
    "on",
    [
        {"push": {"branches": ["a"], "branches-ignore": ["b"]}},
        {"push": {"path": ["a"]}},
        {"push": {"types": ["opened"]}},
    ],
)
def test_filters_that_do_not_go_together_are_refused(on: Any) -> None:
    with pytest.raises(WorkflowError):
        starts(Event.push(), on)


@pytest.mark.parametrize(
    ("patterns", "matches", "others"),
    [
        ("feature/*", ["feature/mine"], ["feature/a/b", "feature"]),
        ("feature/**", ["feature/mine", "feature/a/b"], ["features"]),
        ("*", ["main", "releases"], ["all/the/branches"]),
        ("**", ["all/the/branches"], []),
        ("*feature", ["mona-feature", "feature"], ["feature-1"]),
        ("v2*", ["v2", "v2.0"], ["v1"]),
        ("v[12].[0-9]+.[0-9]+", ["v1.10.1", "v2.0.0"], ["v3.0.0", "v1.10", "v1x10.1"]),
        ("*.jsx?", ["page.js", "page.jsx"], ["page.jsxx"]),
        ("**.js", ["index.js", "src/js/app.js"], ["index.jsx"]),
        ("docs/*", ["docs/README.md"], ["docs/a/b.md"]),
        ("docs/**/*.md", ["docs/README.md", "docs/a/markdown/file.md"], ["README.md"]),
        ("**/docs/**", ["docs/hello.md", "dir/docs/my-file.txt"], ["adocs/x"]),
        ("**/README.md", ["README.md", "js/README.md"], ["xREADME.md"]),
        ("**/*src/**", ["a/src/app.js", "my-src/code/js/app.js"], ["src"]),
        ("**/migrate-*.sql", ["migrate-10909.sql", "db/sept/migrate-v1.sql"], []),
        (["*.md", "!README.md"], ["hello.md"], ["README.md", "docs/hello.md"]),
        (["*.md", "!README.md", "README*"], ["hello.md", "README.md", "README.doc"], []),
        (r"a\*b", ["a*b"], ["axb"]),
    ],
)
def test_patterns_match_as_in_the_cheat_sheet(patterns: Any, matches: list[str], others: list[str]) -> None:
    assert [name for name in matches + others if chosen(patterns, name)] == matches


def test_inputs_have_their_types_and_defaults() -> None:
    on = {"on": {"workflow_dispatch": {"inputs": INPUTS}}}
    defaults = {"dry": False, "loud": True, "level": "info", "count": 2, "version": ""}
    assert Event.dispatch().inputs(on) == defaults
    assert Event.dispatch({"dry": True, "loud": "false"}).inputs(on) == defaults | {"dry": True, "loud": False}
    event = Event.dispatch({"version": 7})
    payload = event.payload("o/r", "0" * 40, event.inputs(on))
    assert payload["inputs"] == {"dry": "false", "loud": "true", "level": "info", "count": "2", "version": "7"}
    assert Event.push().inputs(on) == {}


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ({"unknown": "x"}, INPUTS),
        ({"level": "trace"}, INPUTS),
        ({"dry": "maybe"}, INPUTS),
        ({"count": "two"}, INPUTS),
        ({}, {"needed": {"required": True}}),
    ],
)
def test_inputs_that_github_refuses_are_refused(given: Any, inputs: Any) -> None:
    with pytest.raises(WorkflowError):
        Event.dispatch(given).inputs({"on": {"workflow_dispatch": {"inputs": inputs}}})


def test_files_are_read_as_yaml_1_2(tmp_path: Path) -> None:
    file = tmp_path / "w.yml"
    file.write_text("on: push\nyes: [no, off, true, 08, 2026-01-31, 1_000, 12:30, ~, 1.5]\n")
    content = load(file)
    assert content == {"on": "push", "yes": ["no", "off", True, 8, "2026-01-31", "1_000", "12:30", None, 1.5]}

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted against live."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps, rendered
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import differences, drift, readable
from tests.unit.builders import agent, served

TOLERATIONS = [{"key": "bots", "effect": "NoSchedule"}, {"key": "bots", "effect": "NoExecute"}]
FULL = {
    "env": {"A": "1", "EMPTY": ""},
    "limits": {"memory": "4Gi"},
    "node_selector": {"pool": "bots"},
    "tolerations": TOLERATIONS,
    "image_pull_secrets": ["registry"],
    "plugins": ["@openclaw/discord"],
    "network": "strict",
    "network_ingress": [{"podSelector": {}}],
    "command": ["tini", "--"],
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        FULL,
        {"network": "open"},
        {"args": [], "config_seed": {}, "requests": {}, "capabilities": [], "required_keys": []},
    ],
)
def test_what_was_applied_and_given_back_with_the_servers_defaults_differs_in_nothing(options: dict[str, Any]) -> None:
    for manifest in rendered(agent(**options), Stamps("4", "job-1")):
        assert differences(manifest, as_kept(served(manifest))) == []


def as_kept(value: Any) -> Any:
    """The API server drops what is empty: strings, lists and null of its typed kinds (their fields are 'omitempty')."""
    if isinstance(value, dict):
        return {key: as_kept(item) for key, item in value.items() if item not in ("", [], None)}
    return [as_kept(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("wanted", "live", "lines"),
    [
        ({"a": 1}, {"a": 2}, ["a: 2 -> 1"]),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, ["a.b: 'y' -> 'x'"]),
        ({"a": {"b": "x"}}, {"a": {}}, ["a.b is missing"]),
        ({"a": {"b": "x"}}, {}, ["a is missing"]),
        ({"a": {"b": "x"}}, {"a": None}, ["a: None -> {'b': 'x'}"]),
        ({"a": True}, {"a": 1}, ["a: 1 -> True"]),
        ({"a": False}, {"a": 0}, ["a: 0 -> False"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": "1"}, {"a": 1}, ["a: 1 -> '1'"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["a[0]: 2 -> 1", "a[1]: 1 -> 2"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1, 2] -> [1]"]),
        ({"a": ["x"]}, {"a": "x"}, ["a: 'x' -> ['x']"]),
    ],
)
def test_each_wanted_field_that_is_not_so_is_one_line(wanted: Any, live: Any, lines: list[str]) -> None:
    assert differences(wanted, live) == lines


def test_what_others_added_is_not_ours_to_judge() -> None:
    wanted = {"spec": {"containers": [{"name": "openclaw", "image": "a"}]}}
    live = {
        "spec": {
            "containers": [{"name": "sidecar"}, {"name": "openclaw", "image": "a", "resources": {}}],
            "dnsPolicy": "x",
        },
        "status": {},
    }
    assert differences(wanted, live) == []


def test_a_container_is_compared_with_its_namesake_wherever_it_stands() -> None:
    wanted = {"containers": [{"name": "openclaw", "image": "new"}]}
    live = {"containers": [{"name": "sidecar", "image": "x"}, {"name": "openclaw", "image": "old"}]}
    assert differences(wanted, live) == ["containers[openclaw].image: 'old' -> 'new'"]
    assert differences(wanted, {"containers": [{"name": "sidecar"}]}) == ["containers[openclaw] is missing"]


def test_items_that_share_their_key_are_compared_one_by_one() -> None:
    assert differences({"tolerations": TOLERATIONS}, {"tolerations": list(TOLERATIONS)}) == []
    assert differences({"tolerations": TOLERATIONS}, {"tolerations": TOLERATIONS[:1]})


@pytest.mark.parametrize("field", ["add", "drop", "policyTypes", "accessModes"])
def test_the_order_of_a_set_does_not_matter(field: str) -> None:
    assert differences({field: ["A", "B"]}, {field: ["B", "A"]}) == []
    assert differences({field: ["A", "B"]}, {field: ["B", "C"]})


def test_a_removed_field_is_seen_by_the_seal_and_not_shown_as_drift() -> None:
    before, after = (rendered(agent(env=env), Stamps())[-1] for env in ({"A": "1"}, {}))
    assert differences(after, served(before))
    assert drift(after, served(before)) == []


def test_a_long_value_is_cut_in_the_line() -> None:
    (line,) = differences({"a": "x" * 500}, {"a": "y" * 500})
    assert len(line) < 140


def test_a_person_sees_no_bookkeeping_in_a_diff() -> None:
    wanted = rendered(agent(), Stamps("4"))[-1]
    live = served(wanted, managedFields=[{"manager": "x"}], selfLink="/x")
    shown = readable(live)
    assert "status" not in shown
    assert shown["metadata"].keys() == {"name", "namespace", "labels", "annotations"}
    assert shown["metadata"]["annotations"] == {"agents.digitalsys/image-tag": "latest"}
    assert live["metadata"]["managedFields"], "the object itself stays as it was read"


def test_nothing_is_readable_of_what_is_not_there() -> None:
    assert readable(None) == {}

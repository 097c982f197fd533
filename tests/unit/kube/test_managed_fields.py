# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is ours in one entry of managedFields."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._kube.managed_fields import (
    as_applied,
    is_whole,
    united,
    without,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import FENCE_MANAGER, FIELD_MANAGER


def entry(operation: str, fields: dict[str, Any], manager: str = FIELD_MANAGER, **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


def live(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"managedFields": list(entries)}}


def test_what_was_only_applied_stays_as_it_is() -> None:
    assert as_applied(live(entry("Apply", {"f:spec": {}}))) is None
    assert as_applied(live()) is None


def test_what_a_post_made_becomes_an_apply() -> None:
    made = entry("Update", {"f:spec": {"f:replicas": {}}}, apiVersion="apps/v1", time="2026-11-28T02:00:00Z")
    assert as_applied(live(made)) == [{**made, "operation": "Apply"}]


def test_both_become_one_with_the_fields_of_both() -> None:
    applied = entry("Apply", {"f:spec": {"f:replicas": {}}})
    made = entry("Update", {"f:spec": {"f:strategy": {"f:type": {}}}})
    found = as_applied(live(applied, made))
    assert found == [entry("Apply", {"f:spec": {"f:replicas": {}, "f:strategy": {"f:type": {}}}})]


def test_what_is_not_ours_stays_as_it_is() -> None:
    others = [
        entry("Update", {"f:status": {}}, subresource="status"),
        entry("Update", {"f:metadata": {}}, manager="kubectl-edit"),
        entry("Apply", {"f:metadata": {}}, manager=FENCE_MANAGER),
    ]
    assert as_applied(live(*others)) is None
    assert (as_applied(live(*others, entry("Update", {"f:spec": {}}))) or [])[:3] == others


def test_a_union_of_fields_keeps_their_depth() -> None:
    one: dict[str, Any] = {"f:a": {'k:{"name":"x"}': {".": {}, "f:name": {}}}}
    other: dict[str, Any] = {"f:a": {'k:{"name":"x"}': {"f:value": {}}}, "f:b": {}}
    assert united(one, other) == {
        "f:a": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:value": {}}},
        "f:b": {},
    }
    assert united(one, other) == united(other, one)


def template(fields: dict[str, Any]) -> dict[str, Any]:
    return {"f:spec": {"f:template": fields}}


def containing(spec: dict[str, Any], *entries: dict[str, Any]) -> dict[str, Any]:
    return {**live(*entries), "spec": {"template": {"spec": spec}, "paused": False}}


Y = "spec.template.spec.y"


def test_what_another_hand_has_put_there_unwanted_becomes_ours_to_take_away() -> None:
    ours = entry("Apply", template({"f:spec": {"f:x": {}}}))
    theirs = entry("Update", united(template({"f:spec": {"f:x": {}, "f:y": {}}}), {"f:spec": {"f:paused": {}}}), "edit")
    found = containing({"x": 1, "y": {}}, ours, theirs)
    assert as_applied(found) is None, "what is not asked for stays"
    assert as_applied(found, {Y}) == [
        {**theirs, "fieldsV1": united(template({"f:spec": {"f:x": {}}}), {"f:spec": {"f:paused": {}}})},
        entry("Apply", template({"f:spec": {"f:x": {}, "f:y": {}}})),
    ]


def test_a_hand_that_had_nothing_else_is_in_no_entry_any_more() -> None:
    theirs = entry("Update", template({"f:spec": {".": {}, "f:y": {}}}), "kubectl-edit")
    assert as_applied(containing({"y": {}}, theirs), {Y}) == [
        {"apiVersion": "apps/v1", **entry("Apply", template({"f:spec": {"f:y": {}}}))},
    ]


def test_an_item_of_a_list_goes_with_all_that_is_in_it() -> None:
    item: dict[str, Any] = {'k:{"name":"second"}': {".": {}, "f:name": {}, "f:image": {}}}
    theirs = entry("Update", template({"f:spec": {"f:containers": item}}), "kubectl-edit")
    found = containing({"containers": [{"name": "openclaw"}, {"name": "second", "image": "x"}]}, theirs)
    assert as_applied(found, {"spec.template.spec.containers[second]"}) == [
        {"apiVersion": "apps/v1", **entry("Apply", template({"f:spec": {"f:containers": item}}))},
    ]


@pytest.mark.parametrize(
    ("kind", "path", "whole"),
    [
        ("Deployment", "spec.template.spec.containers[openclaw].image", True),
        ("Deployment", '.spec.template.spec.containers[name="openclaw"].image', True),
        ("Deployment", "spec.template", True),
        ("Deployment", "spec.templates", False),
        ("Deployment", "spec.replicas", False),
        ("ExternalSecret", ".spec.refreshPolicy", True),
        ("ExternalSecret", "metadata.labels.x", False),
        ("NetworkPolicy", "spec.egress", False),
    ],
)
def test_what_is_ours_whole(kind: str, path: str, whole: bool) -> None:
    assert is_whole(kind, path) is whole


def test_what_a_dry_run_leaves_is_shown_as_the_run_will_leave_it() -> None:
    env: dict[str, Any] = {"f:env": {".": {}, 'k:{"name":"X"}': {".": {}, "f:name": {}, "f:value": {}}}}
    theirs = entry("Update", template({"f:spec": {"f:containers": {'k:{"name":"openclaw"}': env}}}), "kubectl-set")
    container = {"name": "openclaw", "image": "a", "env": [{"name": "X", "value": "1"}]}
    kept = {**live(theirs), "spec": {"template": {"spec": {"containers": [container]}}}}
    wanted = {"spec": {"template": {"spec": {"containers": [{"name": "openclaw", "image": "a"}]}}}}
    shown = without(kept, wanted, {"spec.template.spec.containers[openclaw].env[X]"})
    assert shown["spec"] == wanted["spec"]
    assert kept["spec"]["template"]["spec"]["containers"] == [container], "what the server said stays"
    assert without(kept, wanted, set()) == kept

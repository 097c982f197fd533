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


def test_what_another_hand_has_put_into_the_template_becomes_ours_to_take_away() -> None:
    ours = entry("Apply", template({"f:spec": {"f:x": {}}}))
    theirs = entry("Update", united(template({"f:spec": {"f:y": {}}}), {"f:spec": {"f:paused": {}}}), "kubectl-edit")
    assert as_applied(live(ours, theirs)) == [
        {**theirs, "fieldsV1": {"f:spec": {"f:paused": {}}}},
        entry("Apply", template({"f:spec": {"f:x": {}, "f:y": {}}})),
    ]


def test_a_hand_that_had_nothing_else_is_in_no_entry_any_more() -> None:
    theirs = entry("Update", template({"f:spec": {"f:y": {}}}), "kubectl-edit")
    assert as_applied(live(theirs)) == [
        {"apiVersion": "apps/v1", **entry("Apply", template({"f:spec": {"f:y": {}}}))},
    ]


def test_the_annotation_of_a_restart_by_kubectl_stays_its_own() -> None:
    stays = template({"f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/restartedAt": {}}}})
    assert as_applied(live(entry("Update", stays, "kubectl-rollout"))) is None
    both = united(stays, template({"f:metadata": {"f:annotations": {"f:x": {}}}}))
    assert as_applied(live(entry("Update", both, "kubectl-rollout"))) == [
        entry("Update", stays, "kubectl-rollout"),
        {"apiVersion": "apps/v1", **entry("Apply", template({"f:metadata": {"f:annotations": {"f:x": {}}}}))},
    ]


def test_of_a_kind_that_is_not_ours_whole_nothing_is_taken() -> None:
    claim = {**live(entry("Update", {"f:spec": {"f:resources": {}}}, "kubectl-edit")), "kind": "PersistentVolumeClaim"}
    assert as_applied(claim) is None


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

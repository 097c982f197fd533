# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is ours in one entry of managedFields."""

from __future__ import annotations

from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._kube.managed_fields import as_applied, united
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import FENCE_MANAGER, FIELD_MANAGER


def entry(operation: str, fields: dict[str, Any], manager: str = FIELD_MANAGER, **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


def live(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries)}}


def test_what_was_only_applied_stays_as_it_is() -> None:
    assert as_applied(live(entry("Apply", {"f:spec": {}}))) is None
    assert as_applied({"metadata": {}}) is None


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

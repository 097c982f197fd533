# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns which field of an object, as the server keeps it in metadata.managedFields.

What a POST of ours made stands there under our name as an `Update`, with the server's defaults in it. An apply is
another entry, even under the same name: it conflicts with the first where it changes a value, and takes no field of it
away. So before the first apply that changes something the two are made one, as kubectl does it for an object that comes
from client-side apply.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import FIELD_MANAGER

Fields = dict[str, Any]


def _is_ours(entry: Object, operation: str) -> bool:
    """Of the object itself: its status is a book of its own."""
    return (
        entry.get("manager") == FIELD_MANAGER
        and entry.get("operation") == operation
        and not entry.get("subresource")
        and entry.get("fieldsType", "FieldsV1") == "FieldsV1"
    )


def united(one: Fields, other: Fields) -> Fields:
    """All fields of both, in FieldsV1: a tree of field names, whose leaves are {}."""
    return {
        name: united(one.get(name) or {}, other.get(name) or {}) for name in sorted(one.keys() | other.keys())
    }  # fmt: skip


def as_applied(live: Object) -> list[Object] | None:
    """managedFields with all that is ours in the one entry of our applies; None where that is so already."""
    entries: list[Object] = live["metadata"].get("managedFields") or []
    updated = [entry for entry in entries if _is_ours(entry, "Update")]
    if not updated:
        return None
    # Of several versions of the API: the newest says how the fields are called today.
    ours = [*(entry for entry in entries if _is_ours(entry, "Apply")), *updated]
    merged = {**copy.deepcopy(ours[-1]), "operation": "Apply"}
    for entry in ours:
        merged["fieldsV1"] = united(merged.get("fieldsV1") or {}, entry.get("fieldsV1") or {})
    return [*(entry for entry in entries if entry not in ours), merged]


_MANAGER = re.compile(r'conflict with "([^"]+)"')


def conflicting_managers(status: dict[str, Any]) -> dict[str, str]:
    """Field path -> the manager that owns it, of a server-side apply's conflict; {} for any other kind of 409."""
    causes = (status.get("details") or {}).get("causes") or []
    return {
        cause.get("field", "?"): match.group(1)
        for cause in causes
        if cause.get("reason") == "FieldManagerConflict" and (match := _MANAGER.search(cause.get("message", "")))
    }


def conflict_words(owners: dict[str, str]) -> tuple[str, str]:
    """What is told of such a conflict, and what to do about it."""
    fields = "; ".join(f"{field} belongs to {manager}" for field, manager in sorted(owners.items())[:4])
    hint = "Ask that manager's owner, or run again with -e agent_take_ownership=true: these fields are ours then."
    return fields, hint

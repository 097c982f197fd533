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
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import FENCE_MANAGER, FIELD_MANAGER

Fields = dict[str, Any]
#: Kind -> what of it is ours whole: no other hand's field stays there. In a pod template one container too many is a
#: second gateway.
WHOLE: dict[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "ExternalSecret": ("spec",),
    "SecretStore": ("spec",),
}


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


#: Beside that, what no other hand is asked for: a number of pods, and the one strategy that never makes two.
_NEVER_THEIRS = {"Deployment": ("spec.replicas", "spec.strategy")}


def is_never_theirs(kind: str, path: str) -> bool:
    """Whether another manager's claim on a field is no stop, whoever it is."""
    return is_whole(kind, path) or path.lstrip(".").startswith(_NEVER_THEIRS.get(kind, ("\n",)))


def is_whole(kind: str, path: str) -> bool:
    """Whether a field, as a comparison or a conflict names it, is in what is ours whole."""
    whole = ".".join(WHOLE.get(kind, ("",)))
    return bool(whole) and f"{path.lstrip('.')}.".startswith((f"{whole}.", f"{whole}["))


def as_applied(live: Object, unwanted: Collection[str] = ()) -> list[Object] | None:
    """managedFields with all that is ours in the one entry of our applies, and with what others have put there that is
    unwanted (paths, as `owned` names them): the apply that follows takes it away. None where all is so already."""
    entries: list[Object] = live["metadata"].get("managedFields") or []
    ours = [one for one in entries if _is_ours(one, "Apply")] + [one for one in entries if _is_ours(one, "Update")]
    left = []
    taken = []
    for entry in entries:
        if entry in ours:
            continue
        fields = entry.get("fieldsV1") or {}
        goes, stays = _cut(fields, live, "", unwanted) if _is_others(entry) else ({}, fields)
        taken += [goes] if goes else []
        if stays or not goes:
            left.append({**entry, "fieldsV1": stays} if goes else entry)
    if not taken and not any(_is_ours(entry, "Update") for entry in ours):
        return None
    # Of several versions of the API: the newest says how the fields are called today.
    new = {"manager": FIELD_MANAGER, "apiVersion": live["apiVersion"], "fieldsType": "FieldsV1"}
    merged: Object = {**(ours[-1] if ours else new), "operation": "Apply", "fieldsV1": {}}
    for fields in (*(entry.get("fieldsV1") or {} for entry in ours), *taken):
        merged["fieldsV1"] = united(merged["fieldsV1"], fields)
    return [*left, merged]


def _cut(fields: Fields, live: Any, path: str, paths: Collection[str]) -> tuple[Fields, Fields]:
    """(what of the tree is at these paths, what is left of it), both from the top; {} for nothing."""
    taken: Fields = {}
    left: Fields = {}
    for step, below in fields.items():
        where, _want, have = _step(step, {}, live, path) if step != "." else (path, None, live)
        if step == "." or not below:
            (taken if step != "." and where in paths else left)[step] = below
            continue
        goes, stays = (below, {}) if where in paths else _cut(below, have, where, paths)
        if goes:
            taken[step] = goes
        if stays:
            left[step] = stays
    return taken, left if set(left) - {"."} else {}


def _is_others(entry: Object) -> bool:
    """Another hand's, of the object itself."""
    mine = (FIELD_MANAGER, FENCE_MANAGER)
    is_status = entry.get("subresource") == "status"
    return entry.get("manager") not in mine and not is_status and entry.get("fieldsType", "FieldsV1") == "FieldsV1"


class Owned(NamedTuple):
    """A field of a live object that somebody owns. wanted, live: what stands there, ABSENT where nothing is wanted."""

    path: str
    manager: str
    operation: str
    wanted: Any
    live: Any


ABSENT: Any = object()


def owned(wanted: Object, live: Object) -> Iterator[Owned]:
    """Fields that some manager owns, each at the highest level at which nothing is wanted, else at its own."""
    for entry in live["metadata"].get("managedFields") or []:
        if _is_others(entry) or _is_ours(entry, "Apply") or _is_ours(entry, "Update"):
            for path, want, have in _leaves(entry.get("fieldsV1") or {}, wanted, live, ""):
                yield Owned(path, entry["manager"], entry.get("operation") or "", want, have)


_NAMED = re.compile(r"\.(annotations|labels)$")


def _leaves(fields: Fields, wanted: Any, live: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    for step, below in fields.items():
        if step == ".":
            continue
        where, want, have = _step(step, wanted, live, path)
        if have is ABSENT:
            continue  # a field that has gone since
        if want is ABSENT and (_NAMED.search(where) or any(one.startswith("k:") for one in below)):
            yield from _leaves(below, {}, have, where)  # what consists of named items is told item by item
        elif below.keys() == {"."}:
            continue  # the bare list or map: what is in it belongs to others
        elif want is ABSENT or not below:
            yield where, want, have
        else:
            yield from _leaves(below, want, have, where)


def masked(live: Object, wanted: Object) -> Object:
    """The object with asterisks for the values of variables that are not certainly ours: another hand's may be a token.
    One of ours that goes is no longer told from another's."""
    shown = copy.deepcopy(live)
    ours = {one.path for one in owned(wanted, live) if one.manager == FIELD_MANAGER and one.wanted is not ABSENT}
    pod = ((shown.get("spec") or {}).get("template") or {}).get("spec") or {}
    for place in ("initContainers", "containers"):
        for container in pod.get(place) or []:
            for variable in container.get("env") or []:
                path = f"spec.template.spec.{place}[{container.get('name')}].env[{variable.get('name')}].value"
                if "value" in variable and path not in ours:
                    variable["value"] = "********"
    return shown


def without(live: Object, wanted: Object, paths: Collection[str]) -> Object:
    """The object without the fields at these paths (as `owned` names them): how the server will keep it."""
    kept = copy.deepcopy(live)
    for entry in live["metadata"].get("managedFields") or []:
        if entry.get("subresource") != "status":
            _drop(entry.get("fieldsV1") or {}, wanted, kept, "", paths)
    return kept


def _drop(fields: Fields, wanted: Any, live: Any, path: str, paths: Collection[str]) -> None:
    for step, below in fields.items():
        where, want, have = _step(step, wanted, live, path)
        if have is ABSENT:
            continue
        if where not in paths:
            _drop(below, want, have, where, paths)
        if where in paths or (have == [] and want is ABSENT):
            if isinstance(live, list):
                live.remove(have)
            else:
                del live[step.partition(":")[2]]


def _step(step: str, wanted: Any, live: Any, path: str) -> tuple[str, Any, Any]:
    """One step of FieldsV1: f:<field>, k:<keys of an item of a list>, v:<item of a set>."""
    sort, _colon, name = step.partition(":")
    if sort == "f":
        want, have = (part.get(name, ABSENT) if isinstance(part, dict) else ABSENT for part in (wanted, live))
        return f"{path}.{name}".lstrip("."), want, have
    items, wishes = (part if isinstance(part, list) else [] for part in (live, wanted))
    if sort == "v":
        value = json.loads(name)
        want, have = (value if value in part else ABSENT for part in (wishes, items))
        return f"{path}[{value}]", want, have
    keys = json.loads(name) if sort == "k" else {}
    have = next((one for one in items if _has(one, keys)), ABSENT)
    # What the server defaults (a port's protocol) may be missing in the wish.
    want = next((one for one in wishes if isinstance(one, dict) and _has({**keys, **one}, keys)), ABSENT)
    return f"{path}[{next(iter(keys.values()), '')}]", want, have


def _has(item: Any, keys: dict[str, Any]) -> bool:
    return isinstance(item, dict) and bool(keys) and all(item.get(key) == value for key, value in keys.items())


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

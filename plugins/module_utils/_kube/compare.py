# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted against live, field by field: pure, without a request. What others added to an object is not ours to judge."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import RENDERED

#: Lists whose items others may add to (sidecars, injected volumes) are matched by the key the API server merges by.
_MERGE_KEYS = ("name", "mountPath", "containerPort", "key")
_SERVERS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_NOISE = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")
_UNORDERED = ("add", "drop", "policyTypes", "accessModes")


def _merge_key(wanted: list[Any]) -> str:
    """The field that tells the items apart; '' where none does (two tolerations may share their key)."""
    if all(isinstance(item, dict) for item in wanted):
        for key in _MERGE_KEYS:
            if all(key in item for item in wanted) and len({item[key] for item in wanted}) == len(wanted):
                return key
    return ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _list_differences(wanted: list[Any], live: list[Any], path: str) -> list[str]:
    key = _merge_key(wanted)
    if key and all(isinstance(item, dict) for item in live):
        found: list[str] = []
        by_key = {item.get(key): item for item in live}
        for item in wanted:
            name = f"{path}[{item[key]}]"
            found += differences(item, by_key[item[key]], name) if item[key] in by_key else [f"{name} is missing"]
        return found
    if len(wanted) != len(live):
        return [f"{path}: {_shown(live)} -> {_shown(wanted)}"]
    return [
        line
        for index, (one, other) in enumerate(zip(wanted, live, strict=True))
        for line in differences(one, other, f"{path}[{index}]")
    ]


def differences(wanted: Any, live: Any, path: str = "") -> list[str]:
    """Lines 'path: live -> wanted' for each wanted field that is not so; [] when all is as wanted."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        found: list[str] = []
        for field, value in wanted.items():
            where = f"{path}.{field}" if path else str(field)
            found += differences(value, live[field], where) if field in live else [f"{where} is missing"]
        return found
    if isinstance(wanted, list) and isinstance(live, list):
        if path.rpartition(".")[2] in _UNORDERED and sorted(map(str, wanted)) == sorted(map(str, live)):
            return []
        return _list_differences(wanted, live, path)
    return (
        []
        if wanted == live and isinstance(wanted, bool) == isinstance(live, bool)
        else [f"{path}: {_shown(live)} -> {_shown(wanted)}"]
    )


def drift(wanted: Object, live: Object) -> list[str]:
    """As differences, without our own seal: what is really otherwise, for people to read."""
    return [line for line in differences(wanted, live) if RENDERED not in line]


def substance(live: Object | None) -> Object:
    """All of an object but its status and what the server counts: equal before and after = nothing was changed."""
    shown = copy.deepcopy({field: value for field, value in (live or {}).items() if field != "status"})
    for field in _SERVERS_OWN:
        shown.get("metadata", {}).pop(field, None)
    return shown


def readable(live: Object | None) -> Object:
    """An object as a person wants to see it in a diff: without status and the server's book-keeping."""
    if not live:
        return {}
    shown = substance(live)
    annotations = shown["metadata"].get("annotations") or {}
    for name in (RENDERED, *_NOISE):
        annotations.pop(name, None)
    if not annotations:
        shown["metadata"].pop("annotations", None)
    return shown

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted, owned and live, field by field: pure, without a request. One comparison for the plan, check mode, the write
and what is told of drift. What others added is not ours to judge, but for what is ours whole (managed_fields)."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.managed_fields import (
    ABSENT,
    Owned,
    is_whole,
    masked,
    owned,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import FIELD_MANAGER, RENDERED

#: Lists whose items others may add to (sidecars, injected volumes) are matched by the key the API server merges by.
_MERGE_KEYS = ("mountPath", "containerPort", "name", "key")
_MISSING = " is missing"
#: Whose value is not told.
_HOLDS_VARIABLES = re.compile(r"ontainers(\[[^]]*\])?$|\.env(\[|$)")
_SERVERS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_NOISE = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")
_UNORDERED = ("add", "drop", "policyTypes", "accessModes")
#: Of other hands in a pod template, what may stay: `kubectl rollout restart` writes it.
_MAY_STAY = ".kubectl.kubernetes.io/restartedAt"
#: What the server writes beside serviceAccountName, for clients of long ago.
_OLD_NAME = "serviceAccount"
#: What the server puts into an object that was made by a POST, and counts as ours: field -> values.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "conversionStrategy": ("Default",),
    "decodingStrategy": ("None",),
    "deletionPolicy": ("Retain",),
    "dnsPolicy": ("ClusterFirst",),
    "failureThreshold": (3,),
    "metadataPolicy": ("None",),
    "nullBytePolicy": ("Ignore",),
    "periodSeconds": (10,),
    "protocol": ("TCP",),
    "refreshPolicy": ("Periodic",),
    "resources": ({},),
    "restartPolicy": ("Always",),
    "schedulerName": ("default-scheduler",),
    "scheme": ("HTTP",),
    "securityContext": ({},),
    "successThreshold": (1,),
    "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",),
    "timeoutSeconds": (1,),
    "volumeMode": ("Filesystem",),
}


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


class Change(NamedTuple):
    """path: of the field. words: what is otherwise, to be read behind it. manager: who did it, '' where it was us.
    goes: it is there, and is not wanted."""

    path: str
    words: str
    manager: str = ""
    goes: bool = False

    @property
    def line(self) -> str:
        return f"{self.path}{self.words}"


def compare(wanted: Object, live: Object) -> list[Change]:
    """All that makes a live object another one than the wanted: what is missing or otherwise; what was wanted once and
    is no longer; what another hand has put where nobody's belongs but ours. [] when all is as wanted.

    Of variables that are not certainly ours only the names are told: somebody may have set a token there.
    """
    ours: set[str] = set()
    theirs: dict[str, str] = {}
    gone: dict[str, Change] = {}
    remade: dict[str, Change] = {}
    shrank = _seal(wanted) != _seal(live)
    for one in owned(wanted, live):
        if one.manager == FIELD_MANAGER:
            ours.add(one.path)
            # An apply takes away what is not wished any more: what stands there all the same was moved, and not more.
            if one.wanted is ABSENT and (shrank or one.operation == "Apply") and not _is_the_servers(one):
                was = "" if _HOLDS_VARIABLES.search(one.path) else f", was {_shown(one.live)}"
                gone.setdefault(one.path, Change(one.path, f" removed{was}", goes=True))
            elif one.wanted is not ABSENT and _is_remade(one):
                remade[one.path] = Change(one.path, _told(one.path, one.live, one.wanted))
            continue
        theirs[one.path] = one.manager
        if one.wanted is not ABSENT and _is_remade(one):
            remade[one.path] = Change(one.path, f" changed by {one.manager}", one.manager)
        elif one.wanted is ABSENT and is_whole(live["kind"], one.path) and not _is_the_servers(one):
            words = f" added by {one.manager}, removed"
            gone[one.path] = Change(one.path, words, one.manager, goes=True)
    stays = {path for path in ours & theirs.keys() if not is_whole(live["kind"], path)}
    alone = {path: manager for path, manager in theirs.items() if path not in ours}
    found = [_signed(change, alone, ours) for change in differences(wanted, live)]
    found += [change for path, change in remade.items() if not any(_is_at(one.path, path) for one in found)]
    return found + [change for path, change in gone.items() if path not in stays]


def _is_the_servers(one: Owned) -> bool:
    """What the server has put in by itself, our own seal, and what may stand there."""
    name = one.path.rpartition(".")[2]
    is_default = name == _OLD_NAME or one.live in _DEFAULTS.get(name, ())
    if name == "restartPolicy" and "initContainers[" in one.path:
        is_default = False  # the server puts none there: with one, the gateway would not wait for it
    return is_default or RENDERED in one.path or one.path.endswith(_MAY_STAY)


def _is_remade(one: Owned) -> bool:
    """A list or a map that has one owner as a whole: what is too much in it is no field of its own."""
    return isinstance(one.live, dict | list) and _plain(one.live) != _plain(one.wanted)


def _plain(value: Any) -> Any:
    """Without what the server puts in, and in one order where that means nothing."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items() if part not in _DEFAULTS.get(name, ())}
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        return sorted(items) if all(isinstance(item, str) for item in items) else items
    return value


def is_our_last_word(wanted: Object, live: Object) -> bool:
    """Whether what we applied last is this very wish: whatever is otherwise was done by another hand then, even where
    the server keeps no name of it (a number of 0, a field that was taken away)."""
    return _seal(wanted) == _seal(live) != ""


def _seal(item: Object) -> str:
    return str((item["metadata"].get("annotations") or {}).get(RENDERED) or "")


def _signed(change: Change, theirs: Mapping[str, str], ours: Collection[str]) -> Change:
    """With the name of whoever changed it, where that was not us."""
    by = next((manager for path, manager in theirs.items() if _is_at(change.path, path)), "")
    is_told = ".env[" not in change.path or change.path in ours or change.words == _MISSING
    if is_told:
        return Change(change.path, f"{change.words} (by {by})" if by else change.words, by)
    return Change(change.path, f" changed by {by}" if by else " changed", by)


def _is_at(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))


def differences(wanted: Any, live: Any, path: str = "") -> Iterator[Change]:
    """For each wanted field that is not so."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        for field, value in wanted.items():
            where = f"{path}.{field}" if path else str(field)
            if field in live:
                yield from differences(value, live[field], where)
            else:
                yield Change(where, _MISSING)
    elif isinstance(wanted, list) and isinstance(live, list):
        yield from _of_lists(wanted, live, path)
    elif wanted != live or isinstance(wanted, bool) != isinstance(live, bool):
        yield Change(path, _told(path, live, wanted))


def _told(path: str, live: Any, wanted: Any) -> str:
    """Of a variable, as it was written: the kubelet reads $$ as one sign. But for two that differ in nothing else."""
    both = [one.replace("$$", "$") if isinstance(one, str) and ".env[" in path else one for one in (live, wanted)]
    before, now = both if both[0] != both[1] else (live, wanted)
    return f": {_shown(before)} -> {_shown(now)}"


def _of_lists(wanted: list[Any], live: list[Any], path: str) -> Iterator[Change]:
    key = _merge_key(wanted)
    if key and all(isinstance(item, dict) for item in live):
        by_key = {item.get(key): item for item in live}
        for item in wanted:
            name = f"{path}[{item[key]}]"
            if item[key] in by_key:
                yield from differences(item, by_key[item[key]], name)
            else:
                yield Change(name, _MISSING)
    elif path.rpartition(".")[2] in _UNORDERED and sorted(map(str, wanted)) == sorted(map(str, live)):
        return
    elif len(wanted) != len(live):
        yield Change(path, f": {_shown(live)} -> {_shown(wanted)}")
    else:
        for index, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")


def shown(changes: Iterable[Change]) -> list[str]:
    """For people to read: without our own seal."""
    return [change.line for change in changes if RENDERED not in change.path]


def substance(live: Object | None) -> Object:
    """All of an object but its status and what the server counts: equal before and after = nothing was changed."""
    shown = copy.deepcopy({field: value for field, value in (live or {}).items() if field != "status"})
    for field in _SERVERS_OWN:
        shown.get("metadata", {}).pop(field, None)
    return shown


def readable(live: Object | None, wanted: Object) -> Object:
    """An object as a person wants to see it in a diff: without status and the server's book-keeping, and without the
    values of variables that may be another hand's."""
    if not live:
        return {}
    shown = substance(masked(live, wanted))
    annotations = shown["metadata"].get("annotations") or {}
    for name in (RENDERED, *_NOISE):
        annotations.pop(name, None)
    if not annotations:
        shown["metadata"].pop("annotations", None)
    return shown

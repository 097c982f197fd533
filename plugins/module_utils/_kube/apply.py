# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing one object: a POST for what is not there, else a server-side apply, under the lock, a fence and the version
that was read after it. The lock is asked before each attempt of a request, not before the first."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import (
    AgentError,
    ErrorKind,
    NotFound,
    never_still,
    taken_over,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import (
    Change,
    compare,
    readable,
    shown,
    substance,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import is_going
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.errors import Conflict
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import BY_NAME, DEPLOYMENT
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.managed_fields import (
    as_applied,
    is_never_theirs,
    is_whole,
    without,
)

_ATTEMPTS = 6
#: Managers that are no programs: people, and whatever stood there when managedFields were cleared.
_BY_HAND = ("kubectl", "before-first-apply")
#: A line of progress names no more.
_FIELDS_TOLD = 4
Settle = Callable[["Object | None"], "Object | None"]


@dataclass
class Writer:
    """Collects what was changed. may_write is the lock's question, asked before every attempt, doubt what it is told
    where somebody else has written meanwhile; fence its number."""

    kube: Kube
    take_ownership: bool = False
    dry_run: bool = False
    fence: int = 0
    may_write: Callable[[], None] = lambda: None
    doubt: Callable[[], None] = lambda: None
    progress: Callable[[str], None] = lambda _line: None
    #: Kinds of which a dry run could not ask the server.
    unseen: list[str] = field(default_factory=list)
    changes: list[Object] = field(default_factory=list)
    diffs: list[Object] = field(default_factory=list)

    def apply(self, wanted: Object, live: Object | None, settle: Settle | None = None) -> Object:
        """The object as the server keeps it; nothing is sent where live already is as wanted. settle: what must be so
        before each attempt that is none of a dry run, given the object as it was seen; it answers with the one that is
        there then, and has a word on one that is on its way, too."""
        changes = compare(wanted, live) if live else []
        if live is not None and not changes and not (settle and is_going(live)):
            return live
        try:
            kept = self._send(wanted, live, changes, settle)
        except NotFound:
            if live is not None or not self.dry_run:
                raise
            # A plan for a place that the server does not know yet: no namespace, or no CRD.
            self.unseen.append(wanted["kind"])
            kept = wanted
        if self.dry_run:
            # The server was not told yet whose these fields are now.
            kept = without(kept, wanted, {change.path for change in changes if change.goes})
            if live and has_other_strategy(wanted, live):
                kept = {**kept, "spec": {**kept["spec"], "strategy": wanted["spec"]["strategy"]}}
        if live is None or substance(live) != substance(kept):
            self._note(wanted, live, kept, changes)
        return kept

    def remove(self, live: Object) -> None:
        """Gone, or found gone. Where it was changed meanwhile it is looked at again."""
        found: Object | None = live
        for _attempt in range(_ATTEMPTS):
            if found is None:
                return
            if not names.is_ours(found):
                raise AgentError(
                    ErrorKind.NOT_OURS,
                    f"{found['kind']} {found['metadata']['name']} was not made by this collection, so it stays",
                )
            try:
                if self.kube.delete(found, dry_run=self.dry_run, ask=self.may_write):
                    self._note(found, found, None, [])
                return
            except Conflict:
                found = self._look_again(live)
        raise _still_moving(live)

    def signal(self, live: Object, manager: str, annotation: str, value: str) -> Object:
        """One annotation by a manager of its own, so that what FIELD_MANAGER applies need not carry it."""
        found: Object | None = live
        for _attempt in range(_ATTEMPTS):
            if found is None:
                raise NotFound(f"{live['kind']} {live['metadata']['name']} has gone", "Run rollout.yml again.")
            version = found["metadata"]["resourceVersion"]
            meta = {**_as_seen(live), "resourceVersion": version, "annotations": {annotation: value}}
            body = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": meta}
            try:
                return self.kube.apply(body, manager=manager, force=True, ask=self.may_write)
            except Conflict:
                found = self._look_again(live)
        raise _still_moving(live)

    def raise_fence(self, live: Object) -> Object:
        """After a take-over, before anything else: a run that survived its kill then meets a newer version, sees this
        number and stops."""
        return self.signal(live, names.FENCE_MANAGER, names.FENCE, str(self.fence))

    def _send(self, wanted: Object, live: Object | None, changes: list[Change], settle: Settle | None) -> Object:
        force = self.take_ownership
        name = f"{wanted['kind']} {wanted['metadata']['name']}"
        is_split = self.dry_run
        unwanted = {change.path for change in changes if change.goes and change.manager}
        self._tell(name, {change.path: change.manager for change in changes if is_whole(wanted["kind"], change.path)})
        for _attempt in range(_ATTEMPTS):
            if settle and not self.dry_run:
                live = settle(live)
            try:
                if live is None:
                    return self.kube.create(wanted, dry_run=self.dry_run, ask=self.may_write)
                if has_other_strategy(wanted, live):
                    if self.dry_run:
                        wanted = without_strategy(wanted)
                    else:
                        live = self._strategy_first(wanted, live)
                if not is_split:
                    merged = self._as_applied(live, unwanted)
                    is_split = merged is None
                    live = merged or live
                kept = self._attempt(wanted, live, changes, force=force)
                return kept if self.dry_run or not is_split else self._put_together(wanted, kept)
            except Conflict as error:
                # Where what we created is still an entry of its own, it is our own that an apply conflicts with.
                others = {field: owner for field, owner in error.owners.items() if owner != names.FIELD_MANAGER}
                owners = {field: owner for field, owner in others.items() if not is_never_theirs(wanted["kind"], field)}
                if all(owner.startswith(_BY_HAND) for owner in owners.values()) and error.owners:
                    self._tell(name, owners)
                    force = True
                    continue
                if owners:
                    raise
            live = self._look_again(wanted)
            if live is not None and not compare(wanted, live):
                return live  # our own write, whose answer was lost
        raise _still_moving(wanted)

    def _attempt(self, wanted: Object, live: Object, changes: list[Change], *, force: bool) -> Object:
        body = _under_version(wanted, live)
        try:
            return self.kube.apply(body, force=force, dry_run=self.dry_run, ask=self.may_write)
        except AgentError as error:
            goes = [change.path for change in changes if change.goes]
            if not self.dry_run or not goes or error.kind is not ErrorKind.INVALID:
                raise
            # The old and the new side by side, as two handlers of one probe: a run takes the old away first.
            return self.kube.merge(BY_NAME[live["kind"]], _instead(body, goes), dry_run=True)

    def _tell(self, name: str, by: Mapping[str, str]) -> None:
        """by: field -> whose hand was on it, '' where it was ours."""
        hands = {path: manager for path, manager in by.items() if manager}
        if hands:
            fields = ", ".join(sorted(hands)[:_FIELDS_TOLD])
            self.progress(f"{name}: {fields} changed by hand ({', '.join(sorted(set(hands.values())))}); putting back")

    def _strategy_first(self, wanted: Object, live: Object) -> Object:
        """With another strategy the next template would be a second pod beside the first. A merge, and before all else:
        an apply leaves the rollingUpdate that the server has put in, and is refused for it."""
        strategy = {**wanted["spec"]["strategy"], "rollingUpdate": None}
        body = {"metadata": _as_seen(live), "spec": {"strategy": strategy}}
        return self.kube.merge(BY_NAME[live["kind"]], body, ask=self.may_write)

    def _as_applied(self, live: Object, unwanted: Collection[str] = ()) -> Object | None:
        """The object with all that is ours in the entry of our applies (see managed_fields). None where a policy does
        not let it be written as it stands."""
        fields = as_applied(live, unwanted)
        if fields is None:
            return live
        body = {"metadata": {**_as_seen(live), "managedFields": fields}}
        try:
            return self.kube.merge(BY_NAME[live["kind"]], body, ask=self.may_write)
        except Conflict:
            raise
        except AgentError as error:
            if not error.is_refusal:
                raise
            return None

    def _put_together(self, wanted: Object, kept: Object) -> Object:
        """As it is now it may be written: what is no longer wanted goes with another apply."""
        merged = self._as_applied(kept) or kept
        return self.kube.apply(_under_version(wanted, merged), force=self.take_ownership, ask=self.may_write)

    def _look_again(self, wanted: Object) -> Object | None:
        # What a run that has taken over made since bears no fence yet.
        self.doubt()
        meta = wanted["metadata"]
        live = self.kube.get(BY_NAME[wanted["kind"]], meta["namespace"], meta["name"])
        if live is None:
            return None
        if fence_of(live) > self.fence and not self.dry_run:
            raise taken_over(meta["name"])
        if not names.is_ours(live):
            raise AgentError(
                ErrorKind.NOT_OURS, f"{wanted['kind']} {meta['name']} was replaced by one that is not ours"
            )
        return live

    def _note(self, wanted: Object, live: Object | None, kept: Object | None, changes: list[Change]) -> None:
        what = "created" if live is None else "removed" if kept is None else "changed"
        lines = shown(changes)
        kind = wanted["kind"]
        name = wanted["metadata"]["name"]
        self.changes.append({"kind": kind, "name": name, "change": what, "fields": lines[:20]})
        before = readable(live, wanted)
        after = readable(kept, wanted)
        self.diffs.append(
            {"before_header": f"{kind} {name}", "after_header": f"{kind} {name}", "before": before, "after": after}
        )


def has_other_strategy(wanted: Object, live: Object) -> bool:
    return wanted["kind"] == DEPLOYMENT.name and _strategy_of(wanted) != _strategy_of(live)


def _strategy_of(deployment: Object) -> str:
    return str((deployment["spec"].get("strategy") or {}).get("type") or "")


def _instead(body: Object, goes: Iterable[str]) -> Object:
    """A merge patch that leaves nothing at these paths. Lists are put in the place of those that stand there."""
    patch = copy.deepcopy(body)
    for path in goes:
        place, _dot, name = path.rpartition(".")
        part = patch
        for step in place.split("."):
            part = (part.get(step) if isinstance(part, dict) else None) or {}
        if "[" not in path and isinstance(part, dict):
            part[name] = None
    return patch


def without_strategy(wanted: Object) -> Object:
    """For a dry run, which cannot see what another dry run would have done first."""
    return {**wanted, "spec": {name: part for name, part in wanted["spec"].items() if name != "strategy"}}


def fence_of(live: Object) -> int:
    """How often the agent's lock had changed hands when it was taken over last; 0 where it never was."""
    told = (live["metadata"].get("annotations") or {}).get(names.FENCE) or ""
    return int(told) if told.isdecimal() else 0


def _still_moving(live: Object) -> AgentError:
    return never_still(f"{live['kind']} {live['metadata']['name']}", "kubectl get … --show-managed-fields")


def _as_seen(live: Object) -> Object:
    """Metadata of a patch: this very object, as it was read."""
    return {name: live["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}


def _under_version(wanted: Object, live: Object) -> Object:
    meta = {
        **wanted["metadata"],
        "resourceVersion": live["metadata"]["resourceVersion"],
        "uid": live["metadata"]["uid"],
    }
    return {**wanted, "metadata": meta}

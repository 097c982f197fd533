# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of one operation on one agent.

    with session(agent, params, context) as run:    the cluster is the one that is meant; nothing is written
        run.require(NEEDS)                          rights; run.require_not_frozen(), run.log_in() where they are needed
        run.look()                                  what is there, all of it ours
        with run.locked("R2", *KINDS):              the lease; after a take-over the fence, before anything else
            run.writer.apply(…)                     the lock is asked before each attempt of a write, Vault's as well
            run.step("R4", "…")                     a line of progress, and an entry of the result

Whatever ends it with an AgentError, the error carries the steps and the changes that came before. Clients are closed in
the end, and a token of Vault that a login gave is revoked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import of_word
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live, look, name_of
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.cluster import require_cluster
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.freeze import require_not_frozen
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.occupants import require_alone
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.ownership import require_ours
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import Needs, require_permissions
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer, fence_of
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    EXTERNAL_SECRET,
    LEASE,
    POD,
    SECRET_STORE,
    Kind,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.holder import holder
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault

A = TypeVar("A", bound=Home)


@dataclass
class Session(Generic[A]):
    """changes: what was done, told in the result and with every failure: objects as the writer notes them, or words.
    by: who does it, for whoever looks later. pod: the one that was proved, '' where none was."""

    agent: A
    params: Params
    context: Context
    kube: Kube
    cluster_uid: str
    writer: Writer
    by: str
    changes: list[Any]
    vault: Vault | None = None
    steps: list[Object] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pod: str = ""
    #: Of the gateway in the pod, and of the claim with its memory.
    container: str = names.CONTAINER
    claim: str = ""
    #: The highest fence that was seen on what was looked at.
    fence: int = 0
    #: Whether nothing of it was seen.
    is_new: bool = True
    _began: float = field(default_factory=time.monotonic)
    _lock: Lock | None = None
    _fenced: tuple[str, tuple[Kind, ...]] = ("", ())

    # what must be so

    def require(self, needs: Needs, identity: str = "operator") -> None:
        require_permissions(self.kube, self.agent.namespace, needs, identity)

    def require_not_frozen(self) -> None:
        """A plan is wanted during a freeze above all: check mode does not ask. One that is overridden is recorded."""
        if self.context.check_mode:
            return
        if words := require_not_frozen(self.kube, self.agent.namespace, self.params["override_freeze"]):
            self.by += f" (although {words})"

    def log_in(self) -> Vault:
        """As the operator."""
        self.vault = Vault(self.params, self.context)
        return self.vault

    # what is there

    def look(self, *kinds: Kind) -> Live:
        """The agent's objects (or those of these kinds), all of them ours."""
        accepted = of_word(self.params.get("accept_volume") or "")
        live = look(self.kube, self.agent.namespace, self.agent.name, *kinds, accepted=accepted)
        require_ours(live)
        if live.deployment or live.releases:
            self.claim = live.facts.mount.claim
        self.saw(*map(fence_of, live.objects.values()))
        return live

    def saw(self, *fences: int) -> None:
        """Fences of what was looked at. A Lease that was deleted begins again above them."""
        self.is_new = self.is_new and not fences
        highest = max(fences, default=0)
        if self._lock and highest > self._lock.fence:
            self._take_over(self._lock, highest)
        self.fence = max(self.fence, highest)

    def pods(self) -> list[Object]:
        """All of the namespace: whose they are is told by the claim that they mount, and by their owner."""
        return self.kube.list_objects(POD, self.agent.namespace)[0]

    def require_alone(self, live: Live) -> None:
        require_alone(
            self.kube, self.agent.namespace, {self.agent.name: self.agent}, {self.agent.name: live}, self.pods()
        )

    @property
    def took_over(self) -> bool:
        """Whether the lock is one that another run had left: then all that is fenced bears a new fence."""
        return self._lock is not None and bool(self._lock.taken_over_from)

    def is_held(self) -> bool:
        """Whether somebody holds the agent's lock, or held it when he was killed."""
        lease = self.kube.get(LEASE, self.agent.namespace, names.lease(self.agent.name)) or {}
        return bool((lease.get("spec") or {}).get("holderIdentity"))

    # what is done

    @contextmanager
    def locked(self, code: str, *fenced: Kind, force: bool = True) -> Iterator[Lock]:
        """fenced: kinds of all objects that the operation may patch or delete. force: whether force_unlock counts.

        What was seen before is from before the lock: look again.
        """
        force = force and self.params["force_unlock"]
        who = holder(self.params, self.context)
        with Lock(
            self.kube,
            self.agent.namespace,
            self.agent.name,
            who,
            self.context,
            force=force,
            above=self.fence,
            is_new=self.is_new,
        ) as lock:
            self._lock = lock
            self._fenced = (code, fenced)
            self.writer.may_write = lock.require
            self.writer.doubt = lock.doubt
            self.writer.fence = lock.fence
            if self.vault:
                self.vault.may_write = lock.require
            if lock.taken_over_from:
                self._take_over(lock)
            yield lock

    def free_dead_lock(self, code: str, *fenced: Kind) -> None:
        """For a run that finds nothing else to do: the last write of a killed one may be all but the release of its
        lock. Of one that lives nothing is taken, and whoever works on the agent is none of this run's business."""
        try:
            with self.locked(code, *fenced, force=False):
                pass
        except AgentError as error:
            if error.kind is not ErrorKind.LOCKED:
                raise

    def _take_over(self, lock: Lock, seen: int = 0) -> None:
        """A run that is thought dead may still be about to write: it must meet our fence first, which lies above all
        that stand. seen: one that stands elsewhere."""
        code, kinds = self._fenced
        by_kind = {kind: name_of(kind, self.agent.name, self.claim) for kind in kinds}
        found = {kind: self.kube.get(kind, self.agent.namespace, name) for kind, name in by_kind.items()}
        ours = {kind: live for kind, live in found.items() if live is not None and names.is_ours(live)}
        highest = max([seen, *map(fence_of, ours.values())])
        if highest >= lock.fence:
            lock.lift(highest)
        self.writer.fence = lock.fence
        self.step(code, f"took the lock over from {lock.taken_over_from}; fence {lock.fence}")
        is_silent = False
        for kind, live in ours.items():
            of_eso = kind in (EXTERNAL_SECRET, SECRET_STORE)
            if of_eso and is_silent:
                continue
            try:
                self.writer.raise_fence(live)
            except AgentError as error:
                # ESO's webhook where ESO is down, or a policy, refuses all writes to its objects: the other run's too.
                is_silent = error.kind is ErrorKind.UNAVAILABLE
                if not of_eso or not (error.is_refusal or is_silent):
                    raise
                self.warnings.append(f"{self.agent.name}: {error.message}")

    def step(self, code: str, words: str) -> None:
        """A line of progress, and an entry of the result."""
        self.steps.append({"step": code, "words": words, "at": round(time.monotonic() - self._began, 3)})
        self.context.progress(f"{self.agent.name}: {words}")

    def did(self, code: str, words: str) -> None:
        """A step that has changed something, for operations whose changes are words."""
        self.step(code, words)
        self.changes.append(words)

    # what is told

    def result(self, **more: Any) -> Result:
        """What every operation tells, and what this one tells besides."""
        told: Result = {
            "changed": bool(self.changes),
            "agent": self.agent.name,
            "steps": self.steps,
            "changes": self.changes,
            "retries": self.kube.retries,
            "warnings": self.warnings,
            **more,
        }
        # Of an operation whose changes are words, what it writes is secret.
        if self.context.diff and self.changes is self.writer.changes:
            told["diff"] = self.writer.diffs
        return told


@contextmanager
def session(
    agent: A,
    params: Params,
    context: Context,
    *,
    in_words: bool = True,
    take_ownership: bool | None = None,
    pinned: bool = True,
) -> Iterator[Session[A]]:
    """in_words: whether the operation's changes are words, not objects. take_ownership: else the option's. pinned:
    whether an inventory that names no cluster is a stop."""
    with closing(Kube(params, context)) as kube:
        asked = pinned or params["cluster_uid"]
        uid = require_cluster(kube, params["cluster_uid"]) if asked else kube.cluster_uid()
        owns = params["take_ownership"] if take_ownership is None else take_ownership
        writer = Writer(kube, owns, context.check_mode, progress=context.progress)
        changes = [] if in_words else writer.changes
        run = Session(agent, params, context, kube, uid, writer, holder(params, context), changes)
        try:
            yield run
        except AgentError as error:
            error.details = {"steps": run.steps, "changes": run.changes, **error.details}
            raise
        finally:
            if run.vault:
                run.vault.close()

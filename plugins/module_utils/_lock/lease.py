# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of one agent: a Lease that is renewed while its holder lives, and taken over when it stands still.

Clocks are never compared: whether a lease moves is judged by our own clock alone.
"""

from __future__ import annotations

import datetime
import secrets
import threading
import time

from ansible_collections.digitalsys.agents.plugins.module_utils._core.clock import elapsed
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind, NotFound
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import Budget
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import (
    LOCK_LOOK,
    LOCK_PATIENCE,
    LOCK_RELEASE,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.errors import Conflict
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import LEASE
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.holder import held_for, shown_holder, silent_for
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.standing import Standing, Times, Watched

#: What a Lease can count to.
_MOST = 2**31 - 1
_OF_A_DELETED_LEASE = "a run whose Lease was deleted"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _was_released(live: Object) -> bool:
    """By a run of ours, and not emptied by somebody's hand."""
    entries = live["metadata"].get("managedFields") or []
    ours = [one for one in entries if one.get("manager") == names.FIELD_MANAGER]
    return any("f:holderIdentity" in ((one.get("fieldsV1") or {}).get("f:spec") or {}) for one in ours)


class Lock:
    """A context manager. require() is asked before every attempt of a write; fence counts the changes of hands.

    above: the highest fence that stands on what this run has looked at. A Lease that was deleted begins again above it,
    so that a fence never goes down.

    is_new: whether nothing of the agent is there: else a Lease that is missing was deleted, and whoever held it may
    believe in it still.

    Raises AgentError 'locked' within five seconds when somebody else's lease moves.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        agent: str,
        holder: str,
        context: Context,
        *,
        force: bool = False,
        above: int = 0,
        is_new: bool = True,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = names.lease(agent)
        self._context = context
        self._force = force
        self._above = above
        self._is_new = is_new
        self._agent = agent
        self._times = Times.of(context.environ)
        self.identity = f"{holder} #{secrets.token_hex(4)}"
        self.fence = 0
        self.taken_over_from = ""
        #: The whole identity behind it.
        self.previous_identity = ""
        self._lease: Object = {}
        #: Until when nobody else can have taken the lease over, on our own clock.
        self._sure_until = 0.0
        #: Until when whoever had the lock before may be sure of it, on our own clock.
        self._theirs_until = 0.0
        #: Since when what was known before does not count any more.
        self._doubted = 0.0
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._lost = threading.Event()
        self._renewed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lock:
        self._acquire()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{self._agent}", daemon=True)
        self._thread.start()
        try:
            self._outwait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._wake.set()
        if self._thread:
            self._thread.join()
        if not self._lost.is_set():
            self._release()

    def require(self) -> None:
        """Before every attempt of a write: whoever lost the lease must not touch the agent any more.

        While it was not renewed in time (the API server restarts, this process was stopped) nobody knows; this waits
        until the first renewal that is taken or refused says so.
        """
        with self._renewed:
            known = self._renewed.wait_for(lambda: self._lost.is_set() or elapsed() < self._sure_until, LOCK_PATIENCE)
        if self._lost.is_set():
            raise AgentError(
                ErrorKind.LOCK_LOST,
                f"the lock of {self._agent} was taken over by another run, or its Lease was edited or deleted by hand",
                "Let the other run finish, then look with status.yml.",
            )
        if not known:
            raise AgentError(
                ErrorKind.LOCK_LOST,
                f"the lock of {self._agent} could not be renewed: the API server is out of reach",
                "Nothing changed since the last step shown; run the same command again to go on.",
            )

    def doubt(self) -> None:
        """Somebody else has written what this run is about to write. It may be who took the lock over a moment ago:
        require() waits for a renewal that was sent after this, which is asked for at once."""
        self._know_nothing()
        self._wake.set()

    def _acquire(self) -> None:
        watched = Watched(self._times, self.identity)
        broken = ""
        begun = elapsed()
        while True:
            live = self._kube.get(LEASE, self._namespace, self._name)
            if live is None:
                if self._create():
                    return
                # Where its answer was lost, our own is found: it is a take-over all the same.
                broken = _OF_A_DELETED_LEASE if self._above else ""
                if elapsed() - begun > LOCK_PATIENCE:
                    raise AgentError(
                        ErrorKind.UNAVAILABLE,
                        f"Lease {self._name} could not be made within {LOCK_PATIENCE:.0f} s",
                        "Nothing was changed; run the same command again.",
                    )
                time.sleep(LOCK_LOOK)
                continue
            if not names.is_ours(live):
                raise AgentError(
                    ErrorKind.NOT_OURS,
                    f"Lease {self._name} was not made by this collection",
                    f"It is in the way of the agent's lock. Look whose it is: kubectl get lease {self._name} -n "
                    f"{self._namespace} -o yaml; or choose another agent name.",
                )
            holder = (live.get("spec") or {}).get("holderIdentity") or ""
            standing = watched.look(live)
            if standing is Standing.FREE:
                # It is ours already where the answer to our write was lost; then the fence of the one before us is
                # still to be raised.
                if not holder and not _was_released(live):
                    # Whoever's name a hand took out may believe in it still.
                    self._theirs_until = elapsed() + self._times.duration - silent_for(live, self._kube.server_time())
                if self._take(live, taken_from=broken if holder else ""):
                    return
                continue
            if self._force or standing is Standing.DEAD:
                self._context.progress(f"{self._agent}: {self._why_broken(live, watched)}")
                broken = holder
                if standing is not Standing.DEAD:
                    silent = silent_for(live, self._kube.server_time())
                    self._theirs_until = elapsed() + watched.dead_after - silent
                if self._take(live, taken_from=holder):
                    return
                continue
            if standing is Standing.MOVING:
                raise self._held(live)
            if watched.is_worth_a_word():
                self._context.progress(
                    f"{self._agent}: locked by {shown_holder(holder)}, whose lock does not move; waiting "
                    f"{watched.dead_after} s before taking it over"
                )
            time.sleep(LOCK_LOOK)

    def _outwait(self) -> None:
        """A lock that was broken while it may have moved: its holder, where it lives, is sure of it for as long as it
        lasts, and what it makes bears no fence to miss."""
        left = self._theirs_until - elapsed()
        if left > 0:
            self._context.progress(f"{self._agent}: waiting {left:.0f} s, for as long as whoever had it may be writing")
            time.sleep(left)

    def _why_broken(self, live: Object, watched: Watched) -> str:
        holder = shown_holder(live["spec"]["holderIdentity"])
        if self._force:
            return f"breaking the lock of {holder} (held for {held_for(live['spec'])}), as told"
        return f"the lock of {holder} has not moved for {watched.dead_after} s; taking it over"

    def _held(self, live: Object) -> AgentError:
        holder = shown_holder(live["spec"]["holderIdentity"])
        return AgentError(
            ErrorKind.LOCKED,
            f"{self._agent} is being changed by {holder}, who holds the lock since {held_for(live['spec'])}",
            "Wait for that run to end, then run again. force_unlock breaks the lock of a run that you know is dead.",
            {"holder": holder},
        )

    def _spec(self, transitions: int) -> Object:
        now = _now()
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._times.duration,
            "leaseTransitions": transitions,
            "acquireTime": now,
            "renewTime": now,
        }

    def _create(self) -> bool:
        # The first lease of an agent counts from nought. One that was made before, and deleted, goes on above what it
        # has left behind: for whoever held it last that is a take-over.
        transitions = self._above + 1 if self._above else 0
        body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "spec": self._spec(transitions),
            "metadata": {"name": self._name, "namespace": self._namespace, "labels": names.labels(self._agent)},
        }
        sent = elapsed()
        try:
            self._lease = self._kube.create(body, retry=False)
        except AgentError as error:
            if isinstance(error, Conflict) or error.kind is ErrorKind.UNAVAILABLE:
                # Somebody was faster, or the answer was lost: the next look tells, our identity is unique. The look
                # itself is bounded by its own retries.
                return False
            raise
        self.fence = transitions
        self.taken_over_from = _OF_A_DELETED_LEASE if transitions else ""
        if not self._is_new:
            self._theirs_until = sent + self._times.duration
        self._sure(sent)
        return True

    def _take(self, live: Object, taken_from: str = "") -> bool:
        transitions = max(int((live.get("spec") or {}).get("leaseTransitions") or 0), self._above) + 1
        if transitions > _MOST:
            raise AgentError(
                ErrorKind.INVALID,
                f"Lease {self._name} counts {_MOST} changes of hands, and can count no further",
                f"Somebody has edited it. Where no run works on {self._agent}: kubectl delete lease {self._name} -n "
                f"{self._namespace}; then run the same command again. Nothing was changed.",
            )
        body = {**live, "spec": self._spec(transitions)}
        sent = elapsed()
        try:
            self._lease = self._kube.replace(LEASE, body)
        except (Conflict, NotFound):
            return False
        self.fence = transitions
        self.taken_over_from = shown_holder(taken_from)
        self.previous_identity = taken_from
        self._sure(sent)
        return True

    def lift(self, above: int) -> None:
        """What was looked at under the lock bears a higher fence than ours: the Lease had been deleted, and begun
        anew."""
        while self.fence <= above:
            self.require()
            live = self._kube.get(LEASE, self._namespace, self._name) or {"spec": {}}
            if live["spec"].get("holderIdentity") != self.identity:
                self._lost.set()
                continue  # require() says so
            try:
                self._kube.replace(LEASE, {**live, "spec": {**live["spec"], "leaseTransitions": above + 1}})
            except AgentError as error:
                if not isinstance(error, Conflict):
                    raise
                continue  # our own renewal came between
            self.fence = above + 1
        self.taken_over_from = self.taken_over_from or _OF_A_DELETED_LEASE

    def _sure(self, sent: float) -> None:
        """A write to the lease was taken. Counted from before it was sent: the others count from when it was kept."""
        with self._renewed:
            if sent >= self._doubted:
                self._sure_until = sent + self._times.sure
            self._renewed.notify_all()

    def _keep(self) -> None:
        while True:
            self._wake.wait(self._times.renew)
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self._sure(self._renew(Budget(self._times.sure)))
            except AgentError:
                if self._lost.is_set():
                    with self._renewed:
                        self._renewed.notify_all()
                    return
                # Nobody answers. Whether the lease is still ours shows the first renewal that is taken or refused.

    def _renew(self, budget: Budget) -> float:
        """Until the lease takes it: only then do the others begin to count again. When that was sent."""
        while True:
            sent = elapsed()
            self._lease["spec"]["renewTime"] = _now()
            try:
                self._lease = self._kube.replace(LEASE, self._lease, budget)
                return sent
            except (Conflict, NotFound):
                self._know_nothing()  # no write before it is known why
                live = self._kube.get(LEASE, self._namespace, self._name)
                if not live or (live.get("spec") or {}).get("holderIdentity") != self.identity:
                    self._lost.set()
                    raise
                # Our own write, whose answer was lost; or a hand's edit beside our name, which is put back.
                kept = {part: self._lease["spec"][part] for part in ("leaseDurationSeconds", "acquireTime")}
                counted = max(int(live["spec"].get("leaseTransitions") or 0), self.fence)
                self._lease = {**live, "spec": {**live["spec"], **kept, "leaseTransitions": counted}}

    def _seen(self) -> Object:
        """What stands there now; {} where nobody says."""
        try:
            return self._kube.get(LEASE, self._namespace, self._name) or {}
        except AgentError:
            return {}

    def _know_nothing(self) -> None:
        """Until a renewal is taken that was sent after this."""
        with self._renewed:
            self._doubted = elapsed()
            self._sure_until = 0.0

    def _release(self) -> None:
        try:
            self._lease["spec"] = {**self._lease["spec"], "holderIdentity": "", "renewTime": _now()}
            self._kube.replace(LEASE, self._lease, Budget(LOCK_RELEASE))
        except AgentError as error:
            if isinstance(error, Conflict):
                live = self._seen()
                if (live.get("spec") or {}).get("holderIdentity") == self.identity:
                    self._lease = live
                    self._release()
                return
            # Nothing is broken by this: the next run takes a lease over that does not move.
            self._context.progress(
                f"{self._agent}: the lock could not be released ({error.kind.value}); "
                f"it is free in {self._times.duration} s"
            )

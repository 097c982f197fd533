# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a lease stands: how long it holds, and whether somebody else's moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ansible_collections.digitalsys.agents.plugins.module_utils._core.clock import elapsed
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import (
    LOCK,
    LOCK_LEAST,
    LOCK_LONGEST,
)

#: Whole seconds instead, from 5 on: for tests, which leave the locks of dead runs behind by the dozen. It shortens what
#: this run's lease says, and never how long it waits for another's that says more.
DURATION_VARIABLE = "AGENTS_TEST_LOCK_SECONDS"


@dataclass(frozen=True)
class Times:
    """Of one lease, in seconds: it is renewed often enough to miss some renewals, and its holder stops writing some
    time before others take over."""

    duration: int = LOCK

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Times:
        """A value that is no such number counts as none."""
        told = environ.get(DURATION_VARIABLE, "")
        return cls(min(max(LOCK_LEAST, int(told)), LOCK) if told.isdecimal() else LOCK)

    @property
    def renew(self) -> float:
        return self.duration / 5

    @property
    def sure(self) -> float:
        return self.duration - self.renew

    def dead_after(self, spec: Object) -> int:
        """How long somebody's lease must stand still: as long as it says itself, if that is longer; and no longer than
        any run of ours may say, whatever a hand has written."""
        said = spec.get("leaseDurationSeconds")
        return max(self.duration, min(said, LOCK_LONGEST) if isinstance(said, int) else 0)


class Standing(Enum):
    """How somebody else's lease stands."""

    #: Nobody's; or ours already, where the answer to our write was lost.
    FREE = "free"
    MOVING = "moving"
    #: It has not moved for as long as it may stand still.
    DEAD = "dead"
    WAITING = "waiting"


class Watched:
    """Somebody else's lease, look after look. Whether it moves is told by its resourceVersion alone: no clock but ours
    comes in."""

    def __init__(self, times: Times, identity: str) -> None:
        self._times = times
        self._identity = identity
        self._version = ""
        self._since = 0.0
        self.told = False
        self.dead_after = times.duration

    def look(self, live: Object) -> Standing:
        spec = live.get("spec") or {}
        if (spec.get("holderIdentity") or self._identity) == self._identity:
            return Standing.FREE
        now = elapsed()
        version = f"{spec['holderIdentity']} {live['metadata']['resourceVersion']}"
        if version != self._version:
            if self._version:
                return Standing.MOVING
            self._version = version
            self._since = now
        self.dead_after = self._times.dead_after(spec)
        return Standing.DEAD if now - self._since > self.dead_after else Standing.WAITING

    def is_worth_a_word(self) -> bool:
        """Once, when its holder has missed a renewal: it most likely is dead."""
        if self.told or elapsed() - self._since <= Times(self.dead_after).renew + 1:
            return False
        self.told = True
        return True

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that an operation raises for something a user can cause or mend, and its kinds."""

from __future__ import annotations

from enum import Enum
from typing import Any, Self


class ErrorKind(Enum):
    """What failed, in a word that a playbook or AWX can act on (error.kind of a result)."""

    #: An option, or a value, that cannot be; told before anything is written.
    INVALID = "invalid"
    #: The identity may not do it.
    FORBIDDEN = "forbidden"
    #: The credential itself is refused.
    UNAUTHORIZED = "unauthorized"
    #: No answer, for as long as it was asked for.
    UNAVAILABLE = "unavailable"
    NOT_FOUND = "not_found"
    #: An object that somebody else made.
    NOT_OURS = "not_ours"
    #: Somebody else, or a policy, has the last word on what was to be written.
    CONFLICT = "conflict"
    WRONG_CLUSTER = "wrong_cluster"
    #: Another run holds the agent.
    LOCKED = "locked"
    #: Another run has taken the agent over from this one.
    LOCK_LOST = "lock_lost"
    FROZEN = "frozen"
    #: The Secret is not what it must be, or External Secrets does not bring it.
    SECRET = "secret"
    VAULT = "vault"
    IMAGE = "image"
    ROLLOUT = "rollout"
    ROTATION = "rotation"
    #: A rotation is open, and has to be finished or aborted first.
    ROTATION_OPEN = "rotation_open"
    #: The pod runs, and its gateway does not take what stands in Vault.
    VERIFY = "verify"
    MISSING_LIBRARY = "missing_library"
    #: A fault of this collection.
    INTERNAL = "internal"


class AgentError(Exception):
    """What failed, why, and what to do next.

    message  what and why; may have several lines (at most ten together with the hint)
    hint     what to type or look at next
    details  the full evidence as data; never a secret value

    What code catches has a class of its own: NotFound here, Conflict in _kube/errors; Refused, CasConflict and
    LockedOut in _vault/client.
    """

    def __init__(self, kind: ErrorKind, message: str, hint: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.details = details or {}

    @property
    def is_refusal(self) -> bool:
        """The server's own word that a write is not to be, which no second try would change."""
        return self.kind in (ErrorKind.CONFLICT, ErrorKind.INVALID, ErrorKind.FORBIDDEN, ErrorKind.NOT_OURS)

    def of(self, place: str) -> Self:
        """The same error, which begins with where it came about."""
        self.message = f"{place}: {self.message}"
        self.args = (self.message,)
        return self

    def text(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def as_data(self) -> dict[str, Any]:
        return {"kind": self.kind.value, "message": self.message, "hint": self.hint, **self.details}


def taken_over(what: str) -> AgentError:
    return AgentError(
        ErrorKind.LOCK_LOST, f"another run has taken over {what}", "Let it finish, then look with status.yml."
    )


def never_still(what: str, who: str, then: str = "run the same command again") -> AgentError:
    """who: writes there, and by what it is seen."""
    return AgentError(
        ErrorKind.CONFLICT,
        f"{what} keeps being changed by somebody else",
        f"Look who writes to it ({who}); then {then}.",
    )


class VolumeTroubled(AgentError):
    """The agent's volume is not what it must be: no other release and no other value would change that."""


class NotFound(AgentError):
    """What was asked for is not there; or, where it is not is_served, its kind is unknown to the server."""

    def __init__(
        self, message: str, hint: str = "", details: dict[str, Any] | None = None, *, is_served: bool = True
    ) -> None:
        super().__init__(ErrorKind.NOT_FOUND, message, hint, details)
        self.is_served = is_served

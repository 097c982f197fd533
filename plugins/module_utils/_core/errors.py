# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that an operation raises for something a user can cause or mend."""

from __future__ import annotations

from typing import Any

#: Kinds: the server's own word that a write is not to be, which no second try would change.
REFUSED = ("conflict", "invalid", "forbidden", "not_ours")


class AgentError(Exception):
    """What failed, why, and what to do next.

    kind     a word that a playbook or AWX can act on: invalid, forbidden, unauthorized, unavailable, not_found,
             not_ours, conflict, wrong_cluster, locked, lock_lost, frozen, secret, vault, image, rollout, rotation,
             rotation_open, verify, missing_library
    message  what and why; may have several lines (at most ten together with the hint)
    hint     what to type or look at next
    details  the full evidence as data; never a secret value
    """

    def __init__(self, kind: str, message: str, hint: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.details = details or {}

    def text(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def as_data(self) -> dict[str, Any]:
        return {"kind": self.kind, "message": self.message, "hint": self.hint, **self.details}

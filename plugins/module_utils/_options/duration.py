# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as people write them (30s, 15m, 12h, 90d, 8w): one reader for all options, and two ways to write one."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind

_DURATION = re.compile(r"\A([1-9][0-9]{0,7})([smhdw])\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: What Go reads, and with it Vault and ESO.
OF_GO = "smh"


def seconds_of(text: Any, option: str, units: str = "smhdw", *, zero: bool = False) -> int:
    """'90d' -> 7776000. units: those that may stand there. zero: whether a plain '0' may, for none or for ever.

    AgentError 'invalid', naming the option, for anything else.
    """
    if zero and text == "0":
        return 0
    match = _DURATION.match(text) if isinstance(text, str) else None
    if not match or match[2] not in units:
        examples = ", ".join(example for example in ("30s", "15m", "12h", "90d", "8w") if example[-1] in units)
        raise AgentError(
            ErrorKind.INVALID,
            f"{option}: {str(text)[:60]!r} is no duration" + ("" if zero else " above zero"),
            f"A whole number and its unit, for example {examples}{' (or 0)' if zero else ''}.",
        )
    return int(match[1]) * _UNITS[match[2]]


def as_go_writes(seconds: int) -> str:
    """60 -> '1m0s': ESO rewrites its objects in that spelling, and so owns any other."""
    hours = seconds // 3600
    minutes = seconds % 3600 // 60
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if seconds >= 60 else "") + f"{seconds % 60}s"


def in_words(seconds: int) -> str:
    """For people, in its largest unit: '40 s', '12 min', '5 h', '3 d'."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spans of time as people write them: one reader for all of them."""

from __future__ import annotations

import re

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError

_AGE = re.compile(r"\A([1-9][0-9]*)([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds_of(age: str, where: str) -> int:
    """'90d' -> 7776000."""
    found = _AGE.match(str(age))
    if not found:
        raise AgentError("invalid", f"{where}: {str(age)[:40]!r} is no age", "Write 12h, 90d or 8w.")
    return int(found[1]) * _SECONDS[found[2]]


def span(seconds: int) -> str:
    """'40 s', '12 min', '5 h', '3 d'."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

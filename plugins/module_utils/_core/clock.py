# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock by which a lease is held."""

from __future__ import annotations

import time

#: A monotonic clock stands still while a machine sleeps, and a laptop that wakes up would believe in a lock that others
#: have long taken over. Linux alone has one that runs on.
_RUNS_ON = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds since some moment in the past, those that the machine slept among them."""
    return time.clock_gettime(_RUNS_ON)

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded retries with full jitter, for every server we talk to. The clients' own retries are switched off."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import FIRST_PAUSE, LONGEST_PAUSE

#: Statuses of an answer that another attempt may change.
RETRYABLE = frozenset((408, 429, 500, 502, 503, 504))


class Budget:
    """Seconds that one piece of work may spend on retries, counted on the local monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self.retries = 0
        #: What a server asked for with Retry-After, in seconds; used once.
        self.asked_pause: float | None = None

    def left(self) -> float:
        return self._end - time.monotonic()


def pause_before(retry: int, asked: float | None, jitter: float) -> float:
    """Seconds before the retry-th retry (1, 2, …): what the server asked for, else a jittered share of 0.5 s … 16 s."""
    # «Retry-After: 0», or one that is no number, must not become a storm.
    if asked is not None and asked > 0:
        return min(max(asked, FIRST_PAUSE * jitter), LONGEST_PAUSE)
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(retry - 1, 16)) * jitter)


def backoff(budget: Budget) -> Iterator[int]:
    """Yields attempt numbers 0, 1, … and pauses between them, until the budget is spent. Break on success."""
    attempt = 0
    while True:
        yield attempt
        attempt += 1
        pause = pause_before(attempt, budget.asked_pause, random.uniform(0.2, 1.0))
        budget.asked_pause = None
        if budget.left() <= pause:
            return
        budget.retries += 1
        time.sleep(pause)

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told while something is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import REPORT


class Telling:
    """A line whenever the words are others, and at least one in REPORT seconds, with how long it has been by then."""

    def __init__(self, progress: Callable[[str], None], agent: str) -> None:
        self._progress = progress
        self._agent = agent
        self._began = time.monotonic()
        self._words = ""
        self._at = self._began

    def tell(self, words: str) -> None:
        now = time.monotonic()
        if words != self._words or now - self._at > REPORT:
            self._words = words
            self._at = now
            self._progress(f"{self._agent}: {words} ({now - self._began:.0f} s)")

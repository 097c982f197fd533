# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of a lease."""

from __future__ import annotations

import sys
import time

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.clock import elapsed


@pytest.mark.skipif(sys.platform != "linux", reason="no other system has a clock that runs on while it sleeps")
def test_it_runs_on_while_the_machine_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= elapsed() <= time.clock_gettime(time.CLOCK_BOOTTIME)

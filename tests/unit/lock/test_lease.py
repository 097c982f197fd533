# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of whoever holds a lock."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import LOCK
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.holder import (
    held_for,
    shown_holder,
    silent_for,
    told,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.standing import DURATION_VARIABLE, Times


@pytest.mark.parametrize(
    ("acquired", "renewed", "shown"),
    [
        ("2026-11-01T10:00:00.000000Z", "2026-11-01T10:00:40.900000Z", "40 s"),
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z", "0 s"),
        ("2026-11-01T10:00:40Z", "2026-11-01T10:00:00Z", "0 s"),
        ("2026-11-01T07:00:00-03:00", "2026-11-01T10:00:05Z", "5 s"),
    ],
)
def test_how_long_is_told_between_the_holders_own_stamps_so_no_second_clock_comes_in(
    acquired: str, renewed: str, shown: str
) -> None:
    assert held_for({"acquireTime": acquired, "renewTime": renewed}) == shown


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"acquireTime": "2026-11-01T10:00:00Z"},
        {"acquireTime": None, "renewTime": None},
        {"acquireTime": "x", "renewTime": "y"},
        {"acquireTime": "2026-11-01T10:00:00", "renewTime": "2026-11-01T10:00:00Z"},
    ],
)
def test_stamps_that_cannot_be_read_are_an_unknown_time(spec: dict[str, Any]) -> None:
    assert held_for(spec) == "an unknown time"


@pytest.mark.parametrize(
    ("identity", "shown"),
    [("job 812 (alice) #9f3a00ff", "job 812 (alice)"), ("a #b #c", "a #b"), ("somebody", "somebody"), ("", "")],
)
def test_the_random_tail_of_a_holder_is_not_shown(identity: str, shown: str) -> None:
    assert shown_holder(identity) == shown


WRITTEN = "2026-11-01T10:00:00Z"
AT = datetime.datetime.fromisoformat(WRITTEN).timestamp()


def lease(holder: str = "alice@laptop #9f3a00ff", *times: str, **spec: Any) -> dict[str, Any]:
    stamps = {"acquireTime": "2026-11-01T09:59:00Z", "renewTime": "2026-11-01T09:59:40Z"}
    fields = [{"time": time} for time in times or (WRITTEN, "2026-10-30T10:00:00Z")]
    return {"metadata": {"managedFields": fields}, "spec": {"holderIdentity": holder, **stamps, **spec}}


@pytest.mark.parametrize(
    ("found", "now", "words"),
    [
        (lease(""), AT, ""),
        (lease(), AT + 2, "alice@laptop, 40 s"),
        (lease(), AT + LOCK, "alice@laptop, 40 s"),
        (lease(), AT + LOCK + 1, "alice@laptop, silent for 16 s"),
        (lease(leaseDurationSeconds=5), AT + 6, "alice@laptop, silent for 6 s"),
        # The server's clock was set back, or nobody says when it was written.
        (lease(), AT - 3600, "alice@laptop, 40 s"),
        (lease("alice@laptop #1", ""), AT + 3600, "alice@laptop, 40 s"),
        (lease(), 0.0, "alice@laptop, 40 s"),
    ],
)
def test_a_killed_run_is_told_by_its_silence_on_the_servers_own_clock(
    found: dict[str, Any], now: float, words: str
) -> None:
    """Trials G6: as if alive, forty seconds after its end."""
    assert told(found, now) == words


def test_a_lease_without_a_time_is_not_silent() -> None:
    assert silent_for({"metadata": {}}, AT) == 0


def test_a_lock_that_missed_some_renewals_is_not_taken_over() -> None:
    times = Times()
    assert times.duration == LOCK >= 4 * times.renew
    assert times.sure + times.renew <= times.duration


@pytest.mark.parametrize(
    ("told", "seconds"), [("", 15), ("5", 5), ("8", 8), ("1", 5), ("600", 15), ("-5", 15), ("7.5", 15), ("soon", 15)]
)
def test_a_run_may_shorten_its_own_lock_within_bounds(told: str, seconds: int) -> None:
    assert Times.of({DURATION_VARIABLE: told} if told else {}).duration == seconds


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"leaseDurationSeconds": 15}, 15),
        ({"leaseDurationSeconds": 25}, 25),
        ({"leaseDurationSeconds": 2**31 - 1}, 30),
        ({}, 5),
    ],
)
def test_one_that_shortened_its_own_lock_waits_for_anothers_as_long_as_that_says(
    said: dict[str, Any], seconds: int
) -> None:
    assert Times(5).dead_after(said) == seconds

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pauses between retries, and what may spend them."""

from __future__ import annotations

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import Budget, backoff, pause_before


@pytest.mark.parametrize(
    ("retry", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 16.0), (50, 16.0), (5000, 16.0)]
)
def test_pauses_double_up_to_a_bound(retry: int, longest: float) -> None:
    assert pause_before(retry, None, 1.0) == longest


@pytest.mark.parametrize("retry", [1, 4, 9])
def test_jitter_takes_a_share_so_that_a_fleet_does_not_come_back_at_once(retry: int) -> None:
    assert pause_before(retry, None, 0.2) == pytest.approx(0.2 * pause_before(retry, None, 1.0))


@pytest.mark.parametrize(
    ("asked", "pause"), [(1.0, 1.0), (7.5, 7.5), (16.0, 16.0), (3600.0, 16.0), (float("inf"), 16.0)]
)
def test_what_the_server_asks_for_is_kept_up_to_a_bound(asked: float, pause: float) -> None:
    assert pause_before(1, asked, 1.0) == pause
    assert pause_before(9, asked, 1.0) == pause


@pytest.mark.parametrize("asked", [0.0, -5.0, 0.0001, float("nan")])
def test_a_server_that_asks_for_no_pause_at_all_is_not_stormed(asked: float) -> None:
    assert pause_before(1, asked, 0.2) >= 0.1


def test_without_a_budget_there_is_one_attempt_and_no_retry() -> None:
    budget = Budget(0.0)
    assert list(backoff(budget)) == [0]
    assert budget.retries == 0


def test_a_pause_that_the_budget_does_not_hold_is_not_begun() -> None:
    budget = Budget(1.0)
    attempts = backoff(budget)
    assert next(attempts) == 0
    budget.asked_pause = 10.0
    assert list(attempts) == []
    assert budget.retries == 0


def test_retries_are_counted_and_an_asked_pause_is_used_once() -> None:
    budget = Budget(5.0)
    attempts = backoff(budget)
    assert next(attempts) == 0
    budget.asked_pause = 0.01
    assert next(attempts) == 1
    assert budget.retries == 1
    assert budget.asked_pause is None

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ends of the gateway's process: which are a failure, and which are forgiven (W8 of the design's rollout page)."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import DONE, FAILED, WAITING, Exit
from tests.unit.builders import (
    AVAILABLE,
    NAME,
    READY,
    RUNNING,
    SCHEDULED,
    at_once,
    ended,
    last_of,
    pod,
    running_deployment,
    terminated,
    waiting,
)

#: What the gateway says when another one holds its state, and when another command of it does.
OWNED = "Gateway failed to start: gateway already running (pid 7); lock timeout after 5000ms"
LOCKED = "state directory is locked by gateway (pid 7); lock timeout after 5000ms"


def test_exit_78_for_a_bad_configuration_is_a_failure_at_once() -> None:
    found = at_once(pod(SCHEDULED, state=terminated(78)), ended(78, "Config invalid: unknown key 'gatway'"))
    assert (found.state, found.cause) == (FAILED, "configuration")
    assert "exit 78" in found.words


@pytest.mark.parametrize("log", [OWNED, LOCKED])
def test_exit_78_because_another_process_owns_the_state_is_given_one_more_start(log: str) -> None:
    assert at_once(pod(SCHEDULED, state=terminated(78)), ended(78, log)).state == WAITING
    found = at_once(pod(SCHEDULED, state=terminated(78), restarts=1), ended(78, log), ended(78, log, number=1))
    assert (found.state, found.cause) == (FAILED, "configuration")


def test_one_unclean_exit_is_not_yet_a_failure() -> None:
    assert at_once(pod(SCHEDULED, state=terminated(1)), ended(1)).state == WAITING
    assert at_once(pod(SCHEDULED, state=RUNNING, restarts=1, last=terminated(1)), ended(1)).state == WAITING
    assert at_once(pod(SCHEDULED, state=waiting("CrashLoopBackOff"), restarts=0), ended(1)).state == WAITING


@pytest.mark.parametrize(
    "new",
    [
        pod(SCHEDULED, state=terminated(137), restarts=1),
        pod(SCHEDULED, state=waiting("CrashLoopBackOff"), restarts=1),
        pod(SCHEDULED, state=RUNNING, restarts=2),
    ],
)
@pytest.mark.parametrize("codes", [(1, 1), (1, 137), (139, 2), (78, 1)])
def test_the_second_unclean_exit_of_any_kind_is_a_failure(new: Any, codes: tuple[int, int]) -> None:
    found = last_of(
        [(0.0, [pod(SCHEDULED)], ()), (1.0, [new], [ended(codes[0], OWNED), ended(codes[1], OWNED, number=1)])]
    )
    assert (found.state, found.cause, found.pod) == (FAILED, "crash", NAME)
    assert f"exit code {codes[1]}" in found.words


def test_a_second_exit_counts_though_its_log_was_never_seen() -> None:
    found = last_of(
        [(0.0, [pod(SCHEDULED)], ()), (1.0, [pod(SCHEDULED, state=waiting("CrashLoopBackOff"), restarts=1)], ())]
    )
    assert (found.state, found.cause) == (FAILED, "crash")
    assert "CrashLoopBackOff" in found.words


def test_an_exit_that_was_seen_counts_though_the_status_moved_on() -> None:
    assert at_once(pod(SCHEDULED, state=RUNNING, restarts=0), ended(1), ended(1, number=1)).state == FAILED


RESTART = "plugin migration inputs changed during startup convergence; stop. Restart OpenClaw"


def test_one_exit_1_that_asks_for_a_restart_after_a_plugin_was_installed_is_forgiven() -> None:
    assert at_once(pod(SCHEDULED, state=terminated(1)), ended(1, RESTART)).state == WAITING
    assert (
        at_once(pod(SCHEDULED, state=terminated(1), restarts=1), ended(1, RESTART), ended(1, number=1)).state == WAITING
    )
    found = at_once(
        pod(SCHEDULED, state=terminated(1), restarts=2), ended(1, RESTART), ended(1, number=1), ended(1, number=2)
    )
    assert found.state == FAILED


def test_only_one_such_exit_is_forgiven() -> None:
    asked = [ended(1, RESTART, number=number) for number in range(3)]
    assert at_once(pod(SCHEDULED, state=terminated(1), restarts=1), *asked[:2]).state == WAITING
    assert at_once(pod(SCHEDULED, state=terminated(1), restarts=2), *asked).state == FAILED


def test_the_words_alone_do_not_forgive_another_exit_code() -> None:
    assert (
        at_once(
            pod(SCHEDULED, state=terminated(137), restarts=1), ended(137, RESTART), ended(137, RESTART, number=1)
        ).state
        == FAILED
    )


def test_out_of_memory_is_a_failure_at_once_and_names_the_limit() -> None:
    found = at_once(pod(SCHEDULED, state=terminated(137, "OOMKilled")), ended(137, reason="OOMKilled"))
    assert (found.state, found.cause) == (FAILED, "crash")
    assert "OOMKilled, limit 2Gi" in found.words


def test_the_history_of_a_pod_before_the_wait_is_not_counted() -> None:
    """Only an annotation of the Deployment changed: the pod runs on, with what it went through last week."""
    runs = pod(SCHEDULED, state=RUNNING, restarts=5, last=terminated(137, "OOMKilled"))
    before = ended(137, number=4, reason="OOMKilled")
    assert last_of([(0.0, [runs], [before])]).state == WAITING
    once = pod(SCHEDULED, state=terminated(1), restarts=5)
    assert last_of([(0.0, [runs], [before]), (1.0, [once], [before, ended(1, number=5)])]).state == WAITING
    twice = pod(SCHEDULED, state=terminated(1), restarts=6)
    assert (
        last_of([(0.0, [runs], [before]), (1.0, [twice], [before, ended(1, number=5), ended(1, number=6)])]).state
        == FAILED
    )


def test_a_pod_that_was_in_a_crash_loop_already_when_the_wait_began_is_a_failure() -> None:
    assert at_once(pod(SCHEDULED, state=waiting("CrashLoopBackOff"), restarts=7), ended(1, number=7)).state == FAILED


def test_the_ends_of_another_pod_are_not_this_ones() -> None:
    others = [Exit("roberval-old-x", number, 78, "Error", "bad") for number in range(3)]
    assert at_once(pod(SCHEDULED, state=RUNNING), *others).state == WAITING


def test_what_is_done_is_done_though_it_stumbled_once_on_the_way() -> None:
    live = running_deployment(AVAILABLE, updated=1, replicas=1, available=1)
    new = pod(READY, SCHEDULED, state=RUNNING, restarts=1, last=terminated(1))
    assert last_of([(0.0, [new], [ended(1)])], live=live).state == DONE

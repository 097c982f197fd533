# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the container that ended are its own, whatever the kubelet has begun since."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.log import Exits
from tests.unit.builders import RUNNING, SCHEDULED, pod, terminated, waiting

HELD = "gateway already running (pid 7); lock timeout after 5000ms"
NEXT = "listening"
ENDED = terminated(78)


class _Kubelet:
    """Its logs as it sees the container now, which the pod's status may not say yet."""

    def __init__(self, current: str, previous: str) -> None:
        self._current, self._previous = current, previous

    def log(self, _namespace: str, _pod: str, _container: str, *, previous: bool, lines: int) -> str:
        assert lines
        return self._previous if previous else self._current


@pytest.mark.parametrize(
    ("seen", "current", "previous"),
    [
        (pod(SCHEDULED, state=ENDED), HELD, ""),
        (pod(SCHEDULED, state=ENDED), NEXT, HELD),
        (pod(SCHEDULED, state=ENDED), "", HELD),
        (pod(SCHEDULED, state=waiting("CrashLoopBackOff"), last=ENDED), NEXT, HELD),
        (pod(SCHEDULED, state=RUNNING, last=ENDED, restarts=1), NEXT, HELD),
        # Only after the first end is the next one begun at once.
        (pod(SCHEDULED, state=ENDED, restarts=1), HELD, "of the one before"),
        (pod(SCHEDULED, state=ENDED, restarts=1), "", HELD),
    ],
    ids=["last", "unseen next", "silent next", "waiting", "running", "second end", "silent next of a second"],
)
def test_an_end_is_told_by_the_container_that_ended(seen: Any, current: str, previous: str) -> None:
    (end,) = Exits(_Kubelet(current, previous), "bots").of([seen])  # type: ignore[arg-type]
    assert (end.code, end.log) == (78, HELD)


def test_a_container_that_said_nothing_is_not_lent_the_next_ones_words() -> None:
    seen = pod(SCHEDULED, state=RUNNING, last=ENDED, restarts=1)
    (end,) = Exits(_Kubelet(NEXT, ""), "bots").of([seen])  # type: ignore[arg-type]
    assert end.log == ""

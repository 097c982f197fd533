"""As many tests at a time as keep the processors busy: most of a test's time is a pod's, and some of it is not.

Two run always, whatever the load: with fewer nothing would be gained, and whoever waits for another sees it end. A
further one begins when the processors were idle for a part of the last moment.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.sandbox.paths import CACHE

_FOLDER = CACHE / "tests"
_ALWAYS = 2
#: Of all processors' time. A test that begins uses more than that; one that waits for a pod, hardly any.
_IDLE_ENOUGH = 0.15
#: Seconds that are looked at, and in which one test at most begins.
_MOMENT = 0.5


class Processors:
    """What all of them did since this was made."""

    def __init__(self) -> None:
        self._begun, self._before = time.monotonic(), self._ticks()

    @staticmethod
    def _ticks() -> tuple[int, int]:
        """(idle, all) since boot."""
        fields = [int(word) for word in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
        return fields[3] + fields[4], sum(fields)

    def idle(self) -> float:
        """Their idle part, between 0 and 1."""
        now = self._ticks()
        return (now[0] - self._before[0]) / max(1, now[1] - self._before[1])

    def words(self) -> str:
        """For people."""
        seconds = time.monotonic() - self._begun
        return f"processors: {os.cpu_count()}, busy for {1 - self.idle():.0%} of {seconds:.0f} s"


def _idle() -> float:
    """Of the next moment."""
    moment = Processors()
    time.sleep(_MOMENT)
    return moment.idle()


def _lock(stack: ExitStack, name: str, how: int) -> bool:
    file = (_FOLDER / name).open("w")
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        file.close()
        return False
    stack.enter_context(file)
    return True


@contextmanager
def turn() -> Iterator[None]:
    """A test's. Comes back when it may begin."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with ExitStack() as until_its_end:
        while not any(
            _lock(until_its_end, f"always{number}", fcntl.LOCK_EX | fcntl.LOCK_NB) for number in range(_ALWAYS)
        ):
            # One looks at a time, and sees what the one before it has begun.
            with ExitStack() as while_it_looks:
                if _lock(while_it_looks, "gate", fcntl.LOCK_EX | fcntl.LOCK_NB):
                    if _idle() > _IDLE_ENOUGH:
                        break
                else:
                    time.sleep(_MOMENT)
        yield

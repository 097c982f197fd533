"""What a start says of itself: a line for each step, with how long it took and when it ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    def __init__(self) -> None:
        self.begun = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        now = time.monotonic()
        # One write: steps of several threads end at the same moment.
        sys.stdout.write(f"sandbox: {what:<42} {now - started:5.1f} s   (at {now - self.begun:4.1f} s)\n")
        sys.stdout.flush()

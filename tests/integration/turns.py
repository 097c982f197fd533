"""Who may run beside whom: tests of several workers run side by side; one that takes away what the others need runs
alone."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from tests.sandbox.paths import CACHE

_FOLDER = CACHE / "tests"


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """From here to its end this process is alone on the sandbox, or with others that need not be.

    Who waits to be alone keeps the gate shut, so that nobody comes in before him for ever.
    """
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / "gate").open("w") as gate, (_FOLDER / "inside").open("w") as inside:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield

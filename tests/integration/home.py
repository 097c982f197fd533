"""Where this process's tests are at home: in a cell of the sandbox, or in the cluster and Vault that are given.

Read at import, since tests have names and addresses in constants; the cell itself is started by the fixture `sandbox`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import IO

from tests.sandbox import addresses
from tests.sandbox.cells import Cell
from tests.sandbox.paths import CACHE


def _free() -> tuple[Cell, IO[str]]:
    """The first cell that no other process has, and what keeps it this one's until it ends."""
    folder = CACHE / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    for number in count():
        taken = (folder / f"cell{number}").open("w")
        try:
            fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken.close()
            continue
        return Cell(number), taken
    raise AssertionError("there is always another number")


CELL: Cell | None = None
if "processes" in os.environ.get("AGENTS_SANDBOX_CAPABILITIES", "").split(","):
    CELL, _taken = _free()
NAMESPACE = CELL.namespace if CELL else addresses.NAMESPACE
VAULT_ADDR = CELL.vault.url if CELL else os.environ.get("VAULT_ADDR", "")


@contextmanager
def at_home() -> Iterator[None]:
    """The cell is there, and this process's environment names it."""
    if CELL is None:
        yield
        return
    try:
        CELL.start()
        os.environ.update(CELL.environment())
        yield
    finally:
        CELL.stop()

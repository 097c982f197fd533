"""How much of a cold build is left: from what each part took on this machine the last time, or else from a table."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .paths import CACHE

_LAST_TIME = CACHE / "build-seconds.json"
#: Before so many seconds of work are done, how fast this machine is today says nothing yet.
_TELLING = 45.0
#: A part of which less was compiled (the rest lay in Go's cache) says nothing about the next cold build.
_WHOLE = 0.9
#: Seconds between two lines, so that a build is seen to live.
_QUIET = 60.0


def _last_time() -> dict[str, float]:
    with suppress(OSError, ValueError):
        return {name: float(seconds) for name, seconds in json.loads(_LAST_TIME.read_text()).items()}
    return {}


def roughly(seconds: float) -> str:
    """A time in words that promise no more than is known."""
    return f"some {seconds / 60:.0f} min" if seconds >= 90 else "about a minute"


class Progress:
    """Counts programs and compiled packages. `usual` is what each part takes where no last time is known."""

    def __init__(self, usual: Mapping[str, float], programs: int) -> None:
        self._expected = {name: _last_time().get(name, seconds) for name, seconds in usual.items()}
        self._programs, self._built = programs, 0
        self._done, self._begun = 0.0, time.monotonic()
        self._packages = 1
        self.compiled = 0  # packages of the part that is built now

    @contextmanager
    def part(self, name: str, packages: int, programs: Path) -> Iterator[None]:
        """While a part of so many packages is built, a line for each program that appears in the folder `programs`."""
        self._packages, self.compiled = packages, 0
        started, over = time.monotonic(), threading.Event()
        teller = threading.Thread(target=self._tell, args=(name, programs, over), daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()
        took = time.monotonic() - started
        self._built += sum(1 for _ in programs.iterdir())
        self._done += self._expected[name]
        if self.compiled > _WHOLE * packages:
            _LAST_TIME.write_text(json.dumps({**_last_time(), name: round(took)}))
        self.compiled = 0
        print(f"sandbox: built part {name} in {took:.0f} s, {self._state(name, self._built)}", flush=True)

    def left(self, name: str) -> float:
        """Seconds until all is built: what was expected, times how much slower than expected it went so far."""
        done = self._done + min(self.compiled / self._packages, 1.0) * self._expected[name]
        left = sum(self._expected.values()) - done
        return left * (time.monotonic() - self._begun) / done if done > _TELLING else left

    def _tell(self, name: str, programs: Path, over: threading.Event) -> None:
        seen, said = 0, time.monotonic()
        while not over.wait(1):
            found, now = sum(1 for _ in programs.iterdir()), time.monotonic()
            if found > seen or now - said > _QUIET:
                seen, said = found, now
                print(f"sandbox: built {self._state(name, self._built + found)}", flush=True)

    def _state(self, name: str, built: int) -> str:
        left = f", {roughly(self.left(name))} to go" if built < self._programs else ""
        return f"{built} of {self._programs} programs{left}"

"""`make test`: pytest over all its tests, with the gates and the molecule scenarios beside it. Arguments are pytest's.

A step that fails does not keep the others from running: one run tells all. The sandbox is taken down again when it was
not up before. pytest's closing line comes last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence

from tests.sandbox import environment as sandbox_environment
from tests.sandbox.paths import CHECKOUT

#: Workers; how many of them have a test at a time is for the load to say (tests/integration/load.py). A file's tests
#: stay together, since they share fixtures. In the order given: the quick ones fill up the end.
SIDE_BY_SIDE = (f"--numprocesses={3 * (os.cpu_count() or 1)}", "--dist=loadfile", "--no-loadscope-reorder")
SLOWEST = "--durations=20"
#: Lines of a step that failed, shown once more at the very end: a log that keeps its end alone tells the cause.
_LAST_LINES = 40


def announce(name: str, code: int, seconds: float) -> None:
    print(f"test: {name}: {'ok' if code == 0 else f'FAILED ({code})'}, {seconds:.0f} s", flush=True)


class Beside:
    """A step that runs while others do; what it prints is shown in one piece at its end."""

    def __init__(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> None:
        print(f"test: {name}", flush=True)
        self.name, self.code, self.ended_with = name, 0, ""
        self._thread = threading.Thread(target=self._run, args=(command, env), name=name)
        self._thread.start()

    def _run(self, command: Sequence[str], env: Mapping[str, str] | None) -> None:
        started = time.monotonic()
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            done = subprocess.run(
                command, cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            output.seek(0)
            said = output.read().rstrip()
            self.code, self.ended_with = done.returncode, "\n".join(said.splitlines()[-_LAST_LINES:])
            print(f"\n{said}", flush=True)
        announce(self.name, self.code, time.monotonic() - started)

    def wait(self) -> None:
        """Until its end."""
        self._thread.join()


def sandbox(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.sandbox", *words)


def was_up() -> bool:
    return subprocess.run(sandbox("status"), cwd=CHECKOUT, capture_output=True, check=False).returncode == 0


def pytest(folders: Sequence[str], env: Mapping[str, str], beside: Sequence[Beside]) -> int:
    """Its exit code; its closing line is held back until all that runs beside it has ended."""
    command = (sys.executable, "-u", "-m", "pytest", "-v", SLOWEST, *SIDE_BY_SIDE, *folders, *sys.argv[1:])
    closing = ""
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if closing:
                print(closing, end="", flush=True)
            closing = line if line.startswith("=") else ""
            if not closing:
                print(line, end="", flush=True)
    for step in beside:
        step.wait()
    for step in beside:
        if step.code:
            print(f"\n{step.ended_with}\ntest: FAILED beside pytest: {step.name}", flush=True)
    print(closing, end="", flush=True)
    return run.returncode


def main() -> int:
    # The unit tests run at the end, with the integration tests, under one closing line.
    gates = Beside("gates", sys.executable, "-m", "tests.gates", "--without", "unit")
    beside, folders, env, started = [gates], ["tests/unit"], dict(os.environ), time.monotonic()
    found_up = was_up()
    try:
        print("test: sandbox", flush=True)
        up = subprocess.run(sandbox("up"), cwd=CHECKOUT, stdin=subprocess.DEVNULL, check=False).returncode
        announce("sandbox", up, time.monotonic() - started)
        # For the integration test on the newest ansible-core; the gate of that name finds it made.
        subprocess.run(
            [sys.executable, "-m", "tests.gates.venv", "--newest"], cwd=CHECKOUT, capture_output=True, check=False
        )
        if up == 0:
            env |= sandbox_environment.read()
            folders.insert(0, "tests/integration")
            beside.append(Beside("molecule", sys.executable, "-m", "tests.gates.molecule", env=env))
        code = pytest(folders, env, beside)
    finally:
        for step in beside:
            step.wait()
        if not found_up:
            # Silent: pytest's closing line is to be the last.
            subprocess.run(sandbox("down"), cwd=CHECKOUT, stdout=subprocess.DEVNULL, check=False)
    return 1 if code or up or any(step.code for step in beside) else 0


if __name__ == "__main__":
    sys.exit(main())

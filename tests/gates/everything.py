"""`make test`: the gates, the molecule scenarios, and pytest over all its tests, whose closing line comes last.

A step that fails does not keep the next from running: one run tells all. The sandbox is taken down again when it was
not up before. Arguments are pytest's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping

from tests.sandbox import environment as sandbox_environment
from tests.sandbox.paths import CHECKOUT

from .gate import BIN

#: Most of a test's time is a pod's. A file's tests stay together, since they share fixtures; tests/integration/turns.py
#: says which run alone. In the order given: the quick ones fill up the end.
SIDE_BY_SIDE = ("--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder")


def step(name: str, *command: str, env: Mapping[str, str] | None = None) -> bool:
    """Runs a step with its output passed on; whether it went well. Announced, with its seconds at the end."""
    print(f"test: {name}", flush=True)
    started = time.monotonic()
    code = subprocess.run(command, cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL, check=False).returncode
    print(f"test: {name}: {'ok' if code == 0 else f'FAILED ({code})'}, {time.monotonic() - started:.0f} s", flush=True)
    return code == 0


def sandbox(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.sandbox", *words)


def was_up() -> bool:
    return subprocess.run(sandbox("status"), cwd=CHECKOUT, capture_output=True, check=False).returncode == 0


def main() -> int:
    # The unit tests run at the end, with the integration tests, under one closing line.
    results = {"gates": step("gates", sys.executable, "-m", "tests.gates", "--without", "unit")}
    found_up = was_up()
    env = dict(os.environ)
    folders = ["tests/unit"]
    try:
        results["sandbox"] = step("sandbox", *sandbox("up"))
        if results["sandbox"]:
            env |= sandbox_environment.read()
            folders.insert(0, "tests/integration")
            results["molecule"] = step("molecule", str(BIN / "molecule"), "test", "--all", env=env)
        failed = [name for name, went_well in results.items() if not went_well]
        if failed:
            print(f"test: FAILED before pytest: {', '.join(failed)}", flush=True)
        pytest = (sys.executable, "-m", "pytest", "-v", *SIDE_BY_SIDE, *folders, *sys.argv[1:])
        code = subprocess.run(pytest, cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL, check=False).returncode
    finally:
        if not found_up:
            # Silent: pytest's closing line is to be the last.
            subprocess.run(sandbox("down"), cwd=CHECKOUT, stdout=subprocess.DEVNULL, check=False)
    return 1 if code or failed else 0


if __name__ == "__main__":
    sys.exit(main())

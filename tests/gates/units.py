"""The unit tests, on the Python and ansible-core of `.venv`, and on the newest that an interpreter here allows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.sandbox.paths import CHECKOUT

from .gate import GateFailed, NotRun, environment, last_line, run
from .venv import NOT_RUN


def unit() -> str:
    return last_line(run("python", "-m", "pytest", "-q", "tests/unit")).strip("= ")


def newest() -> str:
    made = subprocess.run(
        [sys.executable, "-m", "tests.gates.venv", "--newest"],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode == NOT_RUN:
        raise NotRun(last_line(made.stderr))
    if made.returncode:
        raise GateFailed(made.stderr)
    python = Path(made.stdout.strip()) / "bin" / "python"
    env = environment(PATH=f"{python.parent}:/usr/local/bin:/usr/bin:/bin", PYTHONDONTWRITEBYTECODE="1")
    core = last_line(run(python, "-c", "import ansible; print(ansible.__version__)", env=env))
    said = last_line(run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit", env=env))
    return f"ansible-core {core}: {said.strip('= ')}"

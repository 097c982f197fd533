"""GitHub's workflows: actionlint (syntax, expressions, the shell in them) and zizmor (what an attacker could use).

Both look at the files alone: which inputs an action has, and which arguments a script takes, is for
tests/unit/pipeline/test_workflows.py.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.sandbox import golang
from tests.sandbox.errors import SandboxError
from tests.sandbox.paths import CHECKOUT

from .gate import BIN, GateFailed, NotRun, run

WORKFLOWS = CHECKOUT / ".github" / "workflows"
#: Its go.mod and go.sum say which actionlint: it has no package that holds the program itself.
_MODULE = Path(__file__).parent / "actionlint"
_PACKAGE = "github.com/rhysd/actionlint/cmd/actionlint"


def actionlint() -> Path:
    try:
        return golang.program(_MODULE, _PACKAGE)
    except (SandboxError, subprocess.CalledProcessError) as why:
        raise GateFailed(f"actionlint was not built: {why}") from None


def workflows() -> str:
    files = sorted([*WORKFLOWS.glob("*.yml"), *WORKFLOWS.glob("*.yaml")])
    if not files:
        raise NotRun("no workflows")
    said = []
    try:
        # No pyflakes: the Python of a workflow is in scripts, which ruff reads.
        run(actionlint(), "-no-color", f"-shellcheck={BIN / 'shellcheck'}", "-pyflakes=", *files)
    except GateFailed as why:
        said.append(str(why))
    try:
        options = ("--offline", "--persona=pedantic", "--strict-collection", "--no-progress", "--color=never")
        run("zizmor", *options, "--quiet", "--render-links=never", ".")
    except GateFailed as why:
        said.append(str(why))
    if said:
        raise GateFailed("\n".join(said))
    return f"{len(files)} workflows"

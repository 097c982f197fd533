"""Runs the gates named on the command line, or all of them, and says of each how long it took.

Two at a time (most wait for files or for one core), the longest first; what the tools of shut gates printed comes last.
Exit status 1 when one is.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from . import docs, package, programs, sanity, style, units, workflows
from .gate import Gate, GateFailed, NotRun

GATES = (
    Gate("sanity", "ansible-test sanity", sanity.sanity),
    Gate("lint", "ansible-lint, profile production", style.ansible_lint),
    Gate("docs", "antsibull-docs", docs.docs),
    Gate("package", "tarball, installed and run by name", package.package),
    Gate("importer", "galaxy-importer", package.importer),
    Gate("mypy", "types", style.mypy),
    Gate("unit", "pytest tests/unit", units.unit),
    Gate("newest", "unit tests, newest ansible-core", units.newest),
    Gate("ee", "ansible-builder create", package.execution_environment),
    Gate("workflows", "actionlint, zizmor", workflows.workflows),
    Gate("changelog", "antsibull-changelog", docs.changelog),
    Gate("docker", "hadolint", programs.docker),
    Gate("shell", "shellcheck", programs.shell),
    Gate("ruff", "ruff format and check", style.ruff),
)


@dataclass(frozen=True)
class Verdict:
    gate: Gate
    word: str
    remark: str
    seconds: float

    def line(self) -> str:
        first = (self.remark.splitlines() or [""])[0] if self.word != "FAILED" else ""
        return (
            f"{self.word:8} {self.gate.name:10} {self.seconds:5.1f} s  {self.gate.what}{': ' if first else ''}{first}"
        )


def look(gate: Gate) -> Verdict:
    started = time.monotonic()
    try:
        word, remark = "ok", gate.look()
    except NotRun as why:
        word, remark = "not run", str(why)
    except GateFailed as why:
        word, remark = "FAILED", str(why)
    return Verdict(gate, word, remark, time.monotonic() - started)


def main() -> int:
    names = [gate.name for gate in GATES]
    options = argparse.ArgumentParser(prog="python -m tests.gates", description=__doc__)
    options.add_argument("gates", nargs="*", metavar="GATE", help=", ".join(names))
    options.add_argument("--without", action="append", default=[], metavar="GATE", choices=names)
    chosen = options.parse_args()
    unknown = sorted(set(chosen.gates) - set(names))
    if unknown:
        options.error(f"no gate {', '.join(unknown)}; there are: {', '.join(names)}")
    gates = [gate for gate in GATES if gate.name in (chosen.gates or names) and gate.name not in chosen.without]
    started, shut = time.monotonic(), []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in as_completed([pool.submit(look, gate) for gate in gates]):
            verdict = done.result()
            print(verdict.line(), flush=True)
            if verdict.word == "FAILED":
                shut.append(verdict)
    print(f"gates: {len(gates) - len(shut)} of {len(gates)} open after {time.monotonic() - started:.0f} s", flush=True)
    for verdict in shut:
        print(f"\n{verdict.remark}\ngates: shut: {verdict.gate.name}", flush=True)
    return 1 if shut else 0


if __name__ == "__main__":
    sys.exit(main())

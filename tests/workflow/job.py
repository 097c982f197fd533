"""One job of a workflow: its steps, in a workspace, a home and a temporary folder of their own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.workflow.actions import Action, JobContext, StepFailed, action, hash_files
from tests.workflow.event import WorkflowError, known
from tests.workflow.expressions import Scope, condition, interpolate
from tests.workflow.values import Value, text, truthy

_KEYS = {"id", "if", "name", "uses", "run", "working-directory", "shell", "with", "env", "continue-on-error"}
_UNHEEDED = {"timeout-minutes"}
_SHELLS = {"": "bash -e {0}", "bash": "bash --noprofile --norc -eo pipefail {0}", "sh": "sh -e {0}"}
_RUNNER: dict[str, Value] = {"os": "Linux", "arch": "X64", "name": "test", "environment": "github-hosted"}
#: What a step's `if:` may name: everything but the secrets.
_OF_IF = "github needs vars inputs env steps job runner"


@dataclass(frozen=True)
class Step:
    """What became of a step. `outcome` is before `continue-on-error`, `conclusion` after it."""

    name: str
    id: str = ""
    outcome: str = "skipped"
    conclusion: str = "skipped"
    outputs: Mapping[str, str] = field(default_factory=dict)
    #: The whole environment, and the inputs, as they were handed to it.
    env: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    log: str = ""


@dataclass
class JobRun:
    """Runs the steps of a job that is not skipped. `scope` has what the job's `if:` could name."""

    name: str
    workflow: Mapping[str, Any]
    spec: Mapping[str, Any]
    github: Mapping[str, Value]
    secrets: Mapping[str, str]
    scope: Scope
    machine: Mapping[str, str]
    actions: Mapping[str, Action]
    origin: Path
    artifacts: Path
    folder: Path
    steps: list[Step] = field(default_factory=list)
    path: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workspace, self.home, self.temp = (self.folder / name for name in ("workspace", "home", "temp"))
        for place in (self.workspace, self.home, self.temp):
            place.mkdir(parents=True)
        event = self.temp / "event.json"
        event.write_text(json.dumps(self.github["event"]))
        self.github = {**self.github, "job": self.name, "workspace": str(self.workspace), "event_path": str(event)}
        self.scope = self.scope.knowing(github=self.github, secrets=self.secrets)
        outer = texts(self.workflow.get("env"), self.scope.only("github secrets inputs vars"))
        self.env = outer | texts(self.spec.get("env"), self.scope)
        self.defaults = {**_defaults(self.workflow), **_defaults(self.spec)}
        runner: dict[str, Value] = {**_RUNNER, "temp": str(self.temp)}
        self.scope = self.scope.knowing(runner=runner).calling(hashFiles=partial(hash_files, self.workspace))
        self.fixed = {f"GITHUB_{key.upper()}": value for key, value in self.github.items() if isinstance(value, str)}
        self.fixed |= {f"RUNNER_{key.upper()}": text(value) for key, value in runner.items()}
        self.fixed |= {"GITHUB_ACTIONS": "true"}
        del self.fixed["GITHUB_TOKEN"]  # steps have it only where the workflow hands it to them

    def run(self) -> None:
        for spec in self.spec["steps"]:
            self._step(spec)

    def outputs(self) -> dict[str, str]:
        """The job's outputs. As GitHub does, one in which a secret is seen is withheld."""
        outputs = texts(self.spec.get("outputs"), self._known_now())
        secrets = [secret for secret in self.secrets.values() if secret]
        return {name: value for name, value in outputs.items() if not any(secret in value for secret in secrets)}

    @property
    def result(self) -> str:
        return "failure" if any(step.conclusion == "failure" for step in self.steps) else "success"

    def _known_now(self) -> Scope:
        """What an expression may name at this point of the job."""
        steps: dict[str, Value] = {
            step.id: {"outputs": step.outputs, "outcome": step.outcome, "conclusion": step.conclusion}
            for step in self.steps
            if step.id
        }
        return self.scope.knowing(env=dict(self.env), steps=steps, job={"status": self.result})

    def _step(self, spec: Mapping[str, Any]) -> None:
        """Runs a step, or skips it, and notes what became of it."""
        known(spec, _KEYS | _UNHEEDED, f"a step of job {self.name}")
        if ("uses" in spec) == ("run" in spec):
            raise WorkflowError(f"a step of job {self.name} has not one of `uses` and `run`")
        scope = self._known_now()
        own = texts(spec.get("env"), scope)
        scope = scope.knowing(env={**self.env, **own})
        name = spec.get("name") or f"Run {spec.get('uses') or spec['run'].splitlines()[0]}"
        step = Step(text(interpolate(name, scope)), spec.get("id", ""))
        well = self.result == "success"
        if condition(spec.get("if"), scope.only(_OF_IF).calling(**status(well, not well))):
            step = self._done(replace(step, env=self._environment(own)), spec, scope)
        self.steps.append(step)

    def _environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """All variables of a step. What GitHub sets, a workflow cannot change."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "CI": "true"}
        env |= {**self.machine, **self.env, **own, **self.fixed}
        env["PATH"] = ":".join([*reversed(self.path), env["PATH"]])
        for name in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY"):
            file = self.temp / "_runner_file_commands" / f"{name.lower()}_{len(self.steps)}"
            file.parent.mkdir(exist_ok=True)
            file.touch()
            env[f"GITHUB_{name}"] = str(file)
        return env

    def _done(self, step: Step, spec: Mapping[str, Any], scope: Scope) -> Step:
        """The step, once it ran."""
        log = self.folder / "logs" / f"{len(self.steps):02}.log"
        log.parent.mkdir(exist_ok=True)
        step = replace(step, inputs=texts(spec.get("with"), scope))
        outputs: dict[str, str] = {}
        failures: list[str] = []
        with _noting(failures):
            if "uses" in spec:
                outputs |= action(spec["uses"], self.actions)(step.inputs, self._context(step.env)) or {}
            else:
                self._script(spec, scope, step.env, log)
        with _noting(failures):  # a step that failed has said what it said
            outputs |= assignments(Path(step.env["GITHUB_OUTPUT"]))
            self.env |= assignments(Path(step.env["GITHUB_ENV"]))
        self.path += [line for line in _read(Path(step.env["GITHUB_PATH"])).splitlines() if line]
        outcome = "failure" if failures else "success"
        forgiven = truthy(interpolate(spec.get("continue-on-error"), scope))
        return replace(
            step,
            outcome=outcome,
            conclusion="success" if forgiven else outcome,
            outputs=outputs,
            summary=_read(Path(step.env["GITHUB_STEP_SUMMARY"])),
            log=_read(log) + "".join(f"{failure}\n" for failure in failures),
        )

    def _context(self, env: Mapping[str, str]) -> JobContext:
        return JobContext(
            job=self.name,
            workspace=self.workspace,
            temp=self.temp,
            env=env,
            github=self.github,
            artifacts=self.artifacts,
            origin=self.origin,
        )

    def _script(self, spec: Mapping[str, Any], scope: Scope, env: Mapping[str, str], log: Path) -> None:
        shell = spec.get("shell") or self.defaults.get("shell", "")
        command = _SHELLS.get(shell, shell)
        if "{0}" not in command:
            raise WorkflowError(f"shell {shell!r} is not simulated")
        where = spec.get("working-directory") or self.defaults.get("working-directory", "")
        folder = self.workspace / text(interpolate(where, scope))
        if not folder.is_dir():
            raise StepFailed(f"there is no folder {folder}")
        script = self.temp / f"{len(self.steps):02}.sh"
        script.write_text(text(interpolate(spec["run"], scope)) + "\n", encoding="utf-8")
        words = [word.replace("{0}", str(script)) for word in shlex.split(command)]
        # Into a file: a process that the step leaves behind holds no pipe open that somebody waits for.
        with log.open("wb") as file:
            done = subprocess.run(
                words, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False
            )
        if done.returncode:
            raise StepFailed(f"Process completed with exit code {done.returncode}.")


@contextmanager
def _noting(failures: list[str]) -> Iterator[None]:
    try:
        yield
    except StepFailed as failure:
        failures.append(str(failure))


def status(success: bool, failure: bool) -> dict[str, Any]:
    """The functions that only an `if:` may call. Nothing is ever cancelled here."""
    return {
        "success": lambda: success,
        "failure": lambda: failure,
        "always": lambda: True,
        "cancelled": lambda: False,
    }


def _defaults(spec: Mapping[str, Any]) -> Mapping[str, str]:
    run: Mapping[str, str] = known(spec.get("defaults", {}), {"run"}, "defaults").get("run", {})
    return known(run, {"shell", "working-directory"}, "defaults.run")


def texts(mapping: Mapping[str, Value] | None, scope: Scope) -> dict[str, str]:
    """The values of an `env:`, `with:` or `outputs:`, which are strings whatever they were."""
    return {name: text(interpolate(value, scope)) for name, value in (mapping or {}).items()}


def assignments(file: Path) -> dict[str, str]:
    """What a step wrote to GITHUB_OUTPUT or GITHUB_ENV: `name=value`, or `name<<END`, lines, `END`."""
    values: dict[str, str] = {}
    lines = iter(_read(file).split("\n"))
    for line in filter(None, lines):
        name, sign, value = line.partition("=")
        if "<<" in name:
            name, sign, end = line.partition("<<")
            block = []
            for inner in lines:
                if inner == end:
                    break
                block.append(inner)
            else:
                raise StepFailed(f"Matching delimiter not found {end!r}")
            value = "\n".join(block)
        if not name or not sign:
            raise StepFailed(f"Invalid format {line!r}")
        values[name] = value
    return values


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

"""Runs a workflow file's jobs: the order, the conditions and the outputs are GitHub's, the commands run here.

Not simulated, and refused where a workflow has them: matrices, containers and services, reusable workflows, composite
actions. Not heeded: `runs-on`, `concurrency`, time limits. Jobs run one after another. Nothing is cancelled or masked.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.workflow.actions import Action
from tests.workflow.event import Event, WorkflowError, known, load
from tests.workflow.expressions import Scope, condition, interpolate
from tests.workflow.job import JobRun, Step, status
from tests.workflow.values import Value, text

_WORKFLOW = {"name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"}
_JOB = {"name", "needs", "if", "permissions", "environment", "env", "outputs", "defaults", "steps"}
_UNHEEDED = {"runs-on", "concurrency", "timeout-minutes"}


class NotStarted(WorkflowError):
    """The workflow's `on:` does not let this event start it."""


@dataclass(frozen=True)
class Job:
    """What became of a job. `environment`: the deployment environment it entered; one that was skipped entered none."""

    result: str
    permissions: Mapping[str, str] | str | None
    environment: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    workspace: Path | None = None

    def step(self, name: str) -> Step:
        """The step of this id or name."""
        for step in self.steps:
            if name in (step.id, step.name):
                return step
        raise LookupError(f"no step {name!r} among {[step.name for step in self.steps]}")


@dataclass(frozen=True)
class Run:
    """What became of a workflow's run. `artifacts` has a folder for each artifact."""

    jobs: Mapping[str, Job]
    artifacts: Path

    @property
    def results(self) -> dict[str, str]:
        return {name: job.result for name, job in self.jobs.items()}

    @property
    def steps(self) -> list[Step]:
        """All steps of all jobs, in the order they ran."""
        return [step for job in self.jobs.values() for step in job.steps]

    @property
    def log(self) -> str:
        return "".join(step.log for step in self.steps)

    @property
    def summary(self) -> str:
        return "".join(step.summary for step in self.steps)


@dataclass(frozen=True)
class Runner:
    """A workflow, the repository it belongs to, what happened, and what the repository's settings have.

    `checkout` is the repository that actions/checkout clones; `actions` stand for the workflow's other actions.
    `machine`: variables that this machine adds to every step. `environments`: secrets of deployment environments, which
    only the jobs of that environment have. A pull request that is not merged in `checkout` (refs/pull/N/merge) is taken
    to be on top of its base: its commit is its branch's.
    """

    workflow: Path
    checkout: Path
    event: Event
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    actions: Mapping[str, Action]
    folder: Path
    machine: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    token: str = ""
    repository: str = "octo-org/octo-repo"
    actor: str = "octocat"
    run_number: int = 1
    run_attempt: int = 1
    # Names that lead nowhere: a script under test shall not reach the real ones by default.
    server_url: str = "https://github.invalid"
    api_url: str = "https://api.github.invalid"

    def run(self) -> Run:
        """Runs the workflow's jobs."""
        workflow = known(load(self.workflow), _WORKFLOW, self.workflow.name)
        if not self.event.starts(workflow):
            raise NotStarted(f"{self.workflow.name} does not run on this {self.event.name} of {self.event.ref}")
        inputs = self.event.inputs(workflow)
        github = self._github(workflow, inputs)
        scope = Scope({"github": github, "vars": self.variables, "inputs": inputs})
        jobs: dict[str, Job] = {}
        for name in _order(workflow["jobs"]):
            needs: dict[str, Value] = {
                need: {"result": jobs[need].result, "outputs": jobs[need].outputs}
                for need in _needs(workflow["jobs"][name])
            }
            before = {jobs[ancestor].result for ancestor in _ancestors(name, workflow["jobs"])}
            jobs[name] = self._job(name, workflow, github, scope.knowing(needs=needs), before)
        return Run(jobs, self.folder / "artifacts")

    def _github(self, workflow: Mapping[str, Any], inputs: Mapping[str, Value]) -> dict[str, Value]:
        head = self._commit(f"refs/heads/{self.event.head}") if self.event.head else self._commit(self.event.ref)
        ref = self.event.ref
        return {
            "actor": self.actor,
            "api_url": self.api_url,
            "base_ref": self.event.base,
            "event": self.event.payload(self.repository, head, inputs),
            "event_name": self.event.name,
            "head_ref": self.event.head,
            "ref": ref,
            "ref_name": ref.split("/", 2)[2],
            "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
            "repository": self.repository,
            "repository_owner": self.repository.partition("/")[0],
            "run_attempt": str(self.run_attempt),
            "run_id": f"{1_000_000 + self.run_number}",
            "run_number": str(self.run_number),
            "server_url": self.server_url,
            "sha": self._commit(ref) or head,
            "triggering_actor": self.actor,
            "workflow": workflow.get("name", self.workflow.name),
        }

    def _commit(self, ref: str) -> str:
        """The commit of a ref of the repository; '' for a pull request that is not merged there."""
        words = ["git", "-C", str(self.checkout), "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode and not ref.startswith("refs/pull/"):
            raise WorkflowError(f"{self.checkout} has no {ref}")
        return done.stdout.strip()

    def _job(
        self, name: str, workflow: Mapping[str, Any], github: Mapping[str, Value], scope: Scope, before: set[str]
    ) -> Job:
        """A job, run or skipped. `before`: the results of all the jobs it needs, and of those that these need."""
        spec = known(workflow["jobs"][name], _JOB | _UNHEEDED, f"job {name}")
        permissions = spec.get("permissions", workflow.get("permissions"))
        if not condition(spec.get("if"), scope.calling(**status(before <= {"success"}, "failure" in before))):
            return Job("skipped", permissions)
        place = spec.get("environment", "")
        if not isinstance(place, str):
            place = known(place, {"name", "url", "deployment"}, f"environment of job {name}")["name"]
        environment = text(interpolate(place, scope))
        job = JobRun(
            name=name,
            workflow=workflow,
            spec=spec,
            github={**github, "token": self.token},
            secrets=self._secrets(environment),
            scope=scope,
            machine=self.machine,
            actions=self.actions,
            origin=self.checkout,
            artifacts=self.folder / "artifacts",
            folder=self.folder / "jobs" / name,
        )
        job.run()
        return Job(job.result, permissions, environment, job.outputs(), tuple(job.steps), job.workspace)

    def _secrets(self, environment: str) -> dict[str, str]:
        """What a job of this environment has. A pull request from a fork has the token alone."""
        token = {"GITHUB_TOKEN": self.token} if self.token else {}
        return token if self.event.fork else {**self.secrets, **self.environments.get(environment, {}), **token}


def _needs(spec: Mapping[str, Any]) -> list[str]:
    needs = spec.get("needs", [])
    return [needs] if isinstance(needs, str) else list(needs)


def _ancestors(name: str, jobs: Mapping[str, Any]) -> set[str]:
    needs = _needs(jobs[name])
    return set(needs).union(*(_ancestors(need, jobs) for need in needs))


def _order(jobs: Mapping[str, Any]) -> Iterable[str]:
    """The jobs, each after those it needs."""
    done: list[str] = []
    while waiting := [name for name in jobs if name not in done]:
        ready = [name for name in waiting if set(_needs(jobs[name])) <= set(done)]
        if not ready:
            raise WorkflowError(f"jobs that are not there, or need each other: {', '.join(waiting)}")
        done.append(ready[0])
    return done

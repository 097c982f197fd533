"""Who may do what in a workflow file: secrets, environments, rights. Each rule returns its complaints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .workflow_files import Job, Workflow, expressions

#: GitHub's own for each run. It is no setting of the repository.
_GITHUBS_OWN = "GITHUB_TOKEN"
#: Conditions of which one alone keeps a job from running on a pull request.
_NOT_ON_PULL_REQUESTS = (
    "github.event_name != 'pull_request'",
    "github.event_name == 'push'",
    "github.event_name == 'schedule'",
    "github.event_name == 'workflow_dispatch'",
    "github.ref == 'refs/heads/main'",
)


def settings_named(workflow: Workflow) -> set[tuple[str, str]]:
    """(kind, name) of the repository's settings that a workflow reads: secrets and variables."""
    found = re.findall(r"(?<![\w.-])(secrets|vars)\.(\w+)", "\n".join(expressions(workflow.raw)))
    kinds = {"secrets": "secret", "vars": "variable"}
    return {(kinds[context], name) for context, name in found if name != _GITHUBS_OWN}


def unclear_settings(workflow: Workflow) -> list[str]:
    """Each is read by its name: what hands all of them on cannot be held against a table."""
    said = []
    for text in expressions(workflow.raw):
        if re.search(r"(?<![\w.-])(secrets|vars)(?!\.\w|[\w-])", text):
            said.append(f"{workflow.name}: {text.strip()}: name the one that is meant")
        said += [
            f"{workflow.name}: say github.token instead of secrets.{name}"
            for name in re.findall(rf"(?<![\w.-])secrets\.({_GITHUBS_OWN})\b", text)
        ]
    return said


def runs_on_pull_requests(job: Job, jobs: Mapping[str, Job], events: list[str]) -> bool:
    """Whether a pull request's run may reach the job, by its condition and by the jobs that it waits for."""
    if "pull_request" not in events:
        return False
    condition = job.condition
    # A parenthesis may hold an `or`: it counts as one part, which is none of those that exclude.
    parts = [part.strip() for part in re.sub(r"\([^()]*\)", "(…)", condition).split("&&")]
    if "||" not in re.sub(r"\([^()]*\)", "", condition) and any(part in _NOT_ON_PULL_REQUESTS for part in parts):
        return False
    if re.search(r"\b(always|cancelled|failure)\(", condition):
        return True
    return all(runs_on_pull_requests(jobs[name], jobs, events) for name in job.needs if name in jobs)


def secrets_on_pull_requests(workflow: Workflow) -> list[str]:
    """A pull request may hold anybody's code: its jobs have no secret, no environment, and no right to write."""
    said = [
        f"{workflow.name}: {event} gives a stranger's pull request this repository's rights"
        for event in workflow.events
        if event in ("pull_request_target", "workflow_run")
    ]
    if "pull_request" in workflow.events and "secrets." in "\n".join(expressions(dict(workflow.env))):
        said.append(f"{workflow.name}: a secret in the environment of all jobs")
    for job in workflow.jobs.values():
        if not runs_on_pull_requests(job, workflow.jobs, workflow.events):
            continue
        if re.search(r"(?<![\w.-])secrets\b", "\n".join(expressions(job.raw))):
            said.append(f"{job.where}: names a secret, and runs on pull requests")
        if job.environment:
            said.append(f"{job.where}: is in the environment {job.environment}, and runs on pull requests")
        rights = job.raw.get("permissions") or {}
        writes = [name for name, right in rights.items() if right == "write"] if isinstance(rights, Mapping) else []
        said += [f"{job.where}: may write {name}, and runs on pull requests" for name in writes]
    return said


def loose_rights(workflow: Workflow) -> list[str]:
    """No right that a job does not name; each job ends by itself."""
    said = []
    if workflow.raw.get("permissions") != {}:
        said.append(f"{workflow.name}: permissions at the top are not {{}}")
    for job in workflow.jobs.values():
        rights = job.raw.get("permissions")
        if not isinstance(rights, Mapping):
            said.append(f"{job.where}: names no permissions of its own")
        if "timeout-minutes" not in job.raw:
            said.append(f"{job.where}: has no timeout-minutes")
    return said


# The documented settings


@dataclass(frozen=True)
class Setting:
    name: str
    kind: str
    #: The environment that a secret is in; empty for the repository itself.
    environment: str


def documented(page: str) -> list[Setting]:
    """The rows of a page's table whose first cell is a name in backticks and whose second says secret or variable."""
    found = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        name = re.fullmatch(r"`([A-Z][A-Z0-9_]*)`", cells[0])
        if name and len(cells) > 2 and cells[1] in ("secret", "variable"):
            place = re.fullmatch(r"environment `([\w-]+)`", cells[2])
            found.append(Setting(name[1], cells[1], place[1] if place else ""))
    return found


def misplaced_secrets(workflow: Workflow, settings: list[Setting]) -> list[str]:
    """A secret that is kept in an environment is empty in a job outside of it."""
    places = {setting.name: setting.environment for setting in settings if setting.kind == "secret"}
    said = []
    for job in workflow.jobs.values():
        for name in sorted(set(re.findall(r"(?<![\w.-])secrets\.(\w+)", "\n".join(expressions(job.raw))))):
            if places.get(name) and job.environment != places[name]:
                said.append(f"{job.where}: {name} is in the environment {places[name]}, and the job is not")
    return said

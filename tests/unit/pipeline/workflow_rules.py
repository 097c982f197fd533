"""What must be so in a workflow file. Each rule is a function that returns its complaints: empty when all is well."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import workflow_scripts as scripts
from .workflow_files import CHECKOUT, Command, Job, Step, Workflow, commands, expressions

PINS = CHECKOUT / "tests" / "pins"
#: How an interpreter is called without saying which script of ours runs.
_INTERPRETERS = ("bash", "python", "python3", "sh")


@dataclass(frozen=True)
class Action:
    """A line of actions.tsv, and those of actions-inputs.tsv."""

    release: str
    commit: str
    inputs: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()


def table(folder: Path = PINS) -> dict[str, Action]:
    names = {(action, kind): frozenset(listed.split()) for action, kind, listed in _rows(folder / "actions-inputs.tsv")}
    kinds = ("inputs", "required", "outputs")
    return {
        action: Action(release, commit, *(names.get((action, kind), frozenset()) for kind in kinds))
        for action, release, commit in _rows(folder / "actions.tsv")
    }


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            first, second, third = line.split("\t")
            yield first, second, third


# Actions


def unpinned(workflow: Workflow, known: Mapping[str, Action]) -> list[str]:
    """Each `uses:` is a commit of the table, with the table's release as the comment on its line."""
    said = [f"{job.where}: calls another workflow" for job in workflow.jobs.values() if "uses" in job.raw]
    lines = re.findall(r"^\s*(?:- )?uses:[ \t]*(\S*)[ \t]*(.*)$", workflow.text, re.MULTILINE)
    if sorted(used for used, _comment in lines) != sorted(step.uses for step in workflow.steps if step.uses):
        return [*said, f"{workflow.name}: a `uses:` has no line of its own"]
    for used, comment in lines:
        action, _at, commit = used.partition("@")
        wanted = known.get(action)
        if wanted is None:
            said.append(f"{workflow.name}: {action} is not in the table")
        elif commit != wanted.commit:
            said.append(f"{workflow.name}: {used} is not {wanted.release}, which is {wanted.commit}")
        elif comment != f"# {wanted.release}":
            said.append(f"{workflow.name}: {action} says {comment!r} instead of '# {wanted.release}'")
    return said


def wrong_inputs(workflow: Workflow, known: Mapping[str, Action]) -> list[str]:
    said = []
    for step in workflow.steps:
        if not step.uses:
            continue
        action = known.get(step.action, Action("", ""))
        given = set(step.raw.get("with") or {})
        said += [f"{step.where}: {step.action} has no input {name}" for name in sorted(given - action.inputs)]
        said += [f"{step.where}: {step.action} wants {name}" for name in sorted(action.required - given)]
    return said


# What one step or job gives the next


def missing_outputs(workflow: Workflow, known: Mapping[str, Action]) -> list[str]:
    """Each output that is read is one that an earlier step, or a job that is waited for, has."""
    said, jobs = [], workflow.jobs
    for job in jobs.values():
        seen: dict[str, frozenset[str]] = {}
        for step in job.steps:
            said += _misread(step.where, step.raw, seen, job, jobs)
            if step.id:
                seen[step.id] = _outputs(step, known)
        of_job = {name: value for name, value in job.raw.items() if name != "steps"}
        said += _misread(job.where, of_job, seen, job, jobs)
    return said


def _outputs(step: Step, known: Mapping[str, Action]) -> frozenset[str]:
    if step.uses:
        return known.get(step.action, Action("", "")).outputs
    called = (command.program for command in commands(step.run) if command.is_script)
    return frozenset().union(*(scripts.outputs_of(script) for script in called if (CHECKOUT / script).is_file()))


def _misread(
    where: str, node: object, seen: Mapping[str, frozenset[str]], job: Job, jobs: Mapping[str, Job]
) -> list[str]:
    said = []
    for text in expressions(node):
        for context, rest in re.findall(r"(?<![\w.-])(steps|needs)(?![\w-])((?:\.[\w-]+)*)", text):
            read = f"{where}: {context}{rest}"
            parts = rest.split(".")[1:]
            name, kind, output = (*parts, "", "", "")[:3]
            if context == "needs" and name not in job.needs:
                said.append(f"{read}: the job does not wait for that one")
            elif context == "steps" and name not in seen:
                said.append(f"{read}: no step before it has that id")
            elif kind != "outputs":
                plain = ("result",) if context == "needs" else ("outcome", "conclusion")
                said += [] if kind in plain and not output else [f"{read}: say which output"]
            else:
                has = seen[name] if context == "steps" else frozenset(jobs[name].raw.get("outputs") or {})
                said += [] if output in has and len(parts) == 3 else [f"{read}: has no such output"]
    return said


# What a `run:` calls


def wrong_calls(workflow: Workflow) -> list[str]:
    """Scripts and targets are there, and take the arguments."""
    said = []
    for step in workflow.steps:
        for command in commands(step.run):
            said += [f"{step.where}: {command.program} {why}" for why in _wrong_call(command)]
            if command.program in _INTERPRETERS:
                said.append(f"{step.where}: call the script by its own name, without {command.program}")
        if "|" in step.run and step.raw.get("shell") != "bash":
            said.append(f"{step.where}: without `shell: bash` a pipe hides the failure of all but its last command")
    return said


def _wrong_call(command: Command) -> list[str]:
    words = command.words[1:]
    if command.program == "make":
        named = [word for word in words if not word.startswith("-") and "=" not in word]
        return [f"has no target {name}" for name in named if name not in scripts.targets()]
    if not command.is_script:
        return []
    path = CHECKOUT / command.program
    if not path.is_file():
        return ["is not there"]
    if not path.stat().st_mode & 0o100:
        return ["is not executable"]
    return scripts.wrong_arguments(command.program, words)


def wrong_environment(workflow: Workflow) -> list[str]:
    """Each variable that is set is read by what it is set for, and reaches it."""
    said: list[str] = []
    of_workflow: set[str] = set()
    for job in workflow.jobs.values():
        of_job: set[str] = set()
        for step in job.steps:
            called = [command for command in commands(step.run) if _is_ours(command)]
            read = {command: scripts.names_read(command.program) for command in called}
            in_text = scripts.shell_names(step.run)
            all_read = in_text.union(*read.values())
            of_job |= all_read | _by_expression(step)
            set_here = set(step.env).union(*(command.assigned for command in called))
            if step.uses:
                said += [f"{step.where}: an action takes inputs, not {name}" for name in sorted(set_here)]
                continue
            said += [f"{step.where}: nothing that it calls reads {name}" for name in sorted(set_here - all_read)]
            for command, names in read.items():
                lost = set(step.env) & names - (command.kept or frozenset())
                if command.kept is not None and lost:
                    said.append(f"{step.where}: sudo keeps {', '.join(sorted(lost))} from {command.program}")
        said += [f"{job.where}: no step reads {name}" for name in sorted(set(job.env) - of_job)]
        of_workflow |= of_job
    said += [f"{workflow.name}: no step reads {name}" for name in sorted(set(workflow.env) - of_workflow)]
    return said


def _is_ours(command: Command) -> bool:
    return command.program == "make" or (command.is_script and (CHECKOUT / command.program).is_file())


def _by_expression(step: Step) -> frozenset[str]:
    return frozenset(name for text in expressions(step.raw) for name in re.findall(r"\benv\.(\w+)", text))


def forgotten_environment(workflows: list[Workflow]) -> list[str]:
    """Each variable that a script's --help asks for is set by a step that calls it. GitHub sets its own everywhere."""
    given: dict[str, set[str]] = {}
    for workflow in workflows:
        for job in workflow.jobs.values():
            for step in job.steps:
                for command in commands(step.run):
                    if _is_ours(command) and command.program != "make":
                        names = {*workflow.env, *job.env, *step.env, *command.assigned}
                        given.setdefault(command.program, set()).update(names)
    return [
        f"{script}: its --help asks for {name}, and no step that calls it sets that"
        for script, names in given.items()
        if scripts.is_python(CHECKOUT / script)
        for name in sorted(scripts.names_wanted(script) - names)
        if not name.startswith("GITHUB_")
    ]


def expressions_in_commands(workflow: Workflow) -> list[str]:
    """A value that somebody else chose would become part of the shell's text. It comes by the environment."""
    return [f"{step.where}: ${{{{ stands in a run:" for step in workflow.steps if "${{" in step.run]

"""GitHub's workflow files as values: jobs, steps, the expressions in them, and the commands of a `run:`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.workflow import event

CHECKOUT = Path(__file__).resolve().parents[3]
FOLDER = CHECKOUT / ".github" / "workflows"

#: What of a shell's line ends one command and begins another, or sends its output elsewhere.
_BETWEEN = re.compile(r"[;|&()\n]+")
_REDIRECTION = re.compile(r"[<>|&]*[<>][<>|&]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Step:
    where: str
    raw: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.raw.get("id", ""))

    @property
    def uses(self) -> str:
        return str(self.raw.get("uses", ""))

    @property
    def action(self) -> str:
        """owner/name, or owner/name/path, without the commit; empty for a step that runs commands."""
        return self.uses.partition("@")[0]

    @property
    def run(self) -> str:
        return str(self.raw.get("run", ""))

    @property
    def env(self) -> Mapping[str, Any]:
        return self.raw.get("env") or {}


@dataclass(frozen=True)
class Job:
    name: str
    where: str
    raw: Mapping[str, Any]

    @property
    def steps(self) -> list[Step]:
        listed = self.raw.get("steps") or []
        return [
            Step(f"{self.where}, step {number} ({step.get('name') or step.get('uses') or '…'})", step)
            for number, step in enumerate(listed, 1)
        ]

    @property
    def needs(self) -> list[str]:
        return several(self.raw.get("needs"))

    @property
    def condition(self) -> str:
        return unwrapped(str(self.raw.get("if", "")))

    @property
    def environment(self) -> str:
        named = self.raw.get("environment") or ""
        return str(named.get("name", "")) if isinstance(named, Mapping) else str(named)

    @property
    def env(self) -> Mapping[str, Any]:
        return self.raw.get("env") or {}


@dataclass(frozen=True)
class Workflow:
    name: str
    text: str
    raw: Mapping[str, Any]

    @property
    def events(self) -> list[str]:
        return several(self.raw.get("on"))

    @property
    def jobs(self) -> dict[str, Job]:
        jobs = self.raw.get("jobs") or {}
        return {name: Job(name, f"{self.name}, job {name}", raw) for name, raw in jobs.items()}

    @property
    def steps(self) -> list[Step]:
        return [step for job in self.jobs.values() for step in job.steps]

    @property
    def env(self) -> Mapping[str, Any]:
        return self.raw.get("env") or {}


def parse(text: str, name: str = "a.yml") -> Workflow:
    return Workflow(name, text, event.parse(text))


def all_workflows() -> list[Workflow]:
    files = sorted([*FOLDER.glob("*.yml"), *FOLDER.glob("*.yaml")])
    return [parse(file.read_text(), file.name) for file in files]


def several(value: Any) -> list[str]:
    """What may be one name, a list of names, or names with something under them."""
    return [value] if isinstance(value, str) else list(value or [])


def unwrapped(text: str) -> str:
    """An `if:` with or without its ${{ }}."""
    inner = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", text, re.DOTALL)
    return (inner[1] if inner else text).strip()


def expressions(node: Any, key: object = "") -> Iterator[str]:
    """The text of every expression below: what stands in ${{ }}, and an `if:`, which needs none."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from expressions(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)
    elif isinstance(node, str):
        if key == "if":
            yield unwrapped(node)
        else:
            yield from re.findall(r"\$\{\{(.*?)\}\}", node, re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One command of a `run:`. `kept`: the variables that reach it; None for all of them (it is not run by sudo)."""

    words: tuple[str, ...]
    assigned: frozenset[str] = frozenset()
    kept: frozenset[str] | None = None

    @property
    def program(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def is_script(self) -> bool:
        """A program of the checkout, called by its path."""
        return "/" in self.program and not self.program.startswith(("/", "$", "~"))


def commands(run: str) -> list[Command]:
    """The commands of a `run:`, in order. Enough of a shell's grammar for lines that call programs."""
    found = []
    for line in re.sub(r"\\\n", " ", run).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "\n"]:
            if _BETWEEN.fullmatch(word):
                if words:
                    found.append(_command(_without_redirections(words)))
                words = []
            else:
                words.append(word)
    return found


def _without_redirections(words: list[str]) -> list[str]:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if _REDIRECTION.fullmatch(word):
            if kept and kept[-1].isdigit():
                kept.pop()
            next(rest, None)
        else:
            kept.append(word)
    return kept


def _command(words: list[str]) -> Command:
    assigned, words = _assignments(words)
    if not words or words[0] != "sudo":
        return Command(tuple(words), assigned)
    kept, rest = set(), words[1:]
    while rest and rest[0].startswith("-"):
        option, _equals, names = rest.pop(0).partition("=")
        if option == "--preserve-env" and names:
            kept |= set(names.split(","))
    given, rest = _assignments(rest)
    return Command(tuple(rest), assigned | given, frozenset(kept) | given)


def _assignments(words: list[str]) -> tuple[frozenset[str], list[str]]:
    rest, names = list(words), set()
    while rest and (found := _ASSIGNMENT.fullmatch(rest[0])):
        names.add(found[1])
        rest.pop(0)
    return frozenset(names), rest

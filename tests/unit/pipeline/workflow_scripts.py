"""What a program of the checkout takes and gives, read from itself: arguments, environment, outputs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .workflow_files import CHECKOUT

_PACKAGE = "image_pipeline"
_PIPELINE = CHECKOUT / "base" / "ci"
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
#: What reads the environment behind `make`: the recipes' own programs.
_BEHIND_MAKE = ("tests/gates", "tests/sandbox")


# Arguments


@dataclass(frozen=True)
class Usage:
    """What argparse's line of usage says. Options: name -> whether it takes a value."""

    options: dict[str, bool]
    required: frozenset[str]
    #: Of each positional argument: whether it must be given, and its choices, where it has some.
    positionals: tuple[tuple[bool, tuple[str, ...]], ...]
    #: Whether anything may follow: a subcommand's own arguments.
    open_end: bool


def usage_of(text: str, program: str) -> Usage:
    """`program`: the name, and the subcommand if there is one, with which the line begins."""
    line = re.sub(r"\s+", " ", text.partition("\n\n")[0]).removeprefix(f"usage: {program}").strip()
    options: dict[str, bool] = {}
    required: set[str] = set()
    positionals: list[tuple[bool, tuple[str, ...]]] = []
    open_end = False
    words = re.findall(r"\[[^\]]*\]|\{[^}]*\}|\S+", line)
    while words:
        word = words.pop(0)
        needed = not word.startswith("[")
        inner = word.strip("[]").strip()
        if inner == "...":
            open_end = True
        elif inner.startswith("-"):
            names, _space, value = inner.partition(" ")
            takes = bool(value)
            if needed:
                takes = bool(words) and not words[0].startswith(("[", "-"))
                if takes:
                    words.pop(0)
                required.add(names)
            options[names] = takes
        else:
            choices = tuple(inner[1:-1].split(",")) if inner.startswith("{") else ()
            positionals.append((needed, choices))
    return Usage(options, frozenset(required), tuple(positionals), open_end)


def misfits(usage: Usage, words: Sequence[str]) -> list[str]:
    """Why these arguments are not the ones that the usage describes."""
    said, given, plain = [], set(), []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            plain.append(word)
            continue
        name, equals, _value = word.partition("=")
        given.add(name)
        if name not in usage.options:
            said.append(f"has no option {name}")
        elif usage.options[name] and not equals:
            if not rest:
                said.append(f"wants a value after {name}")
            rest = rest[1:]
    said += [f"wants {name}" for name in sorted(usage.required - given)]
    if len(plain) > len(usage.positionals) and not usage.open_end:
        said.append(f"takes no argument {plain[len(usage.positionals)]!r}")
    for number, (needed, choices) in enumerate(usage.positionals):
        if number >= len(plain):
            if needed:
                said.append(f"wants {'one of ' + ', '.join(choices) if choices else 'another argument'}")
        elif choices and plain[number] not in choices:
            said.append(f"takes no {plain[number]!r}; it takes {', '.join(choices)}")
    return said


@cache
def help_of(script: str, *subcommand: str) -> str:
    """What it prints at --help. Python's programs alone are asked: a shell's may just do its work."""
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / script), *subcommand, "--help"],
        env={"PATH": os.environ.get("PATH", os.defpath), "COLUMNS": "2000", "NO_COLOR": "1", "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def wrong_arguments(script: str, words: Sequence[str]) -> list[str]:
    """Why a script of the checkout does not take these arguments."""
    if not is_python(CHECKOUT / script):
        return [f"is a shell script, and takes no {word!r}" for word in words]
    name = Path(script).name
    usage = usage_of(help_of(script), name)
    if usage.open_end and usage.positionals and words and words[0] in usage.positionals[0][1]:
        of_subcommand = usage_of(help_of(script, words[0]), f"{name} {words[0]}")
        return misfits(of_subcommand, words[1:])
    return misfits(usage, words)


def is_python(path: Path) -> bool:
    with path.open("rb") as file:
        return b"python" in file.readline()


def targets() -> frozenset[str]:
    """What `make` can make: the names before a colon, and a check for each gate."""
    text = (CHECKOUT / "Makefile").read_text()
    listed = re.findall(r"^([a-z][\w -]*):(?!=)", text, re.MULTILINE)
    gates = re.search(r"^GATES := (.*)$", text, re.MULTILINE)
    checks = {f"check-{gate}" for gate in (gates[1].split() if gates else [])}
    return frozenset(name for names in listed for name in names.split()) | checks


# Environment and outputs


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def _imported(tree: ast.Module) -> Iterator[str]:
    """The names of the pipeline's modules that a program imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == _PACKAGE:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_PACKAGE}."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith(f"{_PACKAGE}."))


@cache
def sources(script: str) -> tuple[Path, ...]:
    """The script's own file, and those of the pipeline's modules that it brings, directly or by another."""
    found, waiting = [], [CHECKOUT / script]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.append(path)
        waiting += [_PIPELINE / _PACKAGE / f"{name}.py" for name in _imported(_tree(path))]
    return tuple(found)


def outputs_in(tree: ast.Module) -> set[str]:
    """The names of `output(name=…)` and `tools.output(name=…)`. ValueError where they are not written out."""
    names = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called != "output":
            continue
        for keyword in node.keywords:
            if keyword.arg is None:
                raise ValueError(f"line {node.lineno}: output(**…): the names must be written out")
            names.add(keyword.arg)
    return names


@cache
def outputs_of(script: str) -> frozenset[str]:
    """The outputs of a step that calls the script: those that it writes itself, or the module of its name."""
    path = CHECKOUT / script
    if not is_python(path):
        return frozenset()
    own = (path, _PIPELINE / _PACKAGE / f"{path.name}.py")
    return frozenset().union(*(outputs_in(_tree(source)) for source in own if source in sources(script)))


def names_in(tree: ast.Module) -> set[str]:
    """The texts of a program that could be a variable's name, each a constant of its own: not words of a sentence."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and _NAME.fullmatch(text)}


@cache
def names_read(script: str) -> frozenset[str]:
    """The environment variables that a script, or `make`, reads by its source."""
    if script == "make":
        text = (CHECKOUT / "Makefile").read_text()
        python = [path for folder in _BEHIND_MAKE for path in (CHECKOUT / folder).glob("*.py")]
        in_make = re.findall(r"^([A-Z]\w*) \?=", text, re.MULTILINE)
        return frozenset(in_make).union(*(names_in(_tree(path)) for path in python))
    path = CHECKOUT / script
    if is_python(path):
        return frozenset().union(*(names_in(_tree(source)) for source in sources(script)))
    text = path.read_text()
    by_make = names_read("make") if re.search(r"\bmake\b", text) else frozenset()
    return by_make | shell_names(text)


def shell_names(text: str) -> frozenset[str]:
    """The variables that shell text expands."""
    return frozenset(re.findall(r"\$\{?([A-Za-z_]\w*)", text))


def names_wanted(script: str) -> frozenset[str]:
    """The variables that its --help asks for, in a paragraph that begins with Environment.

    Not those of a paragraph that says optional, nor of a clause that says where: what may be, or what is so without it.
    """
    wanted: set[str] = set()
    for paragraph in help_of(script).split("\n\n"):
        if not paragraph.startswith("Environment") or "optional" in paragraph:
            continue
        for clause in re.split(r"[;.]", paragraph):
            if not re.search(r"\bwhere\b", clause):
                wanted |= set(_NAME.findall(clause))
    return frozenset(wanted) & names_read(script)

"""Copies of modules that import less: without the libraries of clouds that nobody here talks to.

`go build -overlay` is no way to do it: it may replace nothing in Go's module cache.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import golang
from .errors import SandboxError

#: Folders of documentation and web pages, most of some modules.
_NOT_GO = ("docs", "website", "ui", "changelog")


@dataclass(frozen=True)
class Reduction:
    """A module and the changes to its files: path, pattern (`^` and `$` are a line's), and what takes its place.

    A pattern that finds nothing is an error: another version of the module is reduced in another way.
    """

    module: str
    changes: tuple[tuple[str, str, str], ...]


def _change(reduction: Reduction, copy: Path) -> None:
    for path, pattern, replacement in reduction.changes:
        text, found = re.subn(pattern, replacement, (copy / path).read_text(), flags=re.MULTILINE)
        if not found:
            raise SandboxError(f"{reduction.module}: nothing in {path} is like {pattern}")
        (copy / path).write_text(text)


def copies(go: str, module: Path, reductions: Iterable[Reduction], folder: Path) -> Path:
    """Makes the copies in `folder`, and a go.mod that is the one of the folder `module` but for naming them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = [(module / "go.mod").read_text(), "\n"]
    for number, reduction in enumerate(reductions):
        copy = folder / str(number)
        golang.copy(golang.module_folder(go, module, reduction.module), copy, _NOT_GO)
        _change(reduction, copy)
        lines.append(f"replace {reduction.module} => {copy}\n")
    shutil.copyfile(module / "go.sum", folder / "go.sum")
    (folder / "go.mod").write_text("".join(lines))
    return folder / "go.mod"

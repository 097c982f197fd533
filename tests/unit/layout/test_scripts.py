# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that are no modules: a gate reads each, each can be run, and what a gate overlooks has its reason."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.gates import programs, tree

CHECKOUT = Path(__file__).resolve().parents[3]
#: A remark of a linter that is to be overlooked, and what follows the remark's name on its line.
_OVERLOOKED = re.compile(r"(?:hadolint ignore=|shellcheck disable=|zizmor: ignore\[)[\w,-]+\]?(.*)$", re.MULTILINE)


def test_ruff_reads_each_python_program_without_a_suffix() -> None:
    listed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["ruff"]["extend-include"]
    assert sorted(listed) == sorted(programs.python_scripts())


def test_each_program_of_the_checkout_can_be_run() -> None:
    found = [*programs.python_scripts(), *programs.scripts("bash", "sh")]
    assert [name for name in found if not (CHECKOUT / name).stat().st_mode & 0o100] == []


def test_hadolint_reads_each_dockerfile() -> None:
    assert sorted(programs.DOCKERFILES) == [name for name in tree.files() if Path(name).name == "Dockerfile"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("#!/bin/sh", "sh"),
        ("#!/bin/bash -eu", "bash"),
        ("#!/usr/bin/env bash", "bash"),
        ("#!/usr/bin/env -S A=b python3 -u", "python3"),
        ("#! /usr/bin/python", "python"),
        ("# no program", ""),
        ("#!", ""),
    ],
)
def test_a_first_line_names_its_interpreter(line: str, name: str) -> None:
    assert programs.interpreter(line) == name


def unexplained(text: str) -> list[str]:
    """What is overlooked without a reason behind it: ` # because`."""
    return [found[0] for found in _OVERLOOKED.finditer(text) if not re.match(r"\s+#\s+\w", found[1])]


def test_what_a_linter_overlooks_has_its_reason_on_the_line() -> None:
    read = [*programs.DOCKERFILES, *programs.scripts("bash", "sh")]
    read += [name for name in tree.files() if name.startswith(".github/")]
    assert {name: said for name in read if (said := unexplained((CHECKOUT / name).read_text()))} == {}
    assert unexplained("# hadolint ignore=DL3008\n# zizmor: ignore[a-b]\n# shellcheck disable=SC1,SC2  (x)") != []
    assert unexplained("# hadolint ignore=DL3008 # a stage that is thrown away") == []

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation gets besides its parameters: it reads no other environment and knows no Ansible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Params = dict[str, Any]
Result = dict[str, Any]
#: A JSON object of the API server, of Vault or of a registry.
Object = dict[str, Any]
#: Options as ansible's argument specs write them: name -> type, default, choices …
Spec = dict[str, dict[str, Any]]


def _silent(_line: str) -> None:
    """A real module has no display: its host reports nothing on the way."""


@dataclass(frozen=True)
class Context:
    """check_mode, diff: as the user asked. environ: the process's, with the task's environment over it.

    progress: shows one line to a person. private_folder: mode 0700, removed by the host whatever happens.
    secrets: values to be kept out of everything that leaves; an operation adds what it reads.
    """

    environ: Mapping[str, str]
    private_folder: str
    check_mode: bool = False
    diff: bool = False
    progress: Callable[[str], None] = _silent
    secrets: set[str] = field(default_factory=set)


Operation = Callable[[Params, Context], Result]

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names are allowed: an agent's, a namespace's, a run's (design: faults.md)."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind

_NAME = re.compile(r"\A[a-z]([-a-z0-9]{0,50}[a-z0-9])?\Z")


_RUN_ID = re.compile(r"\A[A-Za-z0-9]([A-Za-z0-9_.:-]{0,62}[A-Za-z0-9])?\Z")


_NAMESPACE = re.compile(r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def check_agent_name(name: Any) -> str:
    """The name itself; AgentError where it is none. Letters, digits and dashes, at most 52: a pod's name adds to it."""
    if not isinstance(name, str) or not _NAME.match(name):
        shown = repr(name if not isinstance(name, str) or len(name) <= 60 else name[:57] + "...")
        raise AgentError(
            ErrorKind.INVALID,
            f"{shown} is not the name of an agent: small letters, digits and dashes, at most 52, "
            "beginning with a letter",
            "Use a name of the inventory's group 'agents'.",
        )
    return name


def check_run_id(value: str | None, option: str) -> str:
    if value and not _RUN_ID.match(value):
        raise AgentError(
            ErrorKind.INVALID, f"{option}: {value[:80]!r} is not allowed", "Letters, digits and '_.:-', at most 64."
        )
    return value or ""


def check_namespace(name: Any) -> str:
    if not isinstance(name, str) or not _NAMESPACE.match(name):
        raise AgentError(
            ErrorKind.INVALID, f"{str(name)[:80]!r} is not the name of a namespace", "Set agent_namespace."
        )
    return name

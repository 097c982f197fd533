"""A proxy in front of the API server and of Vault that records every request and makes faults on demand.

`clients.proxied` starts it in front of what the environment names; `server.FaultProxy` in front of anything else.
"""

from __future__ import annotations

from .classify import is_write
from .clients import API, VAULT, Through, proxied
from .exchange import Front
from .journal import Hook, Mark, Request
from .rules import (
    ALWAYS,
    ANY,
    Armed,
    Match,
    Rule,
    answer,
    delay,
    hold,
    hold_answer,
    lose_answer,
    reset,
    storm,
    truncate,
)
from .server import FaultProxy

__all__ = [
    "ALWAYS",
    "ANY",
    "API",
    "VAULT",
    "Armed",
    "FaultProxy",
    "Front",
    "Hook",
    "Mark",
    "Match",
    "Request",
    "Rule",
    "Through",
    "answer",
    "delay",
    "hold",
    "hold_answer",
    "is_write",
    "lose_answer",
    "proxied",
    "reset",
    "storm",
    "truncate",
]

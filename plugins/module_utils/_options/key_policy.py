# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of an agent's secret: where new values come from, which may be, how one is tried out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import check_key
from ansible_collections.digitalsys.agents.plugins.module_utils._options.duration import seconds_of
from ansible_collections.digitalsys.agents.plugins.module_utils._options.values import cannot_work

_FEWEST_BYTES = 16
_MOST_BYTES = 256
_FIELDS = {"generated", "max_age", "multi_line", "test"}
_TEST_FIELDS = {"url", "method", "header", "prefix", "status"}
_URL = re.compile(r"\A(https://[^/\s@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?)(/\S*)?\Z")
_HEADER = re.compile(r"\A[A-Za-z0-9-]+\Z")


@dataclass(frozen=True)
class Trial:
    """A request that only the right value is answered with status: the value stands in header, after prefix."""

    url: str
    method: str
    header: str
    prefix: str
    status: int


@dataclass(frozen=True)
class KeyPolicy:
    """generated: random bytes of a new value, 0 for a key that a person brings. max_age: seconds, 0 for ever."""

    generated: int = 0
    max_age: int = 0
    multi_line: bool = False
    test: Trial | None = None


def _wrong(key: str, words: str, hint: str = "") -> AgentError:
    return AgentError(ErrorKind.INVALID, f"key_policy.{key}: {words}", hint)


def _trial(key: str, given: Any) -> Trial:
    if not isinstance(given, Mapping) or not set(given) <= _TEST_FIELDS or "url" not in given:
        raise _wrong(key, "test is url, and if need be method, header, prefix, status")
    if not re.match(r"\A[1-5][0-9][0-9]\Z", str(given.get("status", 200))):
        raise _wrong(key, "test.status is a number of HTTP, as 200")
    trial = Trial(
        str(given["url"]),
        str(given.get("method", "GET")).upper(),
        str(given.get("header", "Authorization")),
        str(given.get("prefix", "Bearer ")),
        int(given.get("status", 200)),
    )
    if not _URL.match(trial.url):
        raise _wrong(key, f"test.url: {trial.url[:80]!r} is not allowed", "https://…, for the value travels in it.")
    if not _HEADER.match(trial.header) or trial.method not in ("GET", "HEAD", "POST"):
        raise _wrong(key, "test.header or test.method is not allowed", "A header's name; GET, HEAD or POST.")
    return trial


def of_options(given: Mapping[str, Any]) -> dict[str, KeyPolicy]:
    """Key -> policy. AgentError 'invalid' for the first thing that cannot be."""
    policies = {}
    for key, options in given.items():
        check_key(key, "key_policy")
        if not isinstance(options, Mapping) or not set(options) <= _FIELDS:
            raise _wrong(key, f"only {', '.join(sorted(_FIELDS))} are known")
        try:
            generated = int(options.get("generated") or 0)
        except (TypeError, ValueError):
            raise _wrong(key, "generated is a number of random bytes") from None
        if generated and not _FEWEST_BYTES <= generated <= _MOST_BYTES:
            raise _wrong(key, f"generated: {generated} is not between {_FEWEST_BYTES} and {_MOST_BYTES} bytes")
        if not isinstance(options.get("multi_line", False), bool):
            raise _wrong(key, "multi_line is true or false")
        age = options.get("max_age")
        policies[key] = KeyPolicy(
            generated,
            seconds_of(age, f"key_policy.{key}.max_age") if age else 0,
            bool(options.get("multi_line", False)),
            _trial(key, options["test"]) if options.get("test") is not None else None,
        )
    return policies


def generated_keys(policies: Mapping[str, KeyPolicy]) -> list[str]:
    return [key for key, policy in policies.items() if policy.generated]


def generate(policy: KeyPolicy) -> str:
    return secrets.token_urlsafe(policy.generated)


def check_value(key: str, value: Any, policy: KeyPolicy) -> str:
    """The value itself; AgentError 'invalid', which never shows it."""
    wrong = ""
    hint = "Bring it once more."
    if not isinstance(value, str) or not value:
        wrong = "it is empty, or no text"
    elif value.endswith("\n") and (policy.multi_line or "\n" not in value[:-1]):
        wrong = "it ends with a line break, as Enter or echo add one"
        hint = 'Bring it without: printf %s "$value" | vault kv …'
    elif not policy.multi_line and ("\n" in value or "\r" in value):
        wrong = "it has a line break in it, and its policy has no multi_line: true"
    elif value != value.strip():
        wrong = "it begins or ends with white space"
    else:
        wrong = cannot_work(key, value)
    if wrong:
        raise AgentError(ErrorKind.INVALID, f"the new value of {key} is not allowed: {wrong}", hint)
    return str(value)

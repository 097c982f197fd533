# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API server's refusals mean, in one place."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind, NotFound
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import RETRYABLE
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import SETTLING
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.managed_fields import (
    conflict_words,
    conflicting_managers,
)

_HANDSHAKE = re.compile(r"Handshake status ([0-9]{3})")
#: In the words of a 403 that comes from roles, and not from an admission policy.
REFUSED_BY_RIGHTS = re.compile(r"is forbidden: User .* cannot \w+ resource")


class Conflict(AgentError):
    """A 409: another version came first, the object is there already, or fields of it belong to other managers."""

    def __init__(self, message: str, hint: str, details: dict[str, Any]) -> None:
        super().__init__(ErrorKind.CONFLICT, message, hint, details)

    @property
    def owners(self) -> dict[str, str]:
        """Field path -> its manager; {} where that is not why."""
        return dict(self.details.get("owners") or {})

    @property
    def is_there_already(self) -> bool:
        return self.details.get("reason") == "AlreadyExists"


def status_of(body: Any) -> dict[str, Any]:
    """The Status object of an answer; {} for the plain text that a proxy or an unknown path answers with."""
    try:
        status = json.loads(body)
    except (TypeError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def is_retryable(code: int, status: dict[str, Any], since_broken: float = math.inf) -> bool:
    """since_broken: seconds since a connection to this server broke."""
    if code in (401, 403) and since_broken < SETTLING:
        return True
    # A schema error of an apply is dressed as a 500; trying again would only delay the answer.
    return code in RETRYABLE and "failed to create typed patch object" not in status.get("message", "")


def refused_handshake(error: Any) -> int:
    """The status with which a websocket (exec, port-forward) was refused, 0 for any other failure of it. The library
    has it in the words alone."""
    found = _HANDSHAKE.search(str(getattr(error, "reason", "")))
    return int(found[1]) if found else 0


def _resource_of(path: str) -> str:
    parts = [part for part in path.split("?")[0].split("/") if part]
    if "namespaces" in parts and len(parts) > parts.index("namespaces") + 2:
        start = parts.index("namespaces")
        return "/".join(parts[start + 2 :]) + f" in namespace {parts[start + 1]}"
    return "/".join(parts[2:] if parts[:1] == ["api"] else parts[3:]) or path


def refusal(method: str, path: str, code: int, body: Any) -> AgentError:
    """An AgentError for an answer that no retry would change."""
    status = status_of(body)
    what = _resource_of(path)
    plain = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    words = (status.get("message") or plain[:200]).strip()
    details = {"status_code": code, "request": f"{method} {path.split('?')[0]}"}
    if code == 401:
        return AgentError(
            ErrorKind.UNAUTHORIZED,
            "the API server does not accept the credential",
            "Renew the token or kubeconfig; nothing was changed by this request.",
            details,
        )
    if (
        code == 403
        and "forbidden: User" not in words
        and ("admission webhook" in words or "exceeded quota" in words or "violates PodSecurity" in words)
    ):
        return AgentError(ErrorKind.CONFLICT, f"{what}: {words}", "", details)
    if code == 403:
        return AgentError(
            ErrorKind.FORBIDDEN,
            f"not allowed: {method} {what}: {words}",
            "See docs/permissions for what the identity needs.",
            details,
        )
    if code == 404:
        # Of a path that it does not know the server says so in plain text.
        return NotFound(f"{what} is not there", "", details, is_served=bool(status))
    if code == 409:
        owners = conflicting_managers(status)
        if owners:
            fields, hint = conflict_words(owners)
            return Conflict(f"{what}: {fields}", hint, {**details, "owners": owners})
        return Conflict(f"{what}: {words}", "", {**details, "reason": status.get("reason", "")})
    if code == 422:
        causes = (status.get("details") or {}).get("causes") or []
        # A policy names no field.
        told = [": ".join(filter(None, (cause.get("field"), cause.get("message")))) for cause in causes[:4]]
        fields = "; ".join(told) or words
        return AgentError(ErrorKind.INVALID, f"{what} was refused: {fields}", "", details)
    return AgentError(
        ErrorKind.UNAVAILABLE if code in RETRYABLE else ErrorKind.CONFLICT,
        f"{method} {what}: HTTP {code}: {words[:300]}",
        "",
        details,
    )

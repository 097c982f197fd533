"""Which requests change something at the server. Pure: a method, a path and a query in, a bool out."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

#: Sent by a changing method, yet nothing is stored that an agent lives on: questions about oneself, a byte tunnel,
#: and the caller's own session at Vault.
_HARMLESS = re.compile(
    r"""
      /apis/(authorization|authentication)\.k8s\.io/v1[a-z0-9]*/selfsubject[a-z]*reviews/?
    | /api/v1/namespaces/[^/]+/pods/[^/]+/portforward
    | /v1/auth/[^/]+/login(/[^/]+)?
    | /v1/auth/token/(renew|revoke)-self
    | /v1/auth/[^/]+/role/[^/]+/secret-id(-accessor)?/lookup
    | /v1/sys/capabilities-self
    """,
    re.VERBOSE,
)


def is_write(method: str, path: str, query: str = "") -> bool:
    """Whether the request, once answered, may have changed something at the server.

    `path` without the query, `query` without its question mark. A dry run is told by its query alone: bodies are never
    looked at, so a dry-run DELETE whose DeleteOptions say so in the body counts as a write.
    """
    if method.upper() not in _CHANGING:
        return False
    if "All" in parse_qs(query).get("dryRun", []):
        return False
    return _HARMLESS.fullmatch(path) is None

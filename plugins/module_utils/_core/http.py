# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to Vault and to registries, and what all servers' classes need of urllib3. It is spoken to directly: to
import the libraries above it (hvac, requests, kubernetes) takes longer than all the requests of a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind

try:
    import urllib3

    HAS_URLLIB3 = True
    #: What a request ends in that comes to no answer.
    FAULTS: tuple[type[Exception], ...] = (urllib3.exceptions.HTTPError, OSError)
except ImportError:
    HAS_URLLIB3 = False
    FAULTS = (OSError,)

#: ValueError: a header that cannot be sent, a token with a line break in it.
_UNANSWERED: tuple[type[Exception], ...] = (*FAULTS, ValueError)
_REDIRECTS = 5


class NoAnswer(Exception):
    """A request was not answered. Its words are the kind of fault alone: others could hold a header's value."""


class Http:
    """Connections to one server or a few. Only what is given here is obeyed: no variable of the process's environment.

    ca: a file of certificates, or a folder of them; '' for the list that comes with the libraries. proxy: its URL.
    """

    def __init__(self, ca: str = "", proxy: str = "") -> None:
        if not HAS_URLLIB3:
            raise AgentError(
                ErrorKind.MISSING_LIBRARY, "the Python library urllib3 is missing", "pip install 'kubernetes>=35,<38'"
            )
        trusted: dict[str, Any] = {"ca_cert_dir" if ca and Path(ca).is_dir() else "ca_certs": ca or _bundle()}
        self._pool = _through(proxy, trusted) if proxy else urllib3.PoolManager(**trusted)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        timeout: tuple[float, float],
        follow: bool = True,
    ) -> Any:
        """urllib3's answer, whatever its status, read to its end. timeout: seconds to connect, and to wait for more."""
        if not url.startswith(("https://", "http://")):
            raise NoAnswer("no https:// in its address")
        # Nothing is tried again here; a redirect (a standby of Vault's) is followed.
        once = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=_REDIRECTS if follow else False)
        try:
            return self._pool.request(
                method,
                url,
                body=body,
                headers=dict(headers),
                timeout=patience(*timeout),
                retries=once,
                redirect=follow,
            )
        except _UNANSWERED as error:
            raise NoAnswer(type(getattr(error, "reason", None) or error).__name__) from None

    def close(self) -> None:
        self._pool.clear()


def patience(connect: float, read: float) -> Any:
    """Seconds to connect, and to wait for more of an answer."""
    return urllib3.Timeout(connect=connect, read=read)


def pool(**settings: Any) -> Any:
    """Connections to servers of one kind; nothing is tried again."""
    return urllib3.PoolManager(retries=False, **settings)


def basic(user: str, password: str) -> str:
    """The value of a header Authorization."""
    return str(urllib3.util.make_headers(basic_auth=f"{user}:{password}")["authorization"])


def parsed(answer: Any) -> dict[str, Any]:
    """The object in an answer; {} where there is none."""
    try:
        value = json.loads(answer.data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _bundle() -> str | None:
    try:
        import certifi
    except ImportError:
        return None  # the machine's own list
    return certifi.where()


def _through(proxy: str, trusted: dict[str, Any]) -> Any:
    if proxy.lower().startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        return SOCKSProxyManager(proxy, **trusted)
    where = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    login = f"{unquote(where.username)}:{unquote(where.password or '')}" if where.username else None
    headers = urllib3.util.make_headers(proxy_basic_auth=login)
    return urllib3.ProxyManager(where.geturl(), proxy_headers=headers, **trusted)

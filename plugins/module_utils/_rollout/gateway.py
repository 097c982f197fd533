# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running gateway takes the token and refuses a wrong one, asked through the API server's port-forward."""

from __future__ import annotations

import hmac
import http.client
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.probes import GATEWAY_PORT
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import Budget, backoff
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import GATEWAY_REQUEST, GATEWAY_RETRIES
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.errors import refused_handshake
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.library import NoStream

_QUESTION = json.dumps({"tool": "sessions_list", "args": {}})
#: What says that the gateway does not take a token; everything else that it says itself comes after it took it: an
#: agent with few tools answers 404 to the right one.
_REFUSED = (401, 403)
_TOO_MANY_REQUESTS = 429


class TokenRefused(AgentError):
    """By a gateway that runs: it has another one, from its configuration most often."""


def _ask(kube: Kube, namespace: str, pod: str, method: str, path: str, token: str, seconds: float) -> tuple[int, bytes]:
    """One request over one port-forward; OSError or HTTPException when it does not come through in that time."""
    socket = kube.port_forward(namespace, pod, GATEWAY_PORT, seconds)
    socket.settimeout(seconds)
    connection = http.client.HTTPConnection("127.0.0.1", GATEWAY_PORT, timeout=seconds)
    connection.sock = socket
    headers = {
        "Connection": "close",
        **({"Authorization": f"Bearer {token}", "Content-Type": "application/json"} if token else {}),
    }
    try:
        connection.request(method, path, body=_QUESTION if method == "POST" else None, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(100_000)
    finally:
        connection.close()


def _patiently(
    kube: Kube,
    namespace: str,
    pod: str,
    method: str,
    path: str,
    token: str,
    budget: Budget,
    is_answer: Callable[[int, bytes], bool],
) -> tuple[int, bytes]:
    """The first answer that is one. No attempt outlives the budget."""
    problem = ""
    reached = True
    for _attempt in backoff(budget):
        try:
            seconds = max(1.0, min(GATEWAY_REQUEST, budget.left()))
            status, body = _ask(kube, namespace, pod, method, path, token, seconds)
        except NoStream as error:
            if refused_handshake(error) == 403:
                raise AgentError(
                    ErrorKind.FORBIDDEN,
                    f"not allowed: create pods/portforward for {pod}",
                    "See docs/permissions, or set agent_verify: ready.",
                ) from None
            problem = f"HTTP {error.status} {error.reason}".strip()[:160]
            reached = False
            continue
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = type(error).__name__
            reached = True
            continue
        if is_answer(status, body):
            return status, body
        problem = f"HTTP {status}"
        reached = True
    if not reached:
        # The gateway was never asked: no reason to take its release back.
        raise AgentError(
            ErrorKind.UNAVAILABLE,
            f"the API server opens no port-forward to {pod}: {problem}",
            "The release was applied but not recorded; run the same command again to go on.",
        )
    raise AgentError(ErrorKind.VERIFY, f"the gateway of {pod} did not answer through a port-forward: {problem}", "")


def _says_of_a_token(status: int, body: bytes) -> bool:
    """Whether it is a word on the token: not its own trouble, nor somebody else's page."""
    return status in _REFUSED or (status < 500 and status != _TOO_MANY_REQUESTS and _object(body) is not None)


def _asked_with(kube: Kube, namespace: str, pod: str, token: str, budget: Budget) -> int:
    return _patiently(kube, namespace, pod, "POST", "/tools/invoke", token, budget, _says_of_a_token)[0]


def token_probe(kube: Kube, namespace: str, pod: str, token: str, budget: Budget) -> None:
    """AgentError 'verify' unless the gateway takes this token and refuses another; TokenRefused for this one."""
    if not token:
        raise AgentError(
            ErrorKind.VERIFY,
            "there is no OPENCLAW_GATEWAY_TOKEN to verify the gateway with",
            "Provision one, or set agent_verify: ready.",
        )
    status = _asked_with(kube, namespace, pod, token, budget)
    if status in _REFUSED:
        raise TokenRefused(
            ErrorKind.VERIFY,
            f"the gateway of {pod} refuses the token that stands in Vault (HTTP {status}): most often there is a "
            "gateway.auth.token in its openclaw.json, which is taken instead",
        )
    status = _asked_with(kube, namespace, pod, secrets.token_urlsafe(32), budget)
    if status not in _REFUSED:
        raise AgentError(
            ErrorKind.VERIFY, f"the gateway of {pod} answers HTTP {status} to a wrong token instead of refusing it", ""
        )


def require_refusal(kube: Kube, namespace: str, pod: str, token: str) -> None:
    """AgentError 'verify' unless the gateway refuses a token that is not its own any more."""
    if _asked_with(kube, namespace, pod, token, Budget(GATEWAY_RETRIES)) not in _REFUSED:
        raise AgentError(ErrorKind.VERIFY, f"the gateway of {pod} still takes the old token", "")


#: Run in the pod: an HMAC over the nonce with each key's value, so that no value leaves it.
_HMAC = (
    "const c = require('crypto'); const [nonce, ...keys] = process.argv.slice(1); "
    "console.log(JSON.stringify(Object.fromEntries(keys.map((key) => "
    "[key, c.createHmac('sha256', process.env[key] ?? '').update(nonce).digest('hex')]))))"
)


def keys_not_proved(kube: Kube, namespace: str, pod: str, container: str, values: Mapping[str, str]) -> list[str]:
    """Names of the keys whose value in the pod's environment is another one. AgentError 'verify' where the pod cannot
    tell, 'unavailable' where it could not be asked."""
    nonce = secrets.token_hex(16)
    said = None
    for _attempt in backoff(Budget(GATEWAY_RETRIES)):
        said = kube.exec(namespace, pod, container, ["node", "-e", _HMAC, nonce, *values])
        told = _told(said)
        if told is not None:
            wanted = {key: hmac.new(value.encode(), nonce.encode(), "sha256") for key, value in values.items()}
            return sorted(key for key in values if told.get(key) != wanted[key].hexdigest())
    if said is None:
        raise AgentError(
            ErrorKind.UNAVAILABLE, f"the API server opens no exec to {pod}", "Run the same command again: it goes on."
        )
    raise AgentError(ErrorKind.VERIFY, f"pod {pod} cannot tell what its environment is", "")


def _told(said: str | None) -> dict[str, Any] | None:
    """The object in the last line that was printed; None where there is none."""
    lines = (said or "").strip().splitlines()
    return _object(lines[-1]) if lines else None


_UNREADABLE = "the gateway's /readyz gave no answer that can be read"


def readiness_warnings(kube: Kube, namespace: str, pod: str, budget: Budget) -> list[str]:
    """What /readyz complains of (a channel that is down): shown, but no reason to go back."""

    def is_answer(status: int, body: bytes) -> bool:
        return status < 500 or _readiness(body) is not None

    try:
        _status, body = _patiently(kube, namespace, pod, "GET", "/readyz", "", budget, is_answer)
    except AgentError as error:
        return [error.message if error.kind is ErrorKind.FORBIDDEN else _UNREADABLE]
    said = _readiness(body)
    if said is None:
        return [_UNREADABLE]
    failing = ", ".join(map(str, said.get("failing") or []))
    return [] if said.get("ready") else [f"the gateway says that it is not ready: {failing or 'it does not say why'}"]


def _readiness(body: bytes) -> dict[str, Any] | None:
    """What /readyz says, with 200 and with 503 alike; None where that is something else."""
    found = _object(body)
    return found if found is not None and "ready" in found else None


def _object(text: str | bytes) -> dict[str, Any] | None:
    """In JSON; None where it is something else."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running gateway takes the token and refuses a wrong one, asked through the API server's port-forward."""

from __future__ import annotations

import hmac
import http.client
import json
import secrets
from collections.abc import Mapping
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.probes import GATEWAY_PORT
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import Budget, backoff
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import GATEWAY_REQUEST, GATEWAY_RETRIES
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.errors import refused_handshake
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.library import NoStream

_QUESTION = json.dumps({"tool": "sessions_list", "args": {}})


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
    kube: Kube, namespace: str, pod: str, method: str, path: str, token: str, budget: Budget
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
        if status < 500:
            return status, body
        # Its own trouble: no word on the token.
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


def token_probe(kube: Kube, namespace: str, pod: str, token: str, budget: Budget) -> None:
    """AgentError 'verify' unless the gateway answers 200 to this token and 401 to another."""
    if not token:
        raise AgentError(
            ErrorKind.VERIFY,
            "there is no OPENCLAW_GATEWAY_TOKEN to verify the gateway with",
            "Provision one, or set agent_verify: ready.",
        )
    status, _body = _patiently(kube, namespace, pod, "POST", "/tools/invoke", token, budget)
    if status != 200:
        raise AgentError(
            ErrorKind.VERIFY, f"the gateway of {pod} refuses the token that stands in Vault (HTTP {status})", ""
        )
    status, _body = _patiently(kube, namespace, pod, "POST", "/tools/invoke", secrets.token_urlsafe(32), budget)
    if status != 401:
        raise AgentError(
            ErrorKind.VERIFY, f"the gateway of {pod} answers HTTP {status} to a wrong token instead of refusing it", ""
        )


def require_refusal(kube: Kube, namespace: str, pod: str, token: str) -> None:
    """AgentError 'verify' unless the gateway answers 401 to a token that is not its own any more."""
    status, _body = _patiently(kube, namespace, pod, "POST", "/tools/invoke", token, Budget(GATEWAY_RETRIES))
    if status == 200:
        raise AgentError(ErrorKind.VERIFY, f"the gateway of {pod} still takes the old token", "")
    if status != 401:
        raise AgentError(ErrorKind.VERIFY, f"the gateway of {pod} answers HTTP {status} to the old token, not 401", "")


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
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def readiness_warnings(kube: Kube, namespace: str, pod: str, budget: Budget) -> list[str]:
    """What /readyz complains of (a channel that is down): shown, but no reason to go back."""
    try:
        _status, body = _patiently(kube, namespace, pod, "GET", "/readyz", "", budget)
        state: dict[str, Any] = json.loads(body)
    except (AgentError, ValueError):
        return ["the gateway's /readyz gave no answer that can be read"]
    failing = state.get("failing") or []
    return [f"the gateway says that this is not ready: {', '.join(map(str, failing))}"] if failing else []

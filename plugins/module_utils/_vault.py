# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one class that talks to HashiCorp Vault, as the operator: KV v2, policies, AppRole. hvac underneath."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._context import Context, Params
from ansible_collections.digitalsys.agents.plugins.module_utils._errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._retry import Budget, backoff

try:
    import hvac
    import requests

    HAS_HVAC = True
except ImportError:
    HAS_HVAC = False

_RETRYABLE = (408, 429, 500, 502, 503, 504)
_TIMEOUT = (1, 10)
_RETRY_SECONDS = 20.0
_LOGIN_HINT = "Set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID."


def setting(params: Params, context: Context, name: str) -> str:
    """An option vault_x beats the environment's VAULT_X."""
    return str(params.get(name) or context.environ.get(name.upper()) or "")


class Vault:
    """Logs in when it is made. AgentError 'vault' for anything that is not as it must be."""

    def __init__(self, params: Params, context: Context) -> None:
        if not HAS_HVAC:
            raise AgentError("missing_library", "the Python library hvac is missing", "pip install 'hvac>=2.3,<3'")
        self.address = setting(params, context, "vault_addr")
        if not self.address:
            raise AgentError(
                "invalid", "no address of Vault is known", "Set VAULT_ADDR (in AWX: the Vault credential)."
            )
        self._context = context
        self._token = setting(params, context, "vault_token")
        self._role = setting(params, context, "vault_role_id"), setting(params, context, "vault_secret_id")
        context.secrets.update(value for value in (self._token, self._role[1]) if value)
        session = requests.Session()
        session.trust_env = False  # the operation's environment is not the process's
        session.verify = setting(params, context, "vault_cacert") or context.environ.get("SSL_CERT_FILE") or True
        self._client = hvac.Client(
            url=self.address,
            token=self._token or "none",
            namespace=setting(params, context, "vault_namespace") or None,
            timeout=_TIMEOUT,
            session=session,
            adapter=hvac.adapters.RawAdapter,
        )
        self._preflight()
        if not self._token:
            self._login()

    def _preflight(self) -> None:
        """Sealed or out of reach is known in under two seconds: nothing is tried again here."""
        try:
            state = self._health()
        except requests.RequestException as error:
            raise AgentError(
                "vault",
                f"Vault at {self.address} cannot be reached ({type(error).__name__})",
                "Look at VAULT_ADDR and at Vault itself; nothing was changed.",
            ) from None
        if state.get("sealed"):
            raise AgentError(
                "vault",
                f"Vault at {self.address} is sealed",
                "Unseal it (vault operator unseal), then run again; nothing was changed.",
            )
        if not state.get("initialized"):
            raise AgentError(
                "vault", f"what answers at {self.address} is no Vault that is ready", "Look at VAULT_ADDR."
            )

    def _health(self) -> dict[str, Any]:
        return _json(self._send("GET", "sys/health"))

    def _send(self, method: str, path: str, data: dict[str, Any] | None = None) -> Any:
        return self._client.adapter.request(method, f"/v1/{path}", json=data, raise_exception=False)

    def _login(self) -> None:
        role_id, secret_id = self._role
        if not (role_id and secret_id):
            raise AgentError("vault", f"no credential for Vault at {self.address}", _LOGIN_HINT)
        try:
            answer = self._client.auth.approle.login(role_id=role_id, secret_id=secret_id, use_token=True)
        except hvac.exceptions.VaultError as error:
            raise AgentError(
                "vault", f"Vault refuses the AppRole login: {_words(error)}", "Renew VAULT_SECRET_ID."
            ) from None
        self._context.secrets.add(_json(answer)["auth"]["client_token"])

    def request(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None = None,
        *,
        missing_ok: bool = False,
        retry: bool = True,
    ) -> dict[str, Any]:
        """The parsed answer; {} for one that has no body, and for 404 with missing_ok. Writes that are no PUT of a
        whole thing must come with retry=False."""
        budget, problem, renewed = Budget(_RETRY_SECONDS if retry else 0.0), "", False
        for _attempt in backoff(budget):
            try:
                answer = self._send(method, path, data)
            except requests.RequestException as error:
                problem = type(error).__name__
                continue
            code, body = answer.status_code, _json(answer)
            if code in (200, 204):
                return body
            if code == 404 and missing_ok:
                return {}
            if code == 503 and self._is_sealed():
                raise AgentError(
                    "vault",
                    f"Vault at {self.address} was sealed meanwhile",
                    "Unseal it and run the same command again.",
                )
            if code not in _RETRYABLE:
                if code == 403 and not self._token and not renewed:
                    renewed = True
                    self._login()
                    continue
                raise _refusal(method, path, code, body)
            problem = f"HTTP {code}"
        raise AgentError(
            "vault",
            f"Vault at {self.address} did not answer {method} {path}: {problem} ({budget.retries} retries)",
            "Run the same command again to go on.",
        )

    def _is_sealed(self) -> bool:
        try:
            return bool(self._health().get("sealed"))
        except requests.RequestException:
            return False

    # KV v2

    def current_version(self, mount: str, path: str) -> int | None:
        """The newest version's number; None where nothing was ever written or the newest version was deleted."""
        data = self.request("GET", f"{mount}/metadata/{path}", missing_ok=True).get("data")
        if not data:
            return None
        newest = int(data["current_version"])
        state = data["versions"].get(str(newest)) or {}
        return None if not newest or state.get("deletion_time") or state.get("destroyed") else newest

    def last_version(self, mount: str, path: str) -> int:
        """The number that check-and-set expects: 0 where nothing was ever written, also counting deleted versions."""
        data = self.request("GET", f"{mount}/metadata/{path}", missing_ok=True).get("data")
        return int(data["current_version"]) if data else 0

    def read(self, mount: str, path: str) -> tuple[dict[str, str], int] | None:
        """(values, version) of the newest version. The values are secrets from here on."""
        # A deleted version answers 404 with metadata, an unknown path 404 without.
        data = self.request("GET", f"{mount}/data/{path}", missing_ok=True).get("data")
        if not data or data.get("data") is None:
            return None
        values = {key: value if isinstance(value, str) else _as_text(value) for key, value in data["data"].items()}
        self._context.secrets.update(values.values())
        return values, int(data["metadata"]["version"])

    def write(self, mount: str, path: str, values: dict[str, str], *, expected_version: int) -> int:
        """A whole new version under check-and-set; the new version's number."""
        answer = self.request(
            "POST", f"{mount}/data/{path}", {"data": values, "options": {"cas": expected_version}}, retry=False
        )
        return int(answer["data"]["version"])

    def is_kv2(self, mount: str) -> bool:
        data = self.request("GET", f"sys/internal/ui/mounts/{mount}").get("data") or {}
        return data.get("type") == "kv" and (data.get("options") or {}).get("version") == "2"

    # policies and AppRole

    def policy(self, name: str) -> str | None:
        data = self.request("GET", f"sys/policies/acl/{name}", missing_ok=True).get("data")
        return str(data["policy"]) if data else None

    def write_policy(self, name: str, text: str) -> None:
        self.request("PUT", f"sys/policies/acl/{name}", {"policy": text})

    def role(self, mount: str, name: str) -> dict[str, Any] | None:
        return self.request("GET", f"auth/{mount}/role/{name}", missing_ok=True).get("data")

    def write_role(self, mount: str, name: str, settings: dict[str, Any]) -> None:
        self.request("POST", f"auth/{mount}/role/{name}", settings)

    def role_id(self, mount: str, name: str) -> str:
        return str(self.request("GET", f"auth/{mount}/role/{name}/role-id")["data"]["role_id"])

    def new_secret_id(self, mount: str, name: str) -> tuple[str, str]:
        """(SecretID, its accessor). A lost answer leaves a SecretID that nobody knows: it is never asked for twice."""
        data = self.request("POST", f"auth/{mount}/role/{name}/secret-id", {}, retry=False)["data"]
        self._context.secrets.add(data["secret_id"])
        return data["secret_id"], data["secret_id_accessor"]

    def logs_in(self, mount: str, role_id: str, secret_id: str) -> bool:
        """Whether a SecretID still works, tried without touching our own token."""
        answer = self._send("POST", f"auth/{mount}/login", {"role_id": role_id, "secret_id": secret_id})
        self._context.secrets.add((_json(answer).get("auth") or {}).get("client_token") or "")
        return bool(answer.status_code == 200)


def _refusal(method: str, path: str, code: int, body: dict[str, Any]) -> AgentError:
    words = "; ".join(body.get("errors") or []).strip().replace("\n", " ")[:200]
    capability = {
        "GET": "read",
        "LIST": "list",
        "POST": "create/update",
        "PUT": "create/update",
        "DELETE": "delete",
    }.get(method, method.lower())
    if code == 403:
        return AgentError(
            "vault",
            f"Vault does not allow '{capability}' on {path} ({words or 'permission denied'})",
            "See docs/permissions for the policy, or renew the token.",
            {"status_code": code},
        )
    if code == 404:
        return AgentError(
            "vault",
            f"Vault has nothing at {path}",
            "Was the agent provisioned? Look at its path and mount.",
            {"status_code": code},
        )
    return AgentError(
        "vault",
        f"Vault refused {method} {path}: HTTP {code} {words}",
        "",
        {"status_code": code, "cas": "check-and-set" in words},
    )


def _json(answer: Any) -> dict[str, Any]:
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _words(error: Exception) -> str:
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__


def _as_text(value: Any) -> str:
    """As ESO writes a value that is no string into a Secret: its JSON."""
    return json.dumps(value, separators=(",", ":"))

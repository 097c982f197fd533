# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one class that talks to HashiCorp Vault, as the operator; KV v2 is _vault/kv's."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Params
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.http import Http, NoAnswer, parsed
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import RETRYABLE, Budget, backoff
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import VAULT_REQUEST, VAULT_RETRIES

_DOUBLED = re.compile("/{2,}")
_LOGIN_HINT = "Set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID."

#: In Vault's words for a login from an address that may not.
_OF_AN_ADDRESS = "CIDR restrictions"


def setting(params: Params, context: Context, name: str) -> str:
    """An option vault_x beats the environment's VAULT_X."""
    return str(params.get(name) or context.environ.get(name.upper()) or "")


class Refused(AgentError):
    """Vault has answered, and not with what it was asked for."""

    def __init__(self, message: str, hint: str, status: int) -> None:
        super().__init__(ErrorKind.VAULT, message, hint, {"status_code": status})
        self.status = status


class CasConflict(Refused):
    """Another version came first: to be read again, and compared."""


class LockedOut(Refused):
    """Vault refuses every login by this RoleID for a while, whatever the SecretID: too many had failed in a row. An
    ESO that tries on with a SecretID that has ended is enough for that."""


def locked_out(role: str) -> str:
    return f"Vault has locked {role} out, since too many logins had failed"


class FromElsewhere(Refused):
    """The login is bound to other addresses than this machine's: whether it works there cannot be told from here."""


class Vault:
    """Logs in when it is made. AgentError 'vault' for anything that is not as it must be."""

    def __init__(self, params: Params, context: Context) -> None:
        self.address = setting(params, context, "vault_addr")
        if not self.address:
            raise AgentError(
                ErrorKind.INVALID, "no address of Vault is known", "Set VAULT_ADDR (in AWX: the Vault credential)."
            )
        self._context = context
        #: Asked before each attempt of a write: the lock's question, while one is held.
        self.may_write: Callable[[], None] = lambda: None
        self._token = setting(params, context, "vault_token")
        self._role = setting(params, context, "vault_role_id"), setting(params, context, "vault_secret_id")
        context.secrets.update(value for value in (self._token, self._role[1]) if value)
        self._namespace = setting(params, context, "vault_namespace")
        self._http = Http(setting(params, context, "vault_cacert") or context.environ.get("SSL_CERT_FILE") or "")
        #: What requests are sent with: the token that was given, or the one of the login.
        self._shown = self._token
        self._preflight()
        if not self._token:
            self._login()

    def _preflight(self) -> None:
        """Sealed or out of reach is known in under two seconds: nothing is tried again here."""
        try:
            state = self._health()
        except NoAnswer as error:
            raise AgentError(
                ErrorKind.VAULT,
                f"Vault at {self.address} cannot be reached ({error})",
                "Look at VAULT_ADDR and at Vault itself; nothing was changed.",
            ) from None
        if state.get("sealed"):
            raise AgentError(
                ErrorKind.VAULT,
                f"Vault at {self.address} is sealed",
                "Unseal it (vault operator unseal), then run again; nothing was changed.",
            )
        if not state.get("initialized"):
            raise AgentError(
                ErrorKind.VAULT, f"what answers at {self.address} is no Vault that is ready", "Look at VAULT_ADDR."
            )

    def _health(self) -> dict[str, Any]:
        return parsed(self._send("GET", "sys/health"))

    def _send(self, method: str, path: str, data: dict[str, Any] | None = None) -> Any:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {
            "X-Vault-Request": "true",
            **({"X-Vault-Token": self._shown} if self._shown else {}),
            **({"X-Vault-Namespace": self._namespace} if self._namespace else {}),
            **({} if data is None else {"Content-Type": kind}),
        }
        body = None if data is None else json.dumps(data).encode()
        url = f"{self.address.rstrip('/')}/v1/{_DOUBLED.sub('/', path)}"
        return self._http.send(method, url, headers, body, timeout=VAULT_REQUEST)

    def _login(self) -> None:
        role_id, secret_id = self._role
        if not (role_id and secret_id):
            raise AgentError(ErrorKind.VAULT, f"no credential for Vault at {self.address}", _LOGIN_HINT)
        token = self._token_of("approle", role_id, secret_id)
        if token is None:
            raise AgentError(
                ErrorKind.VAULT, f"Vault at {self.address} refuses the AppRole login", "Renew VAULT_SECRET_ID."
            )
        self._shown = token

    def request(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None = None,
        *,
        missing_ok: bool = False,
        retry: bool = True,
        writes: bool = False,
    ) -> dict[str, Any]:
        """The parsed answer; {} for one that has no body, and for 404 with missing_ok. A write that would do something
        else the second time must come with retry=False."""
        budget = Budget(VAULT_RETRIES if retry else 0.0)
        problem = ""
        renewed = False
        for _attempt in backoff(budget):
            if writes:
                self.may_write()
            try:
                answer = self._send(method, path, data)
            except NoAnswer as error:
                problem = str(error)
                continue
            code = answer.status
            body = parsed(answer)
            if code in (200, 204):
                return body
            if code == 404 and missing_ok:
                return {}
            if code == 503 and self._is_sealed():
                raise AgentError(
                    ErrorKind.VAULT,
                    f"Vault at {self.address} was sealed meanwhile",
                    "Unseal it and run the same command again.",
                )
            if code not in RETRYABLE:
                # A login itself asks for no token.
                if code == 403 and not self._token and not renewed and not path.endswith(("/login", "/revoke-self")):
                    renewed = True
                    self._revoke()
                    self._login()
                    continue
                raise _refusal(method, path, code, body)
            problem = f"HTTP {code}"
        raise AgentError(
            ErrorKind.VAULT,
            f"Vault at {self.address} did not answer {method} {path}: {problem} ({budget.retries} retries)",
            "Run the same command again to go on.",
        )

    def now(self) -> float:
        """Seconds since 1970 by Vault's own clock, the one place where time is counted for a secret."""
        # A standby answers too, and knows the time as well.
        return float(self.request("GET", "sys/health?standbyok=true&perfstandbyok=true")["server_time_utc"])

    def capabilities(self, *paths: str) -> dict[str, list[str]]:
        """Path -> what this token may do there."""
        data = self.request("POST", "sys/capabilities-self", {"paths": list(paths)})
        return {path: list(data.get(path) or []) for path in paths}

    def keep_secret(self, *values: str) -> None:
        """From here on out of everything that leaves."""
        self._context.secrets.update(value for value in values if value)

    def close(self) -> None:
        """A token that a login of ours gave is of no use to anybody from here on; one that was given is left alone."""
        if self._shown and self._shown != self._token:
            self._revoke()
        self._http.close()

    def _revoke(self) -> None:
        with contextlib.suppress(AgentError):  # it ends by itself, soon
            self.request("POST", "auth/token/revoke-self", retry=False)

    def _is_sealed(self) -> bool:
        try:
            return bool(self._health().get("sealed"))
        except NoAnswer:
            return False

    # policies and AppRole

    def policy(self, name: str) -> str | None:
        data = self.request("GET", f"sys/policies/acl/{name}", missing_ok=True).get("data")
        return str(data["policy"]) if data else None

    def write_policy(self, name: str, text: str) -> None:
        self.request("PUT", f"sys/policies/acl/{name}", {"policy": text}, writes=True)

    def role(self, mount: str, name: str) -> dict[str, Any] | None:
        return self.request("GET", f"auth/{mount}/role/{name}", missing_ok=True).get("data")

    def write_role(self, mount: str, name: str, settings: dict[str, Any]) -> None:
        self.request("POST", f"auth/{mount}/role/{name}", settings, writes=True)

    def role_id(self, mount: str, name: str) -> str:
        return str(self.request("GET", f"auth/{mount}/role/{name}/role-id")["data"]["role_id"])

    def new_secret_id(self, mount: str, name: str, metadata: Mapping[str, str]) -> tuple[str, str]:
        """(SecretID, its accessor). A lost answer leaves a SecretID that nobody knows: it is never asked for twice.
        The metadata tell later whose it is."""
        wanted = {"metadata": json.dumps(dict(metadata))}
        data = self.request("POST", f"auth/{mount}/role/{name}/secret-id", wanted, retry=False, writes=True)["data"]
        self.keep_secret(data["secret_id"])
        return data["secret_id"], data["secret_id_accessor"]

    def accessors(self, mount: str, name: str) -> list[str]:
        """Of all SecretIDs of the role; some may have ended already."""
        data = self.request("LIST", f"auth/{mount}/role/{name}/secret-id", missing_ok=True).get("data") or {}
        return list(data.get("keys") or [])

    def secret_id(self, mount: str, name: str, *, accessor: str = "", value: str = "") -> dict[str, Any] | None:
        """What Vault knows of the SecretID that one of the two names; None where it knows none that is alive."""
        what, given = ("-accessor", {"secret_id_accessor": accessor}) if accessor else ("", {"secret_id": value})
        path = f"auth/{mount}/role/{name}/secret-id{what}/lookup"
        try:
            return self.request("POST", path, given, missing_ok=True).get("data")
        except Refused as error:
            if error.status == 400:  # one that is half gone
                return None
            raise

    def destroy_secret_id(self, mount: str, name: str, accessor: str) -> None:
        """Nobody logs in with it any more; it may have ended already. Vault answers 500 for one that it does not know:
        so after a lost answer it is looked for, not blindly destroyed again."""
        path = f"auth/{mount}/role/{name}/secret-id-accessor/destroy"
        budget = Budget(VAULT_RETRIES)
        for _attempt in backoff(budget):
            if self.secret_id(mount, name, accessor=accessor) is None:
                return
            try:
                self.request("POST", path, {"secret_id_accessor": accessor}, retry=False, writes=True)
                return
            except Refused:
                raise
            except AgentError as error:
                if error.kind is ErrorKind.LOCK_LOST:
                    raise
                problem = error
        raise problem

    def logs_in(self, mount: str, role_id: str, secret_id: str) -> bool:
        """Whether a SecretID still works, tried without touching our own token. A Vault that cannot say is an error,
        LockedOut among them: it must not be taken for a SecretID that has ended."""
        with self.logged_in(mount, role_id, secret_id) as other:
            return other is not None

    def lift_lockout(self, mount: str, role_id: str) -> None:
        """Logins by this RoleID are answered again; nothing where it is not locked out."""
        accessor = self.request("GET", f"sys/internal/ui/mounts/auth/{mount}")["data"]["accessor"]
        self.request("POST", f"sys/locked-users/{accessor}/unlock/{role_id}", writes=True)

    @contextlib.contextmanager
    def logged_in(self, mount: str, role_id: str, secret_id: str) -> Iterator[Vault | None]:
        """Vault as the one sees it whose SecretID this is, by a token that is revoked in the end; None for a SecretID
        that does not work, or LockedOut. Our own token is not touched."""
        token = self._token_of(mount, role_id, secret_id)
        if token is None:
            yield None
            return
        other = copy.copy(self)
        other._token = other._shown = token
        try:
            yield other
        finally:
            other._revoke()

    def _token_of(self, mount: str, role_id: str, secret_id: str) -> str | None:
        given = {"role_id": role_id, "secret_id": secret_id}
        try:
            answer = self.request("POST", f"auth/{mount}/login", given)
        except Refused as error:
            if error.status == 400 and _OF_AN_ADDRESS in error.message:
                raise FromElsewhere(error.message, error.hint, error.status) from None
            if error.status == 400:
                return None
            if error.status == 403:
                raise LockedOut(
                    f"Vault at {self.address} has locked an AppRole out at auth/{mount}: too many logins had failed",
                    "It lets it in again 15 minutes after the last failed login, where nobody set another time.",
                    error.status,
                ) from None
            raise
        token = str((answer.get("auth") or {}).get("client_token") or "")
        self.keep_secret(token)
        return token


def _refusal(method: str, path: str, code: int, body: dict[str, Any]) -> Refused:
    words = "; ".join(body.get("errors") or []).strip().replace("\n", " ")[:200]
    capability = {
        "GET": "read",
        "LIST": "list",
        "PATCH": "patch",
        "POST": "create/update",
        "PUT": "create/update",
        "DELETE": "delete",
    }.get(method, method.lower())
    if code == 403:
        return Refused(
            f"Vault does not allow '{capability}' on {path} ({words or 'permission denied'})",
            "See docs/permissions for the policy, or renew the token.",
            code,
        )
    if code == 404:
        return Refused(
            f"Vault has nothing at {path}",
            "Was the agent provisioned? Look at its path and mount.",
            code,
        )
    if "check-and-set" in words:
        return CasConflict(
            f"Vault refused {method} {path}, for somebody else wrote there meanwhile (HTTP {code} {words})",
            "Nothing of it was written over. Run the same command again.",
            code,
        )
    return Refused(f"Vault refused {method} {path}: HTTP {code} {words}", "", code)

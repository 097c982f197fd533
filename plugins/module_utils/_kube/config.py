# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cluster, and as whom: kubernetes.core's options and order of sources, read from the operation's environment."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import (
    AUTH_ARG_MAP,
    AUTH_ARG_SPEC,
    AUTH_PROXY_HEADERS_SPEC,
)

from ansible_collections.digitalsys.agents.plugins.module_utils._core import http
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kubeconfig import Settings, settings_of

_HINT = "Set KUBECONFIG, or K8S_AUTH_HOST and K8S_AUTH_API_KEY, or the options kubeconfig and context."
#: Watches of one rollout hold connections; a pool that is too small would throw them away with a warning.
_CONNECTIONS = 10
_OF_A_SETTING = ("ssl_ca_cert", "cert_file", "key_file", "verify_ssl")
#: What needs no library where it was given; whatever else was does.
_PLAIN = {"kubeconfig", "context", "persist_config", "host", "api_key", *_OF_A_SETTING}
_PROXIES = {"http_proxy", "https_proxy", "all_proxy"}


@dataclass(frozen=True)
class Access:
    """host: the API server's address, without a slash at its end. pool: urllib3's, which verifies it and shows our
    certificate. authorization: gives the header's value, '' for none. configuration: gives the same for the library."""

    host: str
    pool: Any
    authorization: Callable[[], str]
    configuration: Callable[[], Any]


def _from_environment(option: str, client_name: str, environ: Mapping[str, str]) -> Any:
    if option == "proxy_headers":
        found = {
            name: environ[key]
            for name in AUTH_PROXY_HEADERS_SPEC
            if (key := f"K8S_AUTH_PROXY_HEADERS_{name.upper()}") in environ
        }
        return found or None
    value = environ.get(f"K8S_AUTH_{option.upper()}") or environ.get(f"K8S_AUTH_{client_name.upper()}")
    if value is not None and AUTH_ARG_SPEC[option].get("type") == "bool":
        return value.lower() not in ("0", "false", "no")
    return value


def sources(params: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The client's settings that were given: an option beats its K8S_AUTH_ variable; what nobody gave is absent."""
    found = {}
    for client_name, option in AUTH_ARG_MAP.items():
        value = params.get(option)
        if value is None:
            value = _from_environment(option, client_name, environ)
        if value is not None:
            found[client_name] = value
    return found


def access(params: Mapping[str, Any], environ: Mapping[str, str], private_folder: str, allow_insecure: bool) -> Access:
    """Of: host with credentials, kubeconfig or context, in-cluster, KUBECONFIG."""
    if importlib.util.find_spec("kubernetes") is None:  # not imported: most operations need nothing of it
        raise AgentError(
            ErrorKind.MISSING_LIBRARY, "the Python library kubernetes is missing", "pip install 'kubernetes>=35,<38'"
        )
    auth = sources(params, environ)
    complete = bool(
        auth.get("host")
        and (
            auth.get("api_key")
            or (auth.get("username") and auth.get("password"))
            or (auth.get("cert_file") and auth.get("key_file"))
        )
    )
    in_cluster = (
        not complete
        and "KUBERNETES_SERVICE_HOST" in environ
        and not (auth.get("kubeconfig") or auth.get("context"))
        and Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()
    )
    settings = None if in_cluster else _plain(auth, environ, private_folder, complete)
    if settings is None:
        return _by_library(auth, environ, private_folder, allow_insecure, complete, in_cluster)
    _refuse_insecure(settings.host, settings.verify_ssl, allow_insecure)
    return _directly(settings)


def _files(auth: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """As kubectl finds its kubeconfig, by the task's environment; several are joined by colons."""
    home = Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"
    return str(auth.get("kubeconfig") or environ.get("KUBECONFIG") or home)


def _plain(auth: Mapping[str, Any], environ: Mapping[str, str], private_folder: str, complete: bool) -> Settings | None:
    """None for what only the library can make something of: plugins, proxies, several files, passwords …"""
    if not _PLAIN.issuperset(auth) or isinstance(auth.get("kubeconfig"), Mapping):
        return None
    if any(name.lower() in _PROXIES and value for name, value in (*os.environ.items(), *environ.items())):
        return None
    if complete:
        settings: Settings | None = Settings(auth["host"])
    else:
        files = _files(auth, environ)
        settings = settings_of(Path(files).expanduser(), auth.get("context"), private_folder)
    if settings is None:
        return None
    given = {name: auth[name] for name in _OF_A_SETTING if name in auth}
    host = auth.get("host") or settings.host
    token = auth.get("api_key") or settings.token
    return replace(settings, host=host.rstrip("/"), token=token, **given)


def _directly(settings: Settings) -> Access:
    verified: dict[str, Any] = {
        "cert_reqs": "CERT_REQUIRED" if settings.verify_ssl else "CERT_NONE",
        "ca_certs": settings.ssl_ca_cert,
        "cert_file": settings.cert_file,
        "key_file": settings.key_file,
    }
    if settings.tls_server_name:
        verified["server_hostname"] = settings.tls_server_name
    pool = http.pool(maxsize=_CONNECTIONS, **verified)
    authorization = f"Bearer {settings.token}" if settings.token else ""

    def configuration() -> Any:
        from ansible_collections.digitalsys.agents.plugins.module_utils._kube import library

        return library.of_settings(settings)

    return Access(settings.host, pool, lambda: authorization, configuration)


def _by_library(
    auth: Mapping[str, Any],
    environ: Mapping[str, str],
    private_folder: str,
    allow_insecure: bool,
    complete: bool,
    in_cluster: bool,
) -> Access:
    from ansible_collections.digitalsys.agents.plugins.module_utils._kube import library

    try:
        config = (
            library.unloaded()
            if complete
            else library.loaded(auth, _files(auth, environ), private_folder, in_cluster=in_cluster)
        )
    except library.NotUsable as error:
        # An entry of the kubeconfig is named by all that it says, tokens and keys among it.
        words = str(error).splitlines()[0].partition("/{")[0][:200]
        raise AgentError(ErrorKind.INVALID, f"no usable access to a cluster: {words}", _HINT) from None
    for name, value in auth.items():
        if name == "api_key":
            if value:
                library.set_token(config, value)
                config.refresh_api_key_hook = None  # the one that was given counts, not the kubeconfig's
        elif name == "proxy_headers":
            library.set_proxy_headers(config, value)
        elif name == "host":
            config.host = value.rstrip("/")
        elif name not in ("kubeconfig", "context", "persist_config"):
            setattr(config, name, value)
    _refuse_insecure(config.host, config.verify_ssl, allow_insecure)
    config.retries = False
    config.connection_pool_maxsize = _CONNECTIONS
    return Access(config.host, library.pool(config), library.authorization(config), lambda: config)


def _refuse_insecure(host: str, verified: bool, allowed: bool) -> None:
    if (host.startswith("http://") or not verified) and not allowed:
        raise AgentError(
            ErrorKind.INVALID,
            f"the connection to {host} would not verify the server's certificate",
            "Give its CA (K8S_AUTH_SSL_CA_CERT; in AWX: the credential's CA field), or set agent_allow_insecure: true.",
        )


def impersonation(params: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    user = params.get("impersonate_user") or environ.get("K8S_AUTH_IMPERSONATE_USER")
    groups = params.get("impersonate_groups") or [
        g for g in (environ.get("K8S_AUTH_IMPERSONATE_GROUPS") or "").split(",") if g
    ]
    return {
        **({"Impersonate-User": user} if user else {}),
        **({"Impersonate-Group": ",".join(groups)} if groups else {}),
    }

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cluster, and as whom: kubernetes.core's options and order of sources, read from the operation's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import (
    AUTH_ARG_MAP,
    AUTH_ARG_SPEC,
    AUTH_PROXY_HEADERS_SPEC,
)

from ansible_collections.digitalsys.agents.plugins.module_utils._errors import AgentError

try:
    import kubernetes
    import urllib3

    HAS_KUBERNETES = True
except ImportError:
    HAS_KUBERNETES = False

_FILES = ("ssl_ca_cert", "cert_file", "key_file")
_SETTLED = ("host", "verify_ssl", "tls_server_name", "proxy", *_FILES)
_HINT = "Set KUBECONFIG, or K8S_AUTH_HOST and K8S_AUTH_API_KEY, or the options kubeconfig and context."


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


def _load(auth: Mapping[str, Any], config: Any, environ: Mapping[str, str], private_folder: str) -> None:
    # The loader writes certificate and key of an inline kubeconfig to files and leaves them; a worker runs no atexit.
    options = {
        "context": auth.get("context"),
        "client_configuration": config,
        "persist_config": False,
        "temp_file_path": private_folder,
    }
    kubeconfig = auth.get("kubeconfig")
    if isinstance(kubeconfig, Mapping):
        kubernetes.config.load_kube_config_from_dict(dict(kubeconfig), **options)
        return
    # The library's own default is fixed when it is imported: the task's environment would come too late.
    home = Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"
    files = str(kubeconfig or environ.get("KUBECONFIG") or home)
    if not any(Path(file).expanduser().is_file() for file in files.split(os.pathsep)):
        raise OSError(f"there is no kubeconfig at {files}")
    kubernetes.config.load_kube_config(config_file=files, **options)


def _into_memory(config: Any, private_folder: str) -> None:
    """What the loader wrote to files is held in memory instead: SIGKILL would leave them behind. Where a system has no
    such files, the private folder is removed by the host. They live as long as the process, which is one task."""
    if not hasattr(os, "memfd_create"):
        return
    held: dict[Path, str] = {}  # certificate and key may be one file
    for name in _FILES:
        path = Path(getattr(config, name) or "/")
        if path.parent != Path(private_folder):
            continue
        if path not in held:
            memory = os.memfd_create(name)
            with open(memory, "wb", closefd=False) as file:
                file.write(path.read_bytes())
            path.unlink()
            held[path] = f"/proc/self/fd/{memory}"
        setattr(config, name, held[path])


def _settle(config: Any) -> None:
    """The loader renews the token whenever it is asked for, and with it sets host and files as it first read them: away
    from the memory files and from what options and environment said. Only the token is taken."""
    refresh = config.refresh_api_key_hook
    if refresh is None:
        return

    def renew(current: Any) -> None:
        settled = {name: getattr(current, name) for name in _SETTLED}
        refresh(current)
        for name, value in settled.items():
            setattr(current, name, value)
        current.refresh_api_key_hook = renew

    config.refresh_api_key_hook = renew


def configuration(
    params: Mapping[str, Any], environ: Mapping[str, str], private_folder: str, allow_insecure: bool
) -> Any:
    """A kubernetes.client.Configuration, of: host with credentials, kubeconfig or context, in-cluster, KUBECONFIG."""
    if not HAS_KUBERNETES:
        raise AgentError(
            "missing_library", "the Python library kubernetes is missing", "pip install 'kubernetes>=35,<38'"
        )
    auth = sources(params, environ)
    config = kubernetes.client.Configuration()
    complete = auth.get("host") and (
        auth.get("api_key")
        or (auth.get("username") and auth.get("password"))
        or (auth.get("cert_file") and auth.get("key_file"))
    )
    try:
        if not complete:
            in_cluster = "KUBERNETES_SERVICE_HOST" in environ and not (auth.get("kubeconfig") or auth.get("context"))
            if in_cluster and Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists():
                kubernetes.config.load_incluster_config(client_configuration=config)
            else:
                _load(auth, config, environ, private_folder)
                _into_memory(config, private_folder)
    except (kubernetes.config.ConfigException, OSError, ValueError, TypeError) as error:
        raise AgentError("invalid", f"no usable access to a cluster: {_first_line(error)}", _HINT) from None
    for name, value in auth.items():
        if name == "api_key":
            # Its name in the client's table of keys differs between releases of the client.
            config.api_key = {"authorization": f"Bearer {value}", "BearerToken": f"Bearer {value}"}
        elif name == "proxy_headers":
            config.proxy_headers = urllib3.util.make_headers(**value)
        elif name == "host":
            config.host = value.rstrip("/")
        elif name not in ("kubeconfig", "context", "persist_config"):
            setattr(config, name, value)
    if config.host.startswith("http://") or not config.verify_ssl:
        _refuse_insecure(config.host, allow_insecure)
    config.retries = False
    if auth.get("api_key"):
        config.refresh_api_key_hook = None  # the one that was given counts, not the kubeconfig's
    _settle(config)
    return config


def _refuse_insecure(host: str, allowed: bool) -> None:
    if not allowed:
        raise AgentError(
            "invalid",
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that the kubernetes library does for us: kubeconfigs that are not of the plain kind, and streams into a pod.

Its import takes as long as ansible's own start. So nothing imports this file but what needs it: an operation that
opens streams, at its top, before workers are forked; and whoever meets such a kubeconfig.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import EXEC
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kubeconfig import Settings, hold

try:
    import kubernetes
    import yaml
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config import ConfigException
    from kubernetes.stream import portforward, stream
    from urllib3.util import make_headers
except ImportError:
    pass  # _kube_config.access says so, before anything of this file is used

_FILES = ("ssl_ca_cert", "cert_file", "key_file")
_SETTLED = ("host", "verify_ssl", "tls_server_name", "proxy", *_FILES)


class NotUsable(Exception):
    """No access to a cluster comes of what was given; the library's words."""


class NoStream(Exception):
    """The API server opens no stream to a pod; as the library has it, mostly status 0 and words."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def loaded(auth: Mapping[str, Any], files: str, private_folder: str, *, in_cluster: bool) -> Any:
    """A kubernetes.client.Configuration of the kubeconfig in `auth`, of these files, or of the pod we run in."""
    config = client.Configuration()
    try:
        if in_cluster:
            kubernetes.config.load_incluster_config(client_configuration=config)
        else:
            _load(auth, config, files, private_folder)
            _into_memory(config, private_folder)
    except (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError) as error:
        raise NotUsable(str(error) or type(error).__name__) from None
    _settle(config)
    return config


def unloaded() -> Any:
    """One that says nothing yet but which proxy the environment names."""
    return client.Configuration()


def _load(auth: Mapping[str, Any], config: Any, files: str, private_folder: str) -> None:
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
    if not any(Path(file).expanduser().is_file() for file in files.split(os.pathsep)):
        raise OSError(f"there is no kubeconfig at {files}")
    kubernetes.config.load_kube_config(config_file=files, **options)


def _into_memory(config: Any, private_folder: str) -> None:
    """What the loader wrote to files is held in memory instead."""
    held: dict[Path, str] = {}  # certificate and key may be one file
    for name in _FILES:
        path = Path(getattr(config, name) or "/")
        if path.parent != Path(private_folder):
            continue
        if path not in held:
            content = path.read_bytes()
            path.unlink()
            held[path] = hold(name, content, private_folder)
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


def of_settings(settings: Settings) -> Any:
    """The same for the library as for us."""
    config = client.Configuration()
    config.host = settings.host
    config.verify_ssl = settings.verify_ssl
    for name in (*_FILES, "tls_server_name"):
        setattr(config, name, getattr(settings, name))
    if settings.token:
        set_token(config, settings.token)
    config.retries = False
    return config


def set_token(config: Any, token: str) -> None:
    # Its name in the client's table of keys differs between releases of the client.
    config.api_key = {"authorization": f"Bearer {token}", "BearerToken": f"Bearer {token}"}


def set_proxy_headers(config: Any, given: Mapping[str, Any]) -> None:
    config.proxy_headers = make_headers(**given)


def pool(config: Any) -> Any:
    """urllib3's, as the library makes it: with the proxy, if any, and the hosts that are spoken to without it."""
    return RESTClientObject(config).pool_manager


def authorization(config: Any) -> Callable[[], str]:
    """What gives the value of the header Authorization, renewed where it has ended."""
    return lambda: str((config.auth_settings().get("BearerToken") or {}).get("value") or "")


def pods_api(config: Any) -> Any:
    """A client of its own for each stream: the stream module exchanges the client's transport while it connects. The
    first one takes most of a second, since the library loads what it needs only then."""
    return client.CoreV1Api(client.ApiClient(config))


def _within(seconds: float, connect: Callable[[], Any]) -> Any:
    """The library opens a stream without any bound in time: a server that takes the connection and says no more would
    be waited for for ever. What comes later than that is nobody's any more, and ends with this process."""
    answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((connect(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=run, name="stream", daemon=True).start()
    try:
        opened, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise NoStream(0, f"no answer within {seconds:.0f} s") from None
    if isinstance(error, ApiException):
        raise NoStream(error.status, error.reason) from None
    if error:
        raise error
    return opened


def port_forward(config: Any, namespace: str, pod: str, port: int, seconds: float) -> Any:
    """A socket to the pod's port through the API server. NoStream where it opens none in that time."""
    connect = pods_api(config).connect_get_namespaced_pod_portforward
    return _within(seconds, lambda: portforward(connect, pod, namespace, ports=str(port)).socket(port))


def execute(config: Any, namespace: str, pod: str, container: str, command: list[str]) -> str:
    """What a command in the container prints. NoStream where it did not come to run."""
    connect = pods_api(config).connect_get_namespaced_pod_exec
    # Nothing is sent, and what it complains of is not wanted.
    wanted = {"stdin": False, "stdout": True, "stderr": False, "tty": False}
    run = {"container": container, "command": command, "_request_timeout": EXEC}
    return str(_within(EXEC, lambda: stream(connect, pod, namespace, **run, **wanted)))

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubeconfig, read without the kubernetes library, which takes as long to import as ansible's own start.

Only the plain kind: one file, with an address, a certificate authority, and a token or a client certificate. Whatever
says more, or is not as it should be, is the library's to read, and to complain of.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import yaml

    HAS_YAML = True
except ImportError:
    HAS_YAML = False

_OF_A_CLUSTER = {
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
}
_OF_A_USER = {"token", "client-certificate", "client-certificate-data", "client-key", "client-key-data"}


@dataclass(frozen=True)
class Settings:
    """Where the API server is and how it is spoken to; files by their paths. None for what was not given."""

    host: str
    token: str | None = None
    ssl_ca_cert: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify_ssl: bool = True
    tls_server_name: str | None = None


def hold(name: str, content: bytes, private_folder: str) -> str:
    """A path to this content, for what takes nothing but files: in memory, since SIGKILL would leave a file behind.
    Where a system has no such files, the private folder is removed by the host. They live as long as the process,
    which is one task."""
    if not hasattr(os, "memfd_create"):
        path = Path(private_folder) / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return str(path)
    memory = os.memfd_create(name)
    with open(memory, "wb", closefd=False) as file:
        file.write(content)
    return f"/proc/self/fd/{memory}"


def settings_of(path: Path, context: str | None, private_folder: str) -> Settings | None:
    """What the kubeconfig at this path says; None where it is not of the plain kind."""
    if not HAS_YAML:
        return None
    try:
        with path.open(encoding="utf-8") as file:
            whole = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        chosen = _named(whole["contexts"], "context", context or whole["current-context"])
        cluster = _named(whole["clusters"], "cluster", chosen["cluster"])
        user = _named(whole["users"], "user", chosen["user"])
        if not (_OF_A_CLUSTER.issuperset(cluster) and _OF_A_USER.issuperset(user)):
            return None
        if not cluster["server"].startswith("https://"):
            return None
        token = user.get("token")
        if "token" in user and not (token and isinstance(token, str)):
            return None
        return Settings(
            host=cluster["server"].rstrip("/"),
            token=token,
            ssl_ca_cert=_file(cluster, "certificate-authority", path, private_folder),
            cert_file=_file(user, "client-certificate", path, private_folder),
            key_file=_file(user, "client-key", path, private_folder),
            verify_ssl=not _flag(cluster.get("insecure-skip-tls-verify", False)),
            tls_server_name=cluster.get("tls-server-name"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return None


def _named(entries: Any, what: str, name: Any) -> Mapping[str, Any]:
    """Of the one entry with this name, what it says; ValueError where there is none, or several."""
    (found,) = (entry[what] for entry in entries if entry["name"] == name)
    if not isinstance(found, Mapping):
        raise TypeError(what)
    return found


def _file(section: Mapping[str, Any], name: str, config: Path, private_folder: str) -> str | None:
    """What is given inline beats a path, and a path is meant from the kubeconfig's folder."""
    if f"{name}-data" in section:
        content = base64.standard_b64decode(section[f"{name}-data"])
        if not content:
            raise ValueError(name)
        return hold(name, content, private_folder)
    if name not in section:
        return None
    path = os.path.normpath(os.path.join(os.path.abspath(config.parent), section[name]))
    if not os.path.isfile(path):
        raise FileNotFoundError(name)
    return path


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("no boolean")
    return value

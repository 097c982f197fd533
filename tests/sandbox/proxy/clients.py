"""The proxy in front of a real cluster and its Vault, and what clients need to go through it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ..paths import write_secret
from ..pki import Authority, authority, pem
from .exchange import Front
from .server import FaultProxy
from .tls import serving, trusting

API = "api"
VAULT = "vault"


@dataclass(frozen=True)
class Access:
    """Who asks, and where: taken from a kubeconfig with a bearer token."""

    server: str
    ca: str  # PEM
    user: Mapping[str, Any]  # token or tokenFile
    namespace: str


@dataclass(frozen=True)
class Through:
    """A running proxy and the environment that sends every client through it."""

    proxy: FaultProxy
    kubeconfig: Path
    ca: Path  # PEM of the authority that signed the proxy's certificate
    environment: Mapping[str, str]  # the given one, with KUBECONFIG and VAULT_ADDR changed


def read_access(kubeconfig: Path) -> Access:
    """ValueError when the current context has no bearer token: a proxy cannot pass a client certificate on."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config, "contexts", config["current-context"])["context"]
    cluster = _named(config, "clusters", context["cluster"])["cluster"]
    user = _named(config, "users", context["user"])["user"]
    if not ({"token", "tokenFile"} & set(user)):
        raise ValueError(f"{kubeconfig}: user {context['user']} has no bearer token")
    if "certificate-authority-data" in cluster:
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
    else:
        ca = (kubeconfig.parent / cluster["certificate-authority"]).read_text()
    return Access(cluster["server"], ca, user, context.get("namespace", "default"))


def _named(config: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    return next(entry for entry in config[kind] if entry["name"] == name)


def write_kubeconfig(path: Path, access: Access, port: int, ca: str) -> None:
    """The same identity at the proxy's port. Readable by us only: it holds the token."""
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": base64.b64encode(ca.encode()).decode(),
    }
    user = {key: access.user[key] for key in ("token", "tokenFile") if key in access.user}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "proxy",
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "me", "namespace": access.namespace}}],
        "clusters": [{"name": "proxy", "cluster": cluster}],
        "users": [{"name": "me", "user": user}],
    }
    write_secret(path, yaml.safe_dump(config))


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


@contextmanager
def proxied(
    folder: Path, environment: Mapping[str, str] | None = None, signer: Authority | None = None
) -> Iterator[Through]:
    """A proxy in front of the API server of KUBECONFIG and the Vault of VAULT_ADDR (plain HTTP).

    `environment` (default: this process's) names both; `folder` takes the new kubeconfig and the proxy's certificate.
    `signer` signs that certificate; without one a throwaway does, which the new kubeconfig trusts: the same works
    on a cluster whose CA key cannot be had.
    """
    given = dict(os.environ if environment is None else environment)
    access = read_access(Path(given["KUBECONFIG"]))
    signer = signer or authority("fault proxy")
    ca_pem = pem(signer.certificate)
    api_host, api_port = _address(access.server)
    vault_host, vault_port = _address(given["VAULT_ADDR"])
    fronts = [
        Front(API, api_host, api_port, trusting(access.ca), serving(signer, folder)),
        Front(VAULT, vault_host, vault_port, errors="vault"),
    ]
    ca, kubeconfig = folder / "proxy-ca.pem", folder / "proxy.kubeconfig"
    ca.write_text(ca_pem)
    with FaultProxy(fronts) as proxy:
        write_kubeconfig(kubeconfig, access, proxy.port(API), ca_pem)
        changed = {"KUBECONFIG": str(kubeconfig), "VAULT_ADDR": f"http://127.0.0.1:{proxy.port(VAULT)}"}
        yield Through(proxy, kubeconfig, ca, given | changed)

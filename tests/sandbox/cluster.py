"""Talking to the sandbox's API server as its administrator: kubectl for writes, plain GETs for waiting."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

from .addresses import APISERVER, FIELD_MANAGER
from .errors import SandboxError
from .paths import ADMIN_KUBECONFIG, BIN, PKI, RUN


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    context.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")
    return context


def answers(url: str, seconds: float = 2.0) -> bool:
    """Whether a GET is answered with 200 (with the sandbox's certificates where it is https)."""
    try:
        with _open(url, seconds) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False


def _open(url: str, seconds: float) -> Any:
    # No proxy of the environment's: these are loopback and our bridge.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    # The registry is asked before there are certificates.
    if url.startswith("https://"):
        handlers.append(urllib.request.HTTPSHandler(context=_context()))
    return urllib.request.build_opener(*handlers).open(url, timeout=seconds)


def get(path: str) -> dict[str, Any] | None:
    """An object or a list by its API path; None when it is not there (or the server is not)."""
    try:
        with _open(f"{APISERVER}{path}", 5.0) as response:
            found: dict[str, Any] = json.load(response)
            return found
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise SandboxError(f"GET {path}: {error}") from error
    except OSError:
        return None


def kubectl(*words: str, stdin: str | None = None) -> str:
    """Runs kubectl as the administrator and returns what it prints; SandboxError with its own words on failure."""
    answer = subprocess.run(
        [str(BIN / "kubectl"), f"--cache-dir={RUN}/kubectl-cache", *words],
        env={**os.environ, "KUBECONFIG": str(ADMIN_KUBECONFIG)},
        input=stdin,
        capture_output=True,
        text=True,
    )
    if answer.returncode:
        raise SandboxError(f"kubectl {' '.join(words)}: {answer.stderr.strip()}")
    return answer.stdout


def apply(objects: Iterable[Mapping[str, Any]]) -> None:
    """Server-side apply of these objects, by the collection's own field manager. Through stdin: some are secret."""
    bundle = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl(
        "apply", "--server-side", f"--field-manager={FIELD_MANAGER}", "--validate=false", "-f", "-",
        stdin=json.dumps(bundle),
    )  # fmt: skip


def condition(found: Mapping[str, Any] | None, kind: str) -> bool:
    """Whether an object's condition of this type is True."""
    conditions = (found or {}).get("status", {}).get("conditions", [])
    return any(entry["type"] == kind and entry["status"] == "True" for entry in conditions)

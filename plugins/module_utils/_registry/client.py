# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that speaks the OCI distribution API, its token flow included."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ansible_collections.digitalsys.agents.plugins.module_utils._core.http import Http, basic, parsed
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import REGISTRY_REQUEST
from ansible_collections.digitalsys.agents.plugins.module_utils._options.image import Image

_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


def credentials(registry: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password: from the environment (AWX), else from Docker's own file. None for an open registry."""
    user = environ.get("AGENTS_REGISTRY_USERNAME")
    password = environ.get("AGENTS_REGISTRY_PASSWORD")
    if user and password:
        return user, password
    folder = environ.get("DOCKER_CONFIG") or str(Path(environ.get("HOME") or "/nonexistent") / ".docker")
    try:
        entry = json.loads((Path(folder) / "config.json").read_text()).get("auths", {}).get(registry) or {}
        name, _colon, word = base64.b64decode(entry.get("auth") or "").decode().partition(":")
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return (name, word) if name and word else None


def _challenge(header: str) -> dict[str, str]:
    """The parameters of «Bearer realm="…",service="…",scope="…"»."""
    return dict(re.findall(r'([a-z]+)="([^"]*)"', header)) if header.lower().startswith("bearer ") else {}


def _scheme(registry: str) -> str:
    """Plain HTTP on this machine only, as containerd does."""
    host = registry.rsplit(":", 1)[0]
    return "http" if host in ("localhost", "127.0.0.1") else "https"


class Registry:
    """Of one image: asked without a login first, then as the answer demands."""

    def __init__(self, image: Image, environ: Mapping[str, str]) -> None:
        self.image = image
        self.base = f"{_scheme(image.registry)}://{image.registry}/v2/{image.repository}"
        self.login = credentials(image.registry, environ)
        scheme = _scheme(image.registry)
        proxy = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY") or ""
        ca = environ.get("REQUESTS_CA_BUNDLE") or environ.get("SSL_CERT_FILE") or ""
        # The registry on this machine is not behind a proxy.
        self.http = Http(ca, proxy if scheme == "https" else "")

    def head(self, reference: str) -> Any:
        url = f"{self.base}/manifests/{reference}"
        headers = {"Accept": _ACCEPT}
        answer = self._ask("HEAD", url, headers)
        if answer.status != 401:
            return answer
        login = {"Authorization": basic(*self.login)} if self.login else {}
        asked = _challenge(answer.headers.get("WWW-Authenticate", ""))
        if not asked.get("realm"):
            return self._ask("HEAD", url, {**headers, **login}) if login else answer
        query = urlencode([(name, asked[name]) for name in ("service", "scope") if name in asked])
        realm = asked["realm"] + (("&" if "?" in asked["realm"] else "?") + query if query else "")
        given = self._ask("GET", realm, login, follow=True)
        if given.status != 200:
            return given
        token = parsed(given).get("token") or parsed(given).get("access_token") or ""
        return self._ask("HEAD", url, {**headers, "Authorization": f"Bearer {token}"})

    def _ask(self, method: str, url: str, headers: Mapping[str, str], *, follow: bool = False) -> Any:
        return self.http.send(method, url, headers, timeout=REGISTRY_REQUEST, follow=follow)

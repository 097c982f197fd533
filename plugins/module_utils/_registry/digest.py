# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digest behind a tag, from any registry that speaks the OCI distribution API (token flow included)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.http import NoAnswer
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import RETRYABLE, Budget, backoff
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import REGISTRY_RETRIES
from ansible_collections.digitalsys.agents.plugins.module_utils._options.image import Image
from ansible_collections.digitalsys.agents.plugins.module_utils._registry.client import Registry

_DIGEST = re.compile(r"\Asha256:[0-9a-f]{64}\Z")


def resolve(image: Image, environ: Mapping[str, str], budget: Budget | None = None) -> Image:
    """The same image with the digest that its tag means now; an image that has a digest is only looked for.

    Raises AgentError 'image' that tells apart: not there, not allowed, not reachable.
    """
    registry = Registry(image, environ)
    reference = image.digest or image.tag or "latest"
    try:
        for _attempt in backoff(budget or Budget(REGISTRY_RETRIES)):
            try:
                answer = registry.head(reference)
            except NoAnswer as error:
                problem = str(error)
                answer = None
                continue
            if answer.status not in RETRYABLE:
                break
            problem = f"HTTP {answer.status}"
    finally:
        registry.http.close()
    if answer is None or answer.status in RETRYABLE:
        raise AgentError(
            ErrorKind.IMAGE, f"registry {image.registry} did not answer: {problem}", "Nothing was changed; run again."
        )
    if answer.status in (401, 403):
        raise AgentError(
            ErrorKind.IMAGE,
            f"registry {image.registry} refuses to show {image} (HTTP {answer.status})",
            "Log in with docker login, or set AGENTS_REGISTRY_USERNAME and AGENTS_REGISTRY_PASSWORD.",
        )
    if answer.status == 404:
        raise AgentError(
            ErrorKind.IMAGE,
            f"{image} does not exist in its registry",
            "Look at the tag or digest; nothing was changed.",
        )
    digest = answer.headers.get("Docker-Content-Digest", "")
    if answer.status != 200 or not (_DIGEST.match(digest) or image.digest):
        raise AgentError(
            ErrorKind.IMAGE, f"registry {image.registry} answered HTTP {answer.status} without a digest for {image}"
        )
    return replace(image, digest=image.digest or digest)

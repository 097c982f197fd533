# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image references: registry/repository[:tag][@digest], taken apart and put together."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind

_REFERENCE = re.compile(
    r"\A(?P<registry>[a-z0-9]+(?:(?:\.|-+)[a-z0-9]+)*(?::[0-9]{1,5})?)/(?P<repository>[a-z0-9]+(?:(?:[./]|_{1,2}|-+)[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?\Z"
)
_TAG = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")


@dataclass(frozen=True)
class Image:
    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.repository}"

    @property
    def pinned(self) -> str:
        """What goes into a pod: by digest alone, so that no node resolves a tag on its own. (Rendered without a look
        at the registry there may be none.)"""
        return f"{self.name}@{self.digest}" if self.digest else str(self)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Image:
    match = _REFERENCE.match(text) if isinstance(text, str) else None
    if not match or (not any(mark in match["registry"] for mark in ".:") and match["registry"] != "localhost"):
        raise AgentError(
            ErrorKind.INVALID,
            f"image: {str(text)[:120]!r} is not a full reference",
            "Write registry.example.com/team/name with :tag or @sha256:… (64 hexadecimal digits) behind it.",
        )
    return Image(match["registry"], match["repository"], match["tag"] or "", match["digest"] or "")


def with_tag(image: Image, tag: str) -> Image:
    if not isinstance(tag, str) or not _TAG.match(tag):
        raise AgentError(
            ErrorKind.INVALID, f"tag: {str(tag)[:80]!r} is not an image tag", "Letters, digits, '_', '.', '-'."
        )
    return replace(image, tag=tag, digest="")

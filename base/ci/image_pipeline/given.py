"""What the hand-over is given by its environment, judged before anything is done with it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from image_pipeline.tools import Failed

_IMAGE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?@(?P<digest>sha256:[0-9a-f]{64})"
)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Image:
    """An image by digest. `short`: its tag, or the head of its digest, for people."""

    reference: str
    short: str


def image() -> Image:
    """IMAGE. Only a digest is handed over: a tag could be another image by the time the fleet asks for it."""
    text = optional("IMAGE")
    match = _IMAGE.fullmatch(text)
    if not match:
        raise Failed(
            f"IMAGE is {text!r}, which is no image by digest",
            "registry.example.com/team/name:tag@sha256:…, the output `image` of base/ci/push",
        )
    return Image(text, match["tag"] or match["digest"].removeprefix("sha256:")[:12])


def optional(name: str) -> str:
    """A variable's value without blanks around it; one that is not set is empty."""
    return os.environ.get(name, "").strip()


def needed(name: str, hint: str) -> str:
    value = optional(name)
    if not value:
        raise Failed(f"{name} is not set", hint)
    return value


def token(name: str) -> str:
    """A token, or nothing. One that cannot stand in a header is refused here, in words that do not show it."""
    value = optional(name)
    if not re.fullmatch(r"[!-~]*", value):
        raise Failed(
            f"{name} holds a blank, a line break or another character that no token has",
            f"Set the secret {name} anew, with the token and nothing else.",
        )
    return value


def address(name: str, default: str = "") -> str:
    """A server's address, with no slash at its end: https, or http on this machine. A token goes there."""
    text = optional(name) or default
    hint = f"Set {name} to an address like {default or 'https://awx.example.com'}."
    if not text:
        raise Failed(f"{name} is not set", hint)
    if "@" in text:
        raise Failed(f"{name} has a login in it", hint)
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise Failed(f"{name} is {text!r}: {error}", hint) from None
    if url.scheme not in ("https", "http") or not url.hostname or url.query or url.fragment:
        raise Failed(f"{name} is {text!r}, which is no server's address", hint)
    if url.scheme == "http" and url.hostname not in _LOOPBACK:
        raise Failed(f"{name} is {text!r}: a token does not go over plain HTTP", hint)
    return text.rstrip("/")

"""One repository of a registry, as skopeo sees it. Logins are skopeo's: `login`, `docker login`, REGISTRY_AUTH_FILE."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_pipeline import archive
from image_pipeline.tools import Failed, ToolFailed, is_here, run, say

#: Seconds for one look, and for a push: skopeo itself waits for ever.
LOOK_SECONDS = 60
PUSH_SECONDS = 1800
#: Seconds before a push that a broken connection ended is tried again (skopeo's own retries leave most of them out).
#: What has arrived is not sent twice.
PAUSES = (1.0, 5.0, 15.0)


@dataclass(frozen=True)
class Known:
    """What a tag points at."""

    digest: str
    config: dict[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        return self.config.get("config", {}).get("Labels") or {}


def digest(repository: str, tag: str) -> str | None:
    """The digest that a tag points at; None where the registry has no such tag, or no such repository yet."""
    try:
        raw = _inspect(repository, f":{tag}", "--raw")
    except ToolFailed as error:
        if is_unknown(error.said):
            return None
        raise told(repository, error.said) from None
    return archive.digest_of(raw.encode())


def look(repository: str, tag: str) -> Known | None:
    """As `digest`, with the image's configuration."""
    found = digest(repository, tag)
    if found is None:
        return None
    try:
        config = _inspect(repository, f"@{found}", "--config")
    except ToolFailed as error:
        raise told(repository, error.said) from None
    return Known(found, json.loads(config))


def push(path: Path, repository: str, tag: str, wanted: str) -> None:
    """Pushes an archive byte for byte, and looks whether the tag then points at `wanted`, the archive's digest."""
    _copy(f"oci-archive:{path}", repository, tag, wanted)


def move(repository: str, tag: str, wanted: str) -> None:
    """Points a tag at the image of a digest, which the repository has."""
    _copy(f"docker://{repository}@{wanted}", repository, tag, wanted)


def _copy(source: str, repository: str, tag: str, wanted: str) -> None:
    options = ["--preserve-digests", "--quiet"]
    options += ["--src-tls-verify=false", "--dest-tls-verify=false"] if is_here(repository) else []
    for pause in (*PAUSES, None):
        try:
            _skopeo("copy", *options, source, f"docker://{repository}:{tag}", seconds=PUSH_SECONDS)
            break
        except ToolFailed as error:
            if pause is None or not re.search(_PASSES, error.said, re.IGNORECASE):
                raise told(repository, error.said) from None
            say(f"push: {told(repository, error.said)}; again in {pause:.0f} s")
            time.sleep(pause)
    if (arrived := digest(repository, tag)) != wanted:
        raise Failed(
            f"{repository}:{tag} was pushed as {wanted} and is {arrived}",
            "Somebody else pushes this tag at the same time, or the registry changes what it is sent.",
        )


def _inspect(repository: str, reference: str, what: str) -> str:
    options = ["--tls-verify=false"] if is_here(repository) else []
    return _skopeo("inspect", what, *options, f"docker://{repository}{reference}", seconds=LOOK_SECONDS)


def _skopeo(*words: str, seconds: float) -> str:
    # skopeo's own limit ends before ours, and says where it stood.
    return run("skopeo", f"--command-timeout={seconds:.0f}s", *words, timeout=seconds + 10)


def is_unknown(said: str) -> bool:
    """Whether the registry says that it has no such tag or repository (the distribution specification's codes)."""
    return re.search(r"manifest unknown|name unknown|repository name not known", said, re.IGNORECASE) is not None


_BROKEN = r"connection reset|connection lost|broken pipe|\beof\b|use of closed"
_BUSY = r"\b(429|500|502|503|504)\b|toomanyrequests|too many requests"
#: What goes by: worth another try.
_PASSES = rf"{_BROKEN}|{_BUSY}|handshake timeout|i/o timeout"
_CAUSES = (
    (
        r"method not allowed|read-?only|operation is unsupported",
        "takes no pushes now (read-only)",
        "A garbage collection may be going on: wait for its end, and run this again.",
    ),
    (
        r"unauthorized|authentication required|access to the resource is denied|denied:|no basic auth|403 \(?forbidden",
        "refuses the login",
        "Log in with a right to write: in the workflow, look at the secret DIGITALOCEAN_TOKEN; elsewhere: skopeo login",
    ),
    (
        r"no such host|connection refused|network is unreachable|no route to host",
        "cannot be reached",
        "Look at the registry's name and at the network.",
    ),
    (
        r"deadline exceeded|timeout|not done within",
        "does not answer in time",
        "Run this again: what has arrived is not sent twice.",
    ),
    (_BUSY, "is busy", "Run this again a little later: what has arrived is not sent twice."),
    (
        _BROKEN,
        "loses the connection",
        "Run this again: what has arrived is not sent twice.",
    ),
    (
        r"x509|certificate|server gave http response to https",
        "shows no certificate that this machine trusts",
        "Look at the registry's name; plain HTTP is spoken with registries on this machine alone.",
    ),
)


def told(repository: str, said: str) -> Failed:
    """What a person needs to know of skopeo's words."""
    host = repository.partition("/")[0]
    last = said.strip().splitlines()[-1] if said.strip() else ""
    cause = re.sub(r'^time="[^"]*" level=\w+ msg=', "", last)[-400:]
    for pattern, what, hint in _CAUSES:
        if re.search(pattern, said, re.IGNORECASE):
            return Failed(f"the registry {host} {what}: {cause}", hint)
    return Failed(f"the registry {host} refuses: {cause}", "The words are the registry's.")

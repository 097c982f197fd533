"""What a build is made from: the commit, its time, the base image's name, and the version of openclaw."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from image_pipeline.tools import Failed, ToolFailed, run

#: What lies beside the Dockerfile and does not go into the image: the pipeline, and its smoke test.
NOT_IN_IMAGE = ("ci", "smoke")
DIRTY = "-dirty"


@dataclass(frozen=True)
class Source:
    """`revision`: the commit, with `-dirty` behind it where the context holds what that commit does not.

    `time`: of the last commit that touched what goes into the image, in seconds since 1970. It becomes the time of
    every file that the build makes, so that a build of the same context is the same.
    """

    revision: str
    time: int
    url: str


def _git(context: Path, *words: str) -> str:
    return run("git", "-C", context, *words).strip()


def read(context: Path) -> Source:
    """Failed where Git cannot tell: no repository, a shallow clone, a context that no commit holds."""
    try:
        revision = _git(context, "rev-parse", "HEAD")
    except ToolFailed as error:
        raise Failed(f"{context} is in no Git repository with a commit ({error.said})", "Build from a clone.") from None
    if _git(context, "rev-parse", "--is-shallow-repository") == "true":
        raise Failed(
            "this clone is shallow: Git cannot tell which commit touched the image last",
            "git fetch --unshallow; in a workflow: actions/checkout with fetch-depth: 0",
        )
    what = (".", *(f":(exclude){name}" for name in NOT_IN_IMAGE))
    time = _git(context, "log", "-1", "--format=%ct", "--", *what)
    if not time:
        raise Failed(f"no commit holds {context}", "Commit it first: an image is built from what a commit holds.")
    dirty = _git(context, "status", "--porcelain", "--", *what)
    return Source(revision + (DIRTY if dirty else ""), int(time), _url(context))


def _url(context: Path) -> str:
    """Where the source lies, for people: GitHub's page in a workflow, else the remote's, where it has one."""
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}"
    try:
        return web_page(_git(context, "remote", "get-url", "origin"))
    except ToolFailed:
        return ""


def web_page(remote: str) -> str:
    """https://host/path of a remote, without a login or token that stands in it; empty where it is no such address."""
    match = re.fullmatch(r"(?:https?://|ssh://)?(?:[^@/]*@)?([\w.-]+)(?::\d+)?[:/](?!/)(.+?)(?:\.git)?/?", remote)
    if not match or remote.startswith(("/", ".", "file:")) or "." not in match[1]:
        return ""
    return f"https://{match[1]}/{match[2]}"


def base_image(dockerfile: str) -> str:
    """The image that a Dockerfile's first stage stands on."""
    match = re.search(r"^FROM\s+(?:--\S+\s+)*(\S+)", dockerfile, re.MULTILINE | re.IGNORECASE)
    if not match or "$" in match[1] or match[1] == "scratch":
        raise Failed(
            "the Dockerfile's first FROM names no image", "It is written out there, so that Dependabot can read it."
        )
    return match[1]


def locked_version(lock: str, package: str) -> str:
    """The version of a package in the text of a package-lock.json."""
    try:
        return str(json.loads(lock)["packages"][f"node_modules/{package}"]["version"])
    except (KeyError, ValueError):
        raise Failed(
            f"package-lock.json has no {package}", f"In base/: npm install --package-lock-only {package}@VERSION"
        ) from None

"""An archive goes to the registry, under a tag that never moves; from main also as `latest`.

A build whose content `latest` has already is not pushed at all: a change to the workflow, or a week without news,
restarts nobody.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from image_pipeline import archive, registry, source
from image_pipeline.tools import CHECKOUT, Failed, ToolFailed, is_here, output, run, say, summary

LATEST = "latest"
DIGEST_FILE = "digest"


@dataclass(frozen=True)
class Wanted:
    """`run`: the number of a weekly or manual run, whose build of the same commit has a tag of its own."""

    archive: Path
    repository: str
    run: str
    latest: bool


def from_environment(path: Path) -> Wanted:
    """IMAGE_REPOSITORY, RUN_NUMBER, LATEST. Failed where one is not what it can be."""
    repository = os.environ.get("IMAGE_REPOSITORY", "")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+", repository):
        raise Failed(
            f"IMAGE_REPOSITORY is {repository!r}, which is no repository",
            "registry.example.com/team/name, with no tag and in small letters",
        )
    number = os.environ.get("RUN_NUMBER", "")
    if not re.fullmatch(r"\d*", number):
        raise Failed(f"RUN_NUMBER is {number!r}, which is no number", "Leave it empty for a push's build.")
    latest = os.environ.get("LATEST", "") or "false"
    if latest not in ("true", "false"):
        raise Failed(f"LATEST is {latest!r}", "true or false")
    return Wanted(path, repository, number, latest == "true")


def push(wanted: Wanted) -> None:
    """Outputs `image` (repository:tag@digest), `digest`, the image's `revision` and `version`, and `changed`: whether
    there is something to hand over.

    A run that is repeated goes on where it stood: its own tag, with its own build, is no reason to say "nothing new".
    """
    image = archive.read(wanted.archive)
    refuse(image, wanted.repository)
    tag = tag_of(image.labels[archive.REVISION], wanted.run)
    there = registry.digest(wanted.repository, tag)
    latest = registry.look(wanted.repository, LATEST)
    if there != image.digest and latest and archive.content(latest.config) == archive.content(image.config):
        # Under the run's own tag, it is this run's, built once more by a builder that packs otherwise.
        own = there == latest.digest
        what = "there already" if own else "nothing new: `latest` has this content"
        _tell(wanted, _reference(wanted.repository, latest, tag), latest, what, changed=own)
        return
    if there not in (None, image.digest):
        raise Failed(
            f"{wanted.repository}:{tag} is there, and is another build ({there}); tags are never moved",
            "Run the workflow by hand: its build gets a tag of its own.",
        )
    if there is None:
        say(f"push: {wanted.repository}:{tag}, {image.size / 1_000_000:.0f} MB")
        registry.push(wanted.archive, wanted.repository, tag, image.digest)
    reference = f"{wanted.repository}:{tag}@{image.digest}"
    if wanted.latest and latest and is_older(image.labels[archive.REVISION], latest.labels.get(archive.REVISION, "")):
        _tell(wanted, reference, image, "`latest` stays: it is of a later commit")
        return
    if wanted.latest:
        registry.move(wanted.repository, LATEST, image.digest)
    what = "pushed" if there is None else "there already"
    _tell(wanted, reference, image, f"{what}, and `latest` is this" if wanted.latest else what, changed=True)


def refuse(image: archive.Image, repository: str) -> None:
    """Failed for an image that nobody should run elsewhere."""
    revision = image.labels.get(archive.REVISION, "")
    if not re.fullmatch(rf"[0-9a-f]{{40}}({source.DIRTY})?", revision):
        raise Failed(f"the archive names no commit (its revision is {revision!r})", "Build it with base/ci/build.")
    if revision.endswith(source.DIRTY):
        raise Failed(
            "the archive holds changes that no commit has, and its tag would name one",
            "Commit what is in base/, and build again.",
        )
    if archive.STAND_IN in image.labels and not is_here(repository):
        raise Failed(
            "the image stands on the sandbox's stand-in for Node's image, and goes to a registry on this machine alone",
            "Build on the real base: make image BASE=registry",
        )


def tag_of(revision: str, number: str) -> str:
    return f"sha-{revision[:12]}" + (f"-{number}" if number else "")


def is_older(revision: str, than: str) -> bool:
    """Whether a commit lies before another one; not where this clone does not know the other."""
    if revision == than or not re.fullmatch(r"[0-9a-f]{40}", than):
        return False
    try:
        run("git", "-C", CHECKOUT, "merge-base", "--is-ancestor", revision, than)
    except ToolFailed:
        return False
    return True


def _reference(repository: str, latest: registry.Known, own: str) -> str:
    """What `latest` points at, by this run's tag or that of its commit where one is the same: people can read it."""
    for tag in (own, tag_of(latest.labels.get(archive.REVISION, ""), "")):
        if registry.digest(repository, tag) == latest.digest:
            return f"{repository}:{tag}@{latest.digest}"
    return f"{repository}@{latest.digest}"


def _tell(
    wanted: Wanted, reference: str, image: archive.Image | registry.Known, what: str, changed: bool = False
) -> None:
    (wanted.archive.parent / DIGEST_FILE).write_text(f"{image.digest}\n")
    say(f"push: {what.replace('`', '')}: {reference}")
    labels = image.labels
    output(
        image=reference,
        digest=image.digest,
        revision=labels.get(archive.REVISION, ""),
        version=labels.get(archive.OPENCLAW_VERSION, ""),
        changed="true" if changed else "false",
    )
    summary(f"Registry: {what}.", "", f"    {reference}", "")
    if changed and os.environ.get("ATTEST", "true") != "true":
        summary("No attestation: the repository variable `ATTEST` is not `true`.")

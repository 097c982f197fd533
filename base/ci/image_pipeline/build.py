"""One build: the context becomes one OCI archive. All that follows looks at that archive; nothing is built twice."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_pipeline import archive, source
from image_pipeline.tools import (
    BUILD_SETTINGS,
    CHECKOUT,
    Failed,
    ToolFailed,
    as_root,
    is_here,
    output,
    run,
    say,
    summary,
)

ARCHIVE = CHECKOUT / "dist" / "openclaw-agent.tar"
CONTEXT = CHECKOUT / "base"
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Wanted:
    """What is built: the folder with the Dockerfile; other versions than the lock file's, by package; another base."""

    context: Path
    archive: Path
    versions: dict[str, str]
    base: str = ""
    #: buildah's word for when to ask the registry for the base: always, missing or never.
    pull: str = "always"


def build(wanted: Wanted) -> None:
    """Builds, writes the archive, prints the layers. No archive is left where the image is larger than allowed."""
    made_from = source.read(wanted.context)
    limit = size_limit(wanted.context)
    wanted.archive.unlink(missing_ok=True)
    wanted.archive.parent.mkdir(parents=True, exist_ok=True)
    with context(wanted) as folder:
        base = wanted.base or source.base_image((folder / "Dockerfile").read_text())
        version = source.locked_version((folder / "package-lock.json").read_text(), "openclaw")
        labels = labels_of(made_from, base, _pulled(base, wanted.pull), version)
        built = _built(folder, base, made_from.time, labels)
        try:
            # zstd: smaller than gzip here, and unpacked in half the time, on a node, too.
            _run("push", "--quiet", "--compression-format=zstd", built, f"oci-archive:{wanted.archive}")
        finally:
            _run("rmi", "--force", built, failing=False)
    image = archive.read(wanted.archive)
    say(sizes(image, limit))
    refuse_large(wanted.archive, image, limit)
    output(archive=str(wanted.archive), digest=image.digest, version=version, revision=made_from.revision)
    summary(f"Built: openclaw {version}, {image.size / _MEGABYTE:.0f} MB to pull, `{image.digest}`, on `{base}`")


def labels_of(made_from: source.Source, base: str, base_digest: str, version: str) -> dict[str, str]:
    """The image's labels. Those of OCI have its names: they are what other tools look for."""
    created = datetime.datetime.fromtimestamp(made_from.time, datetime.UTC)
    labels = {
        archive.SOURCE: made_from.url,
        archive.REVISION: made_from.revision,
        archive.CREATED: created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        archive.BASE_NAME: base,
        archive.BASE_DIGEST: base_digest,
        archive.OPENCLAW_VERSION: version,
    }
    return {name: value for name, value in labels.items() if value}


def size_limit(context: Path) -> int:
    """Bytes of an image's layers, compressed, that are allowed."""
    path = context / "ci" / "limits.toml"
    try:
        return int(tomllib.loads(path.read_text())["image_megabytes"]) * _MEGABYTE
    except (OSError, KeyError, ValueError) as error:
        raise Failed(f"{path} says no image_megabytes ({error})", "It is a number, of megabytes to pull.") from error


def refuse_large(path: Path, image: archive.Image, limit: int) -> None:
    """Failed for an image above the limit, whose archive goes."""
    if image.size > limit:
        path.unlink()
        raise Failed(
            f"the image has {image.size / _MEGABYTE:.1f} MB, more than the {limit / _MEGABYTE:.1f} allowed",
            "Look at the layers above; if all of it is needed, raise the limit in base/ci/limits.toml.",
        )


def sizes(image: archive.Image, limit: int) -> str:
    """A line for each layer, the base's first, with what made it."""
    lines = [
        f"build: {layer.size / _MEGABYTE:7.1f} MB  {' '.join(layer.made_by.split())[:90]}" for layer in image.layers
    ]
    return "\n".join([*lines, f"build: {image.size / _MEGABYTE:7.1f} MB  of {limit / _MEGABYTE:.0f} allowed"])


@contextmanager
def context(wanted: Wanted) -> Iterator[Path]:
    """The context; a copy with a lock file of its own where other versions are wanted than the committed ones."""
    if not wanted.versions:
        yield wanted.context
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "base"
        shutil.copytree(wanted.context, copy, ignore=shutil.ignore_patterns(*source.NOT_IN_IMAGE))
        names = [f"{name}@{version}" for name, version in sorted(wanted.versions.items())]
        say(f"build: the lock file is made anew, for {', '.join(names)}")
        run("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", *names, cwd=copy)
        yield copy


def _run(*words: str | Path, shown: bool = False, failing: bool = True) -> str:
    # chroot: the same on a runner, on a developer's machine and in a container, and enough for a build.
    try:
        return run(*as_root("buildah", *words), env={"BUILDAH_ISOLATION": "chroot"}, shown=shown)
    except ToolFailed:
        if failing:
            raise
        return ""


def _pulled(base: str, policy: str) -> str:
    """The digest of the base, which is in the storage afterwards."""
    try:
        _run("pull", "--quiet", f"--policy={policy}", *(["--tls-verify=false"] if is_here(base) else []), base)
    except ToolFailed as error:
        raise Failed(
            f"the base {base} cannot be had: {error.said}",
            "Look at the network, or at the registry's limit of pulls. With no registry in reach: make image",
        ) from None
    inspected = json.loads(_run("inspect", "--type", "image", base))
    return str(inspected.get("FromImageDigest") or "")


def _built(context: Path, base: str, time: int, labels: dict[str, str]) -> str:
    """The id of the image in the storage."""
    options = [f"--label={name}={value}" for name, value in labels.items()]
    # By name alone: a mirror's address may hold a login, and arguments can be read by everybody on the machine.
    options += [f"--build-arg={name}" for name in BUILD_SETTINGS if os.environ.get(name)]
    # --identity-label: buildah's own version would make another image of the same content.
    options += [f"--from={base}", f"--timestamp={time}", "--identity-label=false", "--format=oci"]
    options += ["--no-cache", "--layers", "--force-rm", "--pull-never", "--network=host"]
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "id"
        try:
            _run("build", *options, f"--iidfile={written}", context, shown=True)
        except ToolFailed:
            raise Failed("the build ended with an error", "Its last step above says which.") from None
        return written.read_text().strip()

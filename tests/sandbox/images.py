"""The images that the tests run, built once for each content of what they are made of, and kept in the registry.

A look at the registry for each when nothing changed; otherwise buildah. An image is pushed under a tag made of its
key; its everyday tag then points there, also after somebody moved it.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from . import buildah, standin
from .paths import CHECKOUT, HERE

#: What lies beside a Dockerfile and no build looks at: the pipeline, and its smoke test.
NOT_IN_IMAGE = ("ci", "smoke")
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True)
class Image:
    """A repository and tag of the registry, the folder with its Dockerfile, and its build arguments."""

    repository: str
    tag: str
    context: Path
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}"

    def key(self) -> str:
        """What the image is made of, as 16 hexadecimal digits: its base, its folder's files, its arguments."""
        made_of = hashlib.sha256(standin.made_of().encode())
        for path in sorted(path for path in self.context.rglob("*") if self._counts(path)):
            made_of.update(str(path.relative_to(self.context)).encode() + b"\0" + path.read_bytes())
        made_of.update(repr(sorted(self.arguments.items())).encode())
        return made_of.hexdigest()[:16]

    def _counts(self, path: Path) -> bool:
        return path.is_file() and path.relative_to(self.context).parts[0] not in NOT_IN_IMAGE


_TESTGATEWAY = HERE / "testgateway"
IMAGES = (
    Image("digitalsys/testgateway", "latest", _TESTGATEWAY),
    Image("digitalsys/testgateway", "second", _TESTGATEWAY, {"FAULT": "# healthy, with another digest"}),
    Image("digitalsys/testgateway", "crash", _TESTGATEWAY, {"FAULT": "TESTGATEWAY_EXIT=1"}),
    Image("digitalsys/testgateway", "exit78", _TESTGATEWAY, {"FAULT": "TESTGATEWAY_EXIT=78"}),
    Image("digitalsys/openclaw-agent", "latest", CHECKOUT / "base"),
)


# The registry: plain HTTP on this machine.


@dataclass(frozen=True)
class _Answer:
    status: int
    digest: str
    kind: str
    body: bytes


def _manifest(registry: str, method: str, image: Image, reference: str, body: bytes = b"", kind: str = "") -> _Answer:
    """One request for a manifest. `kind` is the media type of a body that is sent."""
    connection = HTTPConnection(registry, timeout=30)
    headers = {"Content-Type": kind} if kind else {"Accept": ", ".join(_MANIFESTS)}
    try:
        connection.request(method, f"/v2/{image.repository}/manifests/{reference}", body=body or None, headers=headers)
        answer = connection.getresponse()
        found = answer.getheader("Docker-Content-Digest", "")
        return _Answer(answer.status, found, answer.getheader("Content-Type", ""), answer.read())
    finally:
        connection.close()


def digest(registry: str, image: Image, reference: str) -> str | None:
    """The digest that a tag of the image's repository points at; None when the registry has no such tag."""
    answer = _manifest(registry, "HEAD", image, reference)
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise SystemExit(f"sandbox: the registry at {registry} says {answer.status} to {image.repository}:{reference}")
    return answer.digest


def _point_tag(registry: str, image: Image, keyed: str) -> None:
    """Makes the image's everyday tag point at what the tag `keyed` points at."""
    found = _manifest(registry, "GET", image, keyed)
    answer = _manifest(registry, "PUT", image, image.tag, found.body, found.kind)
    if answer.status != 201:
        raise SystemExit(f"sandbox: the registry refused {image.name}: {answer.status} {answer.body[:500]!r}")


def missing(registry: str, images: tuple[Image, ...] = IMAGES) -> list[tuple[Image, str]]:
    """(image, tag made of its key) for those that the registry lacks. Those it has get their everyday tag back."""
    absent = []
    for image in images:
        keyed = f"key-{image.key()}"
        found = digest(registry, image, keyed)
        if found is None:
            absent.append((image, keyed))
        elif digest(registry, image, image.tag) != found:
            _point_tag(registry, image, keyed)
    return absent


# The build.


def _run(command: list[str], what: str) -> str:
    """Output of a command; what it says goes to a log, its steps to the terminal. Its last lines when it fails."""
    log = buildah.STORE / f"{what.replace('/', '-').replace(':', '-')}.log"
    lines: list[str] = []
    with (
        log.open("w") as kept,
        subprocess.Popen(
            command,
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            kept.write(line)
            lines.append(line)
            if re.match(r"STEP \S+ (FROM|RUN|COPY)", line):
                buildah.say(f"{what}: {' '.join(line.split())[:100]}")
    if process.returncode:
        raise SystemExit(f"sandbox: {what} failed (all of it: {log}):\n{''.join(lines[-30:])}")
    return "".join(lines)


def build_and_push(registry: str) -> None:
    """Builds and pushes what the registry lacks. To be run in a mount namespace of its own, one at a time."""
    absent = missing(registry)
    driver = buildah.driver()
    if absent:
        buildah.build_base(driver)
    settings = buildah.network()
    os.environ |= settings
    for image, keyed in absent:
        started = time.monotonic()
        local = f"localhost/{image.name}"
        options = [f"--build-arg={name}={value}" for name, value in sorted(image.arguments.items())]
        # Those without a value are read from the environment.
        options += [f"--build-arg={name}" for name in settings if name != "TMPDIR"]
        options += ["--layers", "--pull-never", "--network=host", f"--tag={local}"]
        with buildah.alive(f"image {image.name}"):
            _run([*buildah.command(driver), "build", *options, str(image.context)], f"image {image.name}")
            built = time.monotonic()
            # containerd unpacks it in half the time that it needs for buildah's gzip (30 s and 65 s on two cores).
            options = ["--tls-verify=false", "--compression-format=zstd", "--compression-level=1"]
            target = f"docker://{registry}/{image.repository}:{keyed}"
            _run([*buildah.command(driver), "push", *options, local, target], f"push {image.name}")
        _point_tag(registry, image, keyed)
        buildah.say(f"image {image.name}: built {built - started:.0f} s, pushed {time.monotonic() - built:.0f} s")


def ensure(registry: str) -> None:
    """All images of the tests are in the registry (`host:port`, plain HTTP), under their tags, made of what the
    checkout says. SystemExit, with the end of the log, when a build fails.
    """
    if not missing(registry):
        return
    buildah.in_own_mounts("tests.sandbox.images", registry)


if __name__ == "__main__":
    build_and_push(sys.argv[1])

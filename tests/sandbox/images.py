"""The images that the tests run, built once for each content of what they are made of, and kept in the registry.

Three looks at the registry when nothing changed; otherwise buildah, in a mount namespace of its own, so that a build
that is killed leaves no mount behind. An image is pushed under a tag made of its key; its everyday tag then points
there, also after somebody moved it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from . import standin
from .paths import CACHE, CHECKOUT, HERE

STORE = CACHE / "images"
#: What package managers fetched for images.
DOWNLOADS = CACHE / "downloads"
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
        for path in sorted(path for path in self.context.rglob("*") if path.is_file()):
            made_of.update(str(path.relative_to(self.context)).encode() + b"\0" + path.read_bytes())
        made_of.update(repr(sorted(self.arguments.items())).encode())
        return made_of.hexdigest()[:16]


_TESTGATEWAY = HERE / "testgateway"
IMAGES = (
    Image("digitalsys/testgateway", "latest", _TESTGATEWAY),
    Image("digitalsys/testgateway", "second", _TESTGATEWAY, {"FAULT": "# healthy, with another digest"}),
    Image("digitalsys/testgateway", "crash", _TESTGATEWAY, {"FAULT": "TESTGATEWAY_EXIT=1"}),
    Image("digitalsys/testgateway", "exit78", _TESTGATEWAY, {"FAULT": "TESTGATEWAY_EXIT=78"}),
    Image("digitalsys/openclaw-agent", "latest", CHECKOUT / "base"),
)


def _say(text: str) -> None:
    print(f"sandbox: {text}", flush=True)


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


# The build: buildah, with a storage of our own.


def _buildah(driver: str) -> list[str]:
    return ["buildah", "--storage-driver", driver, "--root", str(STORE / driver), "--runroot", str(STORE / "run")]


def _driver() -> str:
    """overlay where the file system can; vfs copies every layer whole, and always works."""
    answer = subprocess.run([*_buildah("overlay"), "info"], capture_output=True, text=True)
    if answer.returncode == 0:
        return "overlay"
    _say(f"no overlay storage here ({answer.stderr.strip()[-200:]}); images are built with vfs, slower and larger")
    return "vfs"


def _network_arguments() -> list[str]:
    """What a build needs to reach the package registries as this machine does; none of it ends up in the image."""
    npm = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, check=True)
    words = [f"--build-arg=NPM_CONFIG_REGISTRY={npm.stdout.strip()}"]
    if "http_proxy" not in os.environ:
        apt = subprocess.run(["apt-config", "dump", "--format", "%v", "Acquire::http::Proxy"], capture_output=True)
        if proxy := apt.stdout.decode().strip():
            words.append(f"--build-arg=http_proxy={proxy}")
    return words


def _kept_downloads() -> list[str]:
    """What apt and npm fetch is kept for the next build, in folders that are mounted while the steps run: it is in no
    image, and the Dockerfiles need not know.
    """
    apt, npm = DOWNLOADS / "apt", DOWNLOADS / "npm"
    for folder in (apt, npm / "kept"):
        folder.mkdir(parents=True, exist_ok=True)
    # `npm cache clean`, right for an image, deletes _cacache: here a link, whose target it lets alone.
    link = npm / "_cacache"
    if not link.is_symlink():
        link.symlink_to("kept")
    return [f"--volume={apt}:/var/cache/apt/archives", f"--volume={npm}:/root/.npm"]


@contextmanager
def _alive(what: str) -> Iterator[None]:
    """A line every half minute, so that a build of several minutes is seen to live."""
    started, done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not done.wait(30):
            _say(f"still busy with {what} ({time.monotonic() - started:.0f} s)")

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _run(command: list[str], what: str) -> str:
    """Output of a command; what it says goes to a log, its steps to the terminal. Its last lines when it fails."""
    log = STORE / f"{what.replace('/', '-').replace(':', '-')}.log"
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
                _say(f"{what}: {' '.join(line.split())[:100]}")
    if process.returncode:
        raise SystemExit(f"sandbox: {what} failed (all of it: {log}):\n{''.join(lines[-30:])}")
    return "".join(lines)


def build_and_push(registry: str) -> None:
    """Builds and pushes what the registry lacks. To be run in a mount namespace of its own, one at a time."""
    absent = missing(registry)
    buildah = _buildah(_driver())

    def quick(*words: str) -> str:
        return subprocess.run([*buildah, *words], capture_output=True, text=True, check=True).stdout

    if absent and not standin.is_built(quick):
        started = time.monotonic()
        # Every layer that is there stands on another base, or was left by a build that was killed.
        quick("rm", "--all")
        quick("rmi", "--all", "--force")
        with _alive("the base image"):
            standin.build(quick, _say, DOWNLOADS)
        _say(f"the base image is made, {time.monotonic() - started:.0f} s")
    for image, keyed in absent:
        started = time.monotonic()
        local = f"localhost/{image.name}"
        options = [f"--build-arg={name}={value}" for name, value in sorted(image.arguments.items())]
        options += ["--layers", "--pull-never", "--network=host", *_network_arguments(), *_kept_downloads()]
        with _alive(f"image {image.name}"):
            _run([*buildah, "build", *options, f"--tag={local}", str(image.context)], f"image {image.name}")
            built = time.monotonic()
            # containerd unpacks it in half the time that it needs for buildah's gzip (30 s and 65 s on two cores).
            options = ["--tls-verify=false", "--compression-format=zstd", "--compression-level=1"]
            target = f"docker://{registry}/{image.repository}:{keyed}"
            _run([*buildah, "push", *options, local, target], f"push {image.name}")
        _point_tag(registry, image, keyed)
        _say(f"image {image.name}: built {built - started:.0f} s, pushed {time.monotonic() - built:.0f} s")


def ensure(registry: str) -> None:
    """All images of the tests are in the registry (`host:port`, plain HTTP), under their tags, made of what the
    checkout says. SystemExit, with the end of the log, when a build fails.
    """
    if not missing(registry):
        return
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.sandbox.images"]
        answer = subprocess.run([*command, registry], cwd=CHECKOUT)
    if answer.returncode:
        raise SystemExit(answer.returncode)


if __name__ == "__main__":
    build_and_push(sys.argv[1])

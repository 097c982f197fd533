"""Container tools as the sandbox uses them: where buildah keeps images, how builds reach the package registries, and
the base that all images here stand on.

    python -m tests.sandbox.buildah [--real-base] COMMAND …      runs a script of base/ci with them
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import debian, standin
from .paths import CACHE, CHECKOUT, alone

STORE = CACHE / "images"
#: What package managers fetched for images; buildah keeps its cache mounts in its TMPDIR.
DOWNLOADS = CACHE / "downloads"
#: What base/ci makes here, over the sandbox's own images.
PIPELINE = CACHE / "pipeline"


def say(text: str) -> None:
    print(f"sandbox: {text}", flush=True)


def command(driver: str) -> list[str]:
    return ["buildah", "--storage-driver", driver, "--root", str(STORE / driver), "--runroot", str(STORE / "run")]


def driver() -> str:
    """overlay where the file system can; vfs copies every layer whole, and always works."""
    answer = subprocess.run([*command("overlay"), "info"], capture_output=True, text=True)
    if answer.returncode == 0:
        return "overlay"
    say(f"no overlay storage here ({answer.stderr.strip()[-200:]}); images are built with vfs, slower and larger")
    return "vfs"


def runner(driver: str) -> standin.Run:
    """A function that runs one buildah command in the sandbox's storage and returns what it prints."""

    def quick(*words: str) -> str:
        return subprocess.run([*command(driver), *words], capture_output=True, text=True, check=True).stdout

    return quick


def _asked(*words: str) -> str:
    """What a program prints; empty where it has nothing to say, or is not there."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def network() -> dict[str, str]:
    """What a build needs in its environment to reach the package registries as this machine does. None of it ends up
    in an image.
    """
    settings = {
        "NPM_CONFIG_REGISTRY": _asked("npm", "config", "get", "registry"),
        "PIP_INDEX_URL": os.environ.get("PIP_INDEX_URL") or _asked("pip", "config", "get", "global.index-url"),
        "TMPDIR": str(DOWNLOADS),
    }
    if "http_proxy" not in os.environ:
        settings["http_proxy"] = _asked("apt-config", "dump", "--format", "%v", "Acquire::http::Proxy")
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    return {name: value for name, value in settings.items() if value}


def storage(folder: Path, driver: str, seen: bool = True) -> dict[str, str]:
    """The environment in which container tools keep their images in a folder; where `seen`, with the sandbox's beside
    them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = json.dumps([f"{STORE / driver}"] if seen else [])
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "{driver}"\ngraphroot = "{folder}/{driver}"\nrunroot = "{folder}/run"\n'
        f"[storage.options]\nadditionalimagestores = {beside}\n"
    )
    return {"CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}


@contextmanager
def alive(what: str) -> Iterator[None]:
    """A line every half minute, so that a build of several minutes is seen to live."""
    started, done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not done.wait(30):
            say(f"still busy with {what} ({time.monotonic() - started:.0f} s)")

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def build_base(driver: str) -> None:
    """The base is in the storage: the stand-in, or where it cannot be made, the real one, which a machine that is no
    Debian pulls. To be run in a mount namespace of its own.
    """
    quick = runner(driver)
    if not standin.is_possible():
        quick("pull", "--policy=missing", standin.NAME)
        return
    if standin.is_built(quick):
        return
    started = time.monotonic()
    # Every layer that is there stands on another base, or was left by a build that was killed.
    quick("rm", "--all")
    quick("rmi", "--all", "--force")
    with alive("the base image"):
        standin.build(quick, say, DOWNLOADS)
    say(f"the base image is made, {time.monotonic() - started:.0f} s")


def in_own_mounts(module: str, *words: str) -> None:
    """Runs a module of ours, one at a time, in a mount namespace of its own, so that a build that is killed leaves no
    mount behind.
    """
    unshare = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", module]
    with alone(STORE / "lock"):
        answer = subprocess.run([*unshare, *words], cwd=CHECKOUT)
    if answer.returncode:
        raise SystemExit(answer.returncode)


def has_base(driver: str) -> bool:
    """Whether the storage has a base that needs no work: made of what it would be made of now."""
    return standin.is_possible() and standin.is_built(runner(driver))


def with_base() -> str:
    """Makes sure of the base; the driver of the storage that has it."""
    debian.ensure()
    chosen = driver()
    if not has_base(chosen):
        in_own_mounts("tests.sandbox.buildah", "--base")
    return chosen


def main() -> int:
    if sys.argv[1:] == ["--base"]:
        build_base(driver())
        return 0
    # The real base has the stand-in's name: each has a storage of its own.
    real = sys.argv[1] == "--real-base"
    settings = storage(PIPELINE / ("real" if real else "stand-in"), driver() if real else with_base(), seen=not real)
    settings |= network()
    done = subprocess.run(sys.argv[2 if real else 1 :], env={**os.environ, **settings}).returncode
    # What a build's stages leave, which no other build uses.
    subprocess.run(["buildah", "rmi", "--prune", "--force"], env={**os.environ, **settings}, capture_output=True)
    return done


if __name__ == "__main__":
    sys.exit(main())

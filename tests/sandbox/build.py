"""Builds the Go programs of the sandbox, once for each content of their go.mod, go.sum, flags and compiler.

Files that ship in their modules (definitions, stages) are copied beside them: Go's own caches, of several GB, can be
cleaned afterwards (`python -m tests.sandbox clean-build-cache`).

Three modules, not one: each program keeps the dependency versions of its own release.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import golang, reduce
from .paths import CACHE, HERE, alone
from .progress import Progress
from .reduce import Reduction

KUBERNETES = "v1.36.4"
_COMPONENT = "k8s.io/component-base/version"
_VERSION_STAMP = (
    f"-X {_COMPONENT}.gitVersion={KUBERNETES} -X {_COMPONENT}.gitMajor=1 -X {_COMPONENT}.gitMinor=36 "
    f"-X {_COMPONENT}.gitTreeState=clean"
)
ESO_CRDS = "external-secrets-crds.yaml"
KWOK_STAGES = "kwok-stages"
#: Copies of modules that are changed before they are built; gone when they are built.
_COPIES = CACHE / "modules"
_ESO = "github.com/external-secrets/external-secrets"
#: Quicker to compile, slower to run: for servers that mostly wait. Go's own library stays as other parts compile it.
#: One set of flags for all of a part, since what its programs share would be compiled once for each set.
_QUICKLY_COMPILED = ("-gcflags=all=-N -l", "-gcflags=std=")


@dataclass(frozen=True)
class Part:
    """One Go module and the programs that come out of it (program name -> path of its main package).

    `usual` is how many seconds it takes on two cores. `flags` are go build's. `shipped` are files or folders of modules
    that the programs need: name here -> (module, path in it).
    """

    name: str
    programs: dict[str, str]
    usual: float
    ldflags: str = ""
    flags: tuple[str, ...] = ()
    shipped: dict[str, tuple[str, str]] = field(default_factory=dict)
    reductions: tuple[Reduction, ...] = ()


_VAULT = "github.com/hashicorp/vault"
_DISCOVER = "github.com/hashicorp/go-discover"
_CLOUDS = "(alicloud|aws|azure|p?cf|gcp|kerberos|oci)"
#: What Vault's tag `minimal` leaves in of clouds, for features that a single server does not have or nobody here uses.
_LESS_VAULT = (
    # The clouds in which a raft looks for its other nodes.
    Reduction(_DISCOVER, (("discover.go", rf'^\t"({_DISCOVER}/provider/.*|\w+": +&\w+\.Provider{{}},)$', ""),)),
    Reduction(
        _VAULT,
        (
            ("vault/raft.go", r"^.*discoverk8s.*$", ""),
            # The clouds' logins of `vault agent` and `vault proxy`.
            ("command/agentproxyshared/helpers.go", rf'^\t"{_VAULT}/command/agentproxyshared/auth/{_CLOUDS}"$', ""),
            ("command/agentproxyshared/helpers.go", rf'^\tcase "{_CLOUDS}":.*\n.*$', ""),
            # Okta's second factor: one package that takes the compiler more than a minute.
            ("vault/login_mfa.go", r'^\t("github.com/okta/.*|"regexp")$', ""),
            (
                "vault/login_mfa.go",
                r"^(func .* validateOkta\(.*\n)([^}\n].*\n|\n)*",
                r'\1\treturn errors.New("left out")\n',
            ),
        ),
    ),
)
#: Two of forty providers, two of fifteen generators. No option or tag leaves the others out.
_LESS_ESO = (
    Reduction(
        _ESO,
        (
            ("pkg/provider/register/register.go", rf'^\t_ "{_ESO}/pkg/provider/(?!fake"|vault").*$', ""),
            ("pkg/generator/register/register.go", rf'^\t_ "{_ESO}/pkg/generator/(?!fake"|vault").*$', ""),
        ),
    ),
)

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
        500,
        ldflags=_VERSION_STAMP,
        shipped={KWOK_STAGES: ("sigs.k8s.io/kwok", "kustomize/stage")},
    ),
    Part("vault", {"vault": _VAULT}, 100, flags=("-tags=minimal", *_QUICKLY_COMPILED), reductions=_LESS_VAULT),
    Part(
        "eso",
        {"external-secrets": _ESO},
        95,
        flags=_QUICKLY_COMPILED,
        shipped={ESO_CRDS: (_ESO, "deploy/crds/bundle.yaml")},
        reductions=_LESS_ESO,
    ),
)


def _flags(part: Part) -> list[str]:
    return ["-trimpath", "-ldflags", f"-s -w {part.ldflags}".strip(), *part.flags]


def key(part: Part, go: str) -> str:
    """What the programs of a part are made of, as 16 hexadecimal digits."""
    made_of = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        made_of.update((HERE / "parts" / part.name / name).read_bytes())
    made_of.update(repr((golang.version(go), _flags(part), sorted(part.programs.items()), part.reductions)).encode())
    return made_of.hexdigest()[:16]


def output_name(package: str) -> str:
    """What go build calls the program of a main package: its path's last element that is not a major version."""
    *_, before, last = package.split("/")
    return before if re.fullmatch(r"v[2-9]|v[1-9]\d+", last) else last


@dataclass(frozen=True)
class _Fetched:
    """What a build needs before it begins: where its go.mod is, if not the part's own, and how many packages it has."""

    options: tuple[str, ...]
    packages: int


def _is_counted(package: str) -> bool:
    """Not those of Go's own library, which have no host in their names: only the first part compiles them."""
    return "." in package.partition("/")[0]


def _fetch(part: Part, go: str) -> _Fetched:
    """Brings every module that the part's programs import (not all that its go.mod names) into Go's cache."""
    options: tuple[str, ...] = ()
    if part.reductions:
        options = (f"-modfile={reduce.copies(go, HERE / 'parts' / part.name, part.reductions, _COPIES / part.name)}",)
    words = ("list", *options, *(flag for flag in part.flags if flag.startswith("-tags")), "-deps")
    listed = golang.ask(go, HERE / "parts" / part.name, *words, *part.programs.values())
    return _Fetched(options, sum(map(_is_counted, listed.splitlines())))


def _build(part: Part, go: str, folder: Path, fetched: _Fetched, progress: Progress) -> None:
    """All programs of a part by one go build: what they share is looked at once, and linkers run beside compilers."""
    unfinished, said = folder / ".unfinished", []
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    # -v: a line for each package that is compiled.
    options = ["-v", f"-p={golang.jobs()}", *fetched.options, *_flags(part), "-o", f"{unfinished}/"]
    with (
        progress.part(part.name, fetched.packages, unfinished),
        subprocess.Popen(
            [go, "build", *options, *part.programs.values()],
            cwd=HERE / "parts" / part.name,
            env=golang.environment(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as running,
    ):
        assert running.stderr is not None
        for line in running.stderr:
            said.append(line)
            progress.compiled += _is_counted(line)
        if code := running.wait():
            raise golang.failed(f"part {part.name} was not built", code, "".join(said))
    for name, package in part.programs.items():
        (unfinished / output_name(package)).rename(folder / name)
    unfinished.rmdir()


def _ship(part: Part, go: str, folder: Path) -> None:
    """Copies what is missing of the part's shipped files beside its programs."""
    for name, (module, path) in part.shipped.items():
        if not (folder / name).exists():
            unfinished = folder / f".{name}"
            shutil.rmtree(unfinished, ignore_errors=True)
            golang.copy(golang.module_folder(go, HERE / "parts" / part.name, module) / path, unfinished)
            unfinished.rename(folder / name)


def _incomplete(part: Part, folder: Path) -> bool:
    return any(not (folder / name).exists() for name in (*part.programs, *part.shipped))


def _complete(folders: dict[str, Path], go: str) -> None:
    """Builds what is missing in these folders. While one part is compiled, the modules of the next are fetched."""
    missing = [part for part in PARTS if _incomplete(part, folders[part.name])]
    builds = [part for part in missing if any(not (folders[part.name] / name).is_file() for name in part.programs)]
    progress = Progress({part.name: part.usual for part in builds}, sum(len(part.programs) for part in builds))
    with ThreadPoolExecutor(max_workers=1) as background:
        fetched = [background.submit(_fetch, part, go) for part in builds]
        try:
            for part, ready in zip(builds, fetched, strict=True):
                if not ready.done():
                    print(f"sandbox: fetching the modules of part {part.name}", flush=True)
                _build(part, go, folders[part.name], ready.result(), progress)
        finally:
            background.shutdown(cancel_futures=True)
            shutil.rmtree(_COPIES, ignore_errors=True)
    for part in missing:
        _ship(part, go, folders[part.name])


def build_all() -> dict[str, Path]:
    """Every program of the sandbox, and every file shipped with them: name -> path. Builds what is not there."""
    go = golang.find()
    folders = {part.name: CACHE / "bin" / f"{part.name}-{key(part, go)}" for part in PARTS}
    if any(_incomplete(part, folders[part.name]) for part in PARTS):
        # A second build waits, and finds everything built.
        with alone(CACHE / "build.lock"):
            _complete(folders, go)
    return {name: folders[part.name] / name for part in PARTS for name in (*part.programs, *part.shipped)}


if __name__ == "__main__":
    build_all()

"""Makes the Python environments of the checkout: `.venv`, and `.venv/newest` with the newest ansible-core.

Runs under the machine's own Python, before anything is installed, so only the standard library is used. All talk goes
to stderr: `make -s sandbox-env` must print nothing but its exports.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (this very file is what an older interpreter is pointed at)
    sys.exit(
        f"digitalsys.agents needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12"
    )

import argparse
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.sandbox.paths import CACHE, CHECKOUT

VENV = CHECKOUT / ".venv"
NEWEST = VENV / "newest"
#: ansible-core 2.20 and later refuse to run on anything older.
NEWEST_PYTHONS = ("3.14", "3.13", "3.12")
#: Its exit status where no interpreter is new enough: not a failure, but to be told apart from success.
NOT_RUN = 77


@dataclass(frozen=True)
class Environment:
    """One virtual environment, and the release of `ansible` whose wheel holds the collections that fit its core."""

    folder: Path
    requirements: Path
    ansible: str
    collections: tuple[str, ...]


#: awx.awx serves the role awx alone, and its playbook is not run on the newest core.
MAIN = Environment(
    VENV, CHECKOUT / "tests/requirements.txt", "12.3.0", ("kubernetes/core", "community/hashi_vault", "awx/awx")
)
OTHER_END = Environment(
    NEWEST, CHECKOUT / "tests/requirements-newest.txt", "14.5.0", ("kubernetes/core", "community/hashi_vault")
)


def say(text: str) -> None:
    print(f"venv: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path) -> None:
    """Runs a program with its output on stderr; its failure ends this one without a traceback."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode:
        sys.exit(f"venv: failed ({done.returncode}): {' '.join(str(word) for word in command)}")


def python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def key(environment: Environment, interpreter: str) -> str:
    """What an environment is made of. The checkout's place is part of it: scripts in bin/ hold absolute paths."""
    made_of = hashlib.sha256(environment.requirements.read_bytes())
    made_of.update(repr((environment.ansible, environment.collections, interpreter, str(CHECKOUT))).encode())
    return made_of.hexdigest()


def ensure_venv_module() -> None:
    """Debian keeps ensurepip in a package of its own."""
    if importlib.util.find_spec("ensurepip"):
        return
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"venv: this Python cannot make virtual environments; on Debian: apt-get install {package}")
    say(f"installing {package}")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run("apt-get", "update", "-qq")
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package)


def wheel_with_collections(environment: Environment) -> Path:
    """The wheel of `ansible`, downloaded once for all checkouts of this machine (50 MB)."""
    folder = CACHE / "downloads"
    wheel = folder / f"ansible-{environment.ansible}-py3-none-any.whl"
    if not wheel.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        say(f"downloading {wheel.name}")
        pip = (python_of(environment.folder), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
        run(*pip, "--dest", folder, f"ansible=={environment.ansible}")
    return wheel


def site_packages(folder: Path) -> Path:
    return next(folder.glob("lib/python3.*/site-packages"))


def unpack_collections(environment: Environment) -> None:
    root = site_packages(environment.folder) / "ansible_collections"
    for name in environment.collections:
        shutil.rmtree(root / name, ignore_errors=True)
    prefixes = tuple(f"ansible_collections/{name}/" for name in environment.collections)
    with zipfile.ZipFile(wheel_with_collections(environment)) as wheel:
        members = [name for name in wheel.namelist() if name.startswith(prefixes)]
        wheel.extractall(root.parent, members)
    for name in environment.collections:
        if not (root / name / "MANIFEST.json").is_file():
            sys.exit(f"venv: collection {name} is not in ansible {environment.ansible}")


def link_checkout(environment: Environment) -> None:
    """The checkout is importable as the collection. A link that points elsewhere would run another clone's code."""
    link = site_packages(environment.folder) / "ansible_collections" / "digitalsys" / "agents"
    if link.is_symlink() and link.resolve() == CHECKOUT:
        return
    if link.is_symlink():
        say(f"the link to the collection pointed to {link.readlink()}; it points here now")
        link.unlink()
    elif link.exists():
        sys.exit(f"venv: {link} is a copy of the collection, not a link to this checkout; remove it")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(CHECKOUT)


def make(environment: Environment, interpreter: str, version: str) -> None:
    """Idempotent: nothing but the look at stamp and link where the environment is already what it should be."""
    stamp, wanted = environment.folder / ".made-of", key(environment, version)
    if stamp.is_file() and stamp.read_text() == wanted:
        link_checkout(environment)
        return
    stamp.unlink(missing_ok=True)
    say(f"making {environment.folder.relative_to(CHECKOUT)} with Python {version}")
    run(interpreter, "-m", "venv", "--clear", environment.folder)
    pip = (python_of(environment.folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--requirement", environment.requirements)
    unpack_collections(environment)
    link_checkout(environment)
    stamp.write_text(wanted)
    say(f"{environment.folder.relative_to(CHECKOUT)} is ready")


def find_newer_python() -> tuple[str, str] | None:
    """(path, version) of an interpreter for the newest ansible-core that can make virtual environments, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for wanted in NEWEST_PYTHONS:
        on_path = [shutil.which(f"python{wanted}"), shutil.which("python3")]
        for candidate in [
            *on_path,
            *(str(path) for path in sorted(pyenv.glob(f"{wanted}.*/bin/python"), reverse=True)),
        ]:
            if not candidate:
                continue
            program = "import ensurepip, platform; print(platform.python_version())"
            asked = subprocess.run([candidate, "-c", program], capture_output=True, text=True, check=False)
            version = asked.stdout.strip()
            if asked.returncode == 0 and version.startswith(f"{wanted}."):
                return candidate, version
    return None


def base_interpreter() -> str:
    """This Python, or the one that its environment came from: an environment cannot be cleared by its own Python."""
    if sys.prefix == sys.base_prefix:
        return sys.executable
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def main() -> int:
    options = argparse.ArgumentParser(prog="python3 -m tests.gates.venv", description=__doc__)
    options.add_argument("--newest", action="store_true", help="make .venv/newest, and print where it is")
    newest: bool = options.parse_args().newest
    # Two calls at once (a person's and a test's) would install into the same folder.
    lock = os.open(CHECKOUT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not newest:
        ensure_venv_module()
        make(MAIN, base_interpreter(), platform.python_version())
        return 0
    found = find_newer_python()
    if found is None:
        say(f"newest: not run, no Python {' or '.join(NEWEST_PYTHONS)} with its venv module on this machine")
        return NOT_RUN
    make(OTHER_END, *found)
    print(NEWEST)
    return 0


if __name__ == "__main__":
    sys.exit(main())

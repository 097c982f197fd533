"""The collection as a stranger gets it: its tarball, installed where no checkout is, and what Galaxy says of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml

from tests.sandbox.paths import CHECKOUT

from .gate import SITE_PACKAGES, GateFailed, environment, run, scratch
from .tree import DEPENDENCIES, copy_collection

#: All that may stand at the top of the tarball: no inventory, no base/, nothing that serves the work on it alone.
TOP_LEVEL = {
    "CHANGELOG.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "README.pt-BR.md",
    "changelogs",
    "docs",
    "meta",
    "playbooks",
    "plugins",
    "requirements.txt",
    "roles",
}

#: A fleet of one, none of ours. The wrong name must be refused by the collection's own filter, before any connection.
INVENTORY = """\
agents:
  hosts:
    quixote:
  vars:
    ansible_connection: local
"""


def build(root: Path) -> Path:
    """The tarball, built from a copy of the checkout."""
    collection = copy_collection(root)
    run("ansible-galaxy", "collection", "build", "--output-path", root, cwd=collection)
    return next(root.glob("digitalsys-agents-*.tar.gz"))


def check_names(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {member.name.split("/")[0] for member in archive.getmembers()}
    if names - TOP_LEVEL:
        raise GateFailed(f"does not belong into the tarball: {', '.join(sorted(names - TOP_LEVEL))}")
    missing = TOP_LEVEL - names
    if missing:
        raise GateFailed(f"missing in the tarball: {', '.join(sorted(missing))}")


def install(tarball: Path, root: Path) -> Path:
    """An environment of its own, without the link to the checkout, beside which galaxy would say "Nothing to do".

    Its packages are kept from run to run; the collections are installed anew into root.
    """
    venv = scratch("package-venv")
    python = venv / "bin" / "python"
    stamp, wanted = venv / ".made-of", (CHECKOUT / "tests/requirements.txt").read_text() + sys.version
    if not stamp.is_file() or stamp.read_text() != wanted:
        run("python", "-m", "venv", "--clear", venv)
        needed = ("ansible-core", "kubernetes")
        pins = ("--constraint", CHECKOUT / "tests/requirements.txt")
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins, *needed)
        stamp.write_text(wanted)
    collections = root / "collections"
    for name in DEPENDENCIES:
        shutil.copytree(SITE_PACKAGES / "ansible_collections" / name, collections / "ansible_collections" / name)
    galaxy = ("collection", "install", "--offline", "--force", "--collections-path", collections, tarball)
    run(venv / "bin" / "ansible-galaxy", *galaxy, cwd=root, env=outside(root))
    return venv


def outside(root: Path) -> dict[str, str]:
    """The environment of someone who has only the installed collection, and a home of their own."""
    return environment(ANSIBLE_COLLECTIONS_PATH=str(root / "collections"), HOME=str(root / "home"))


def run_by_name(venv: Path, root: Path) -> None:
    """The playbook by its full name, from a folder that is not a checkout: a wrong name is refused with what exists."""
    (root / "hosts.yml").write_text(INVENTORY)
    play = (venv / "bin" / "ansible-playbook", "digitalsys.agents.rollout", "-i", "hosts.yml")
    done = subprocess.run(
        [*map(str, play), "-e", "agent=dulcinea"],
        cwd=root,
        env=outside(root),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    if done.returncode != 4 or "quixote" not in said:
        raise GateFailed(f"digitalsys.agents.rollout with a wrong name: exit {done.returncode} instead of 4\n{said}")
    listed = run(*play, "-e", "agent=quixote", "--list-hosts", cwd=root, env=outside(root))
    if "quixote" not in listed:
        raise GateFailed(f"digitalsys.agents.rollout does not find its agent\n{listed}")


def package() -> str:
    with tempfile.TemporaryDirectory(prefix="agents-package-") as temporary:
        root = Path(temporary)
        tarball = build(root)
        check_names(tarball)
        run_by_name(install(tarball, root), root)
        return f"{tarball.name}, {tarball.stat().st_size // 1024} KiB"


def importer() -> str:
    """galaxy-importer without its ansible-lint (a gate of its own); a warning shuts the gate too."""
    with tempfile.TemporaryDirectory(prefix="agents-importer-") as temporary:
        root = Path(temporary)
        tarball = build(root)
        settings = {"RUN_ANSIBLE_LINT": "False", "CHECK_REQUIRED_TAGS": "True"}
        env = environment(**{f"GALAXY_IMPORTER_{name}": value for name, value in settings.items()}, HOME=str(root))
        output = run("python", "-m", "galaxy_importer.main", tarball, cwd=root, env=env)
    remarks = [line for line in output.splitlines() if line.startswith(("WARNING", "ERROR", "CRITICAL"))]
    if remarks or "Collection loading complete" not in output:
        raise GateFailed("\n".join(remarks) or output)
    return "no remark"


def execution_environment() -> str:
    """The recipe of the image that AWX runs the playbooks in is complete. Building it would need a container engine."""
    with tempfile.TemporaryDirectory(prefix="agents-ee-") as temporary:
        root = Path(temporary)
        shutil.copy2(build(root), root / "context.tar.gz")
        recipe = yaml.safe_load((CHECKOUT / "execution-environment.yml").read_text())
        collection = root / "ansible_collections" / "digitalsys" / "agents"
        # The recipe names the tarball by the version that galaxy.yml has.
        for extra in recipe["additional_build_files"]:
            shutil.copy2(next(root.glob("digitalsys-agents-*.tar.gz")), collection)
            if not (collection / extra["src"]).is_file():
                raise GateFailed(f"execution-environment.yml names {extra['src']}, which `make tarball` does not build")
        context = root / "context"
        run("ansible-builder", "create", "--file", "execution-environment.yml", "--context", context, cwd=collection)
    return "recipe complete"

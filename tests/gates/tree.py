"""A copy of the checkout as it stands, less what Git ignores: what a clone would hold once everything is committed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.sandbox.paths import CHECKOUT

from .gate import SITE_PACKAGES

DEPENDENCIES = ("kubernetes/core", "community/hashi_vault")


def files() -> list[str]:
    """Paths relative to the checkout. A file that was deleted but not yet removed from the index does not count."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True).stdout
    names = sorted({name for name in listed.decode().split("\0") if name})
    return [name for name in names if (CHECKOUT / name).is_symlink() or (CHECKOUT / name).is_file()]


def copy_collection(root: Path) -> Path:
    """The collection's own folder under root/ansible_collections, a real one, not a link."""
    collection = root / "ansible_collections" / "digitalsys" / "agents"
    for name in files():
        target = collection / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target, follow_symlinks=False)
    return collection


def copy_dependencies(root: Path) -> None:
    for name in DEPENDENCIES:
        shutil.copytree(SITE_PACKAGES / "ansible_collections" / name, root / "ansible_collections" / name)

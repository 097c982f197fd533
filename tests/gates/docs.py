"""The documentation and the changelog, as the tools of the Ansible community read them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .gate import GateFailed, environment, run
from .tree import copy_collection, copy_dependencies


def changelog() -> str:
    output = run("antsibull-changelog", "lint")
    if output.strip():
        raise GateFailed(output)
    return "well formed"


def docs() -> str:
    """Every plugin, role and module is documented so that its page can be rendered; every reference leads somewhere."""
    with tempfile.TemporaryDirectory(prefix="agents-docs-") as temporary:
        root = Path(temporary)
        collection = copy_collection(root)
        copy_dependencies(root)
        # Not those of .venv: antsibull-docs takes the path that comes first in the alphabet, and copies nothing of a
        # folder that git ignores.
        env = environment(ANSIBLE_COLLECTIONS_PATH=str(root), ANSIBLE_COLLECTIONS_SCAN_SYS_PATH="false")
        options = ("--plugin-docs", "--skip-rstcheck", "--validate-collection-refs", "dependent")
        output = run("antsibull-docs", "lint-collection-docs", *options, collection, cwd=collection, env=env)
    if output.strip():
        raise GateFailed(output)
    return "no remark"

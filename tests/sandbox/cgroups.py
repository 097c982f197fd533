"""One control group of the sandbox's own, under which the kubelet puts all pods: what is in it is ours to kill."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from .errors import SandboxError
from .paths import RUN
from .process import kill

NAME = RUN.name
_MOUNTS = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """The mount points of the machine's hierarchies: one with cgroup v2, one per controller with v1."""
    if (_MOUNTS / "cgroup.controllers").exists():
        return [_MOUNTS]
    # Names like "cpu,cpuacct" have links "cpu" and "cpuacct" beside them: those are the same hierarchy.
    return sorted(path for path in _MOUNTS.iterdir() if path.is_dir() and not path.is_symlink())


def create() -> None:
    """The group in every hierarchy."""
    for mount in hierarchies():
        folder = mount / NAME
        folder.mkdir(exist_ok=True)
        # A new cpuset is empty, and nothing can run in it.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (folder / name).exists() and not (folder / name).read_text().strip() and (mount / name).exists():
                (folder / name).write_text((mount / name).read_text())


def _folders() -> list[Path]:
    """All groups under ours, the deepest first."""
    found = []
    for mount in hierarchies():
        found += [Path(path) for path, _, _ in os.walk(mount / NAME, topdown=False)]
    return found


def processes() -> set[int]:
    """Pids of everything that runs in the sandbox's pods."""
    found: set[int] = set()
    for folder in _folders():
        with suppress(OSError):
            found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
    return found - {0}


def remove() -> None:
    """Kills what still runs in the group and removes it. SandboxError when that takes more than 10 s."""
    end = time.monotonic() + 10
    while folders := _folders():
        kill(processes())
        for folder in folders:
            with suppress(OSError):  # still busy: the dead take a moment to leave
                folder.rmdir()
        if time.monotonic() > end:
            raise SandboxError(f"control group {folders[0]} cannot be removed")
        if _folders():
            time.sleep(0.02)

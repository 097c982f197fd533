"""What containerd, the kubelet and the CNI plugins leave on the machine outside the run folder, and taking it away."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from .paths import (
    CNI_RESULTS,
    CONTAINER_LOG_LINKS,
    CONTAINERD,
    DEVICE_PLUGINS,
    HOSTPATH_LINK,
    IMAGE_STORE,
    RUN,
    VOLUMES,
)

_SHIM_SOCKETS = Path("/run/containerd/s")


def mounts(*roots: Path) -> list[str]:
    """Mount points below these folders, the newest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].encode().decode("unicode_escape")
        if any(point == str(root) or point.startswith(f"{root}/") for root in roots):
            found.append(point)
    return found[::-1]


def unmount(*roots: Path) -> None:
    """Unmounts everything below these folders, also what is busy."""
    while points := mounts(*roots):
        for point in points:
            subprocess.run(["umount", "--lazy", point], check=True, stderr=subprocess.DEVNULL)


def shim_sockets() -> list[Path]:
    """containerd 1.6 puts its shims' sockets into one folder, whatever its state folder is."""
    found = []
    for file in CONTAINERD.glob("state/io.containerd.runtime.v2.task/*/*/address"):
        with suppress(OSError):
            path = Path(file.read_text().strip().removeprefix("unix://"))
            if path.parent == _SHIM_SOCKETS:
                found.append(path)
    return found


def cni_results() -> list[Path]:
    """libcni's notes about our pods: they name a network namespace in our run folder."""
    found = []
    for path in CNI_RESULTS.glob("*") if CNI_RESULTS.is_dir() else ():
        with suppress(OSError):
            if str(RUN) in path.read_text(errors="replace"):
                found.append(path)
    return found


def log_links() -> list[Path]:
    """The kubelet's links to the containers' logs, of our pods."""
    if not CONTAINER_LOG_LINKS.is_dir():
        return []
    links = [path for path in CONTAINER_LOG_LINKS.iterdir() if path.is_symlink()]
    return [path for path in links if os.readlink(path).startswith(str(RUN))]


def link_volumes() -> bool:
    """The controller manager's fixed folder becomes a link into our cache. False when somebody else's is there."""
    VOLUMES.mkdir(parents=True, exist_ok=True)
    if HOSTPATH_LINK.is_symlink() and os.readlink(HOSTPATH_LINK) == str(VOLUMES):
        return True
    try:
        HOSTPATH_LINK.symlink_to(VOLUMES)
    except FileExistsError:
        return False
    return True


def clear() -> None:
    """Takes all of it away; the processes must be dead. Leaves the run folder itself for the last step."""
    for path in [*shim_sockets(), *cni_results(), *log_links(), DEVICE_PLUGINS / "kubelet.sock"]:
        path.unlink(missing_ok=True)
    for folder in (_SHIM_SOCKETS, CNI_RESULTS, CONTAINER_LOG_LINKS, DEVICE_PLUGINS):
        for emptied in (folder, folder.parent):
            with suppress(OSError):  # not there, or somebody else's things are in it
                emptied.rmdir()
    unmount(RUN, IMAGE_STORE, VOLUMES)
    if HOSTPATH_LINK.is_symlink() and os.readlink(HOSTPATH_LINK) == str(VOLUMES):
        HOSTPATH_LINK.unlink()
    shutil.rmtree(VOLUMES, ignore_errors=True)

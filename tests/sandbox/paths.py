"""Where the sandbox keeps things. One owner for every folder, so that "down" knows what to remove."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

#: Built programs, images and downloads: outside the checkout, keyed by what they are made of.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digitalsys-agents"
#: containerd's images and the registry's: they outlive a sandbox, so that a warm start pushes and pulls nothing.
IMAGE_STORE = CACHE / "containerd"
REGISTRY_STORE = CACHE / "registry"
#: Volumes of the running sandbox. Not in RUN, which is memory on most machines.
VOLUMES = CACHE / "volumes"

#: The running sandbox: one per machine, since addresses, ports and the bridge exist once. Short, because the path of
#: a Unix socket may have 107 characters.
RUN = Path("/run/digitalsys-agents-sandbox")
PKI = RUN / "pki"
LOGS = RUN / "logs"
BIN = RUN / "bin"
PROCESSES = RUN / "processes"
SECRETS = RUN / "secrets"
CONTAINERD = RUN / "containerd"
CONTAINERD_SOCKET = CONTAINERD / "sock"

OWNER = RUN / "owner.json"
HOST = RUN / "host.json"
ENVIRONMENT = RUN / "environment.json"
STAGES = RUN / "stages.yaml"
ADMIN_KUBECONFIG = SECRETS / "admin.kubeconfig"
KUBELET_KUBECONFIG = SECRETS / "kubelet.kubeconfig"

#: Written into the code of the controller manager's host-path provisioner; for us a link to VOLUMES.
HOSTPATH_LINK = Path("/tmp/hostpath_pv")
#: Where libcni and the kubelet put small files that no option moves.
CNI_RESULTS = Path("/var/lib/cni/results")
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
CONTAINER_LOG_LINKS = Path("/var/log/containers")


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """One process at a time holds the lock of this file; the others wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_secret(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        os.fchmod(handle, 0o600)
        file.write(text)

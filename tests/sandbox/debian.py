"""The Debian packages that the sandbox needs, installed where they are missing.

What counts is whether the program is there, not which package brought it: a machine with Docker has its containerd
and runc from Docker's own packages, and asking apt for Debian's would throw those out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """A package, the program or file that shows it is there, and the services that installing it would start."""

    package: str
    shown_by: str
    services: tuple[str, ...] = ()


NEEDS = (
    Need("containerd", "containerd", ("containerd.service",)),
    Need("runc", "runc"),
    Need("containernetworking-plugins", "/usr/lib/cni/host-local"),
    Need("iptables", "iptables"),
    Need("conntrack", "conntrack"),
    Need("iproute2", "ip"),
    Need("util-linux", "unshare"),
    Need("debootstrap", "debootstrap"),
    Need("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    Need("buildah", "buildah"),
    Need("skopeo", "skopeo"),
    Need("docker-registry", "docker-registry", ("docker-registry.service",)),
    Need("gcc", "gcc"),
    Need("libc6-dev", "/usr/include/stdio.h"),
    Need("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    Need("git", "git"),
    Need("npm", "npm"),
)

#: Debian keeps system programs out of an ordinary user's PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_TEXT = (
    "#!/bin/sh\n# Of the agents' sandbox, while it installs packages: it starts its programs itself.\nexit 101\n"
)
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


def is_there(need: Need) -> bool:
    """Whether the need's program is on the path, or its file on the disk."""
    if need.shown_by.startswith("/"):
        return Path(need.shown_by).exists()
    return shutil.which(need.shown_by, path=_PATH) is not None


def missing() -> list[Need]:
    """The needs that this machine does not meet yet, in the order of NEEDS."""
    return [need for need in NEEDS if not is_there(need)]


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keeps package scripts from starting services. A policy that the machine's owner wrote stays as it is."""
    if _POLICY.exists() and _POLICY.read_text() != _POLICY_TEXT:
        yield
        return
    _POLICY.write_text(_POLICY_TEXT)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _apt(*words: str) -> None:
    answer = subprocess.run(
        ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *words],
        env={**os.environ, **_ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if answer.returncode:
        raise SystemExit(f"sandbox: apt-get {' '.join(words)} failed:\n{answer.stdout[-4000:]}")


def _stop_services(needs: list[Need]) -> None:
    """Neither running now nor at the next boot; the sandbox has its own containerd and registry."""
    services = [service for need in needs for service in need.services]
    if services and Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "disable", "--quiet", "--now", *services], check=True)


def ensure() -> None:
    """Installs what is missing, and only that. Nothing missing: a few looks at the disk. SystemExit if apt fails."""
    needs = missing()
    if not needs:
        return
    packages = [need.package for need in needs]
    print(f"sandbox: installing Debian packages: {' '.join(packages)}", flush=True)
    if os.geteuid():
        raise SystemExit("sandbox: installing packages needs root")
    with _no_service_starts():
        _apt("update")
        # --no-remove: better a clear stop than a program of the machine's owner thrown out.
        _apt("install", "--yes", "--no-install-recommends", "--no-remove", *packages)
    _stop_services(needs)
    still = [need.package for need in missing()]
    if still:
        raise SystemExit(f"sandbox: installed, and still not found: {' '.join(still)}")


if __name__ == "__main__":
    ensure()

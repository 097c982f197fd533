"""A Vault of the sandbox: initialised with one key share, kept in the run folder, so that tests can seal and unseal.

The fleet has one; each worker of the tests has another for itself (cells.py).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac

from . import cluster, network, process
from .addresses import VAULT_PORT
from .errors import SandboxError
from .paths import LOGS, RUN, SECRETS, write_secret

MOUNT = "kv"


@dataclass(frozen=True)
class Server:
    """`name` is its process's; it speaks to itself on the port after its own; `secrets` holds its tokens."""

    name: str
    port: int
    secrets: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return RUN / f"{self.name}.hcl"

    @property
    def storage(self) -> Path:
        return RUN / self.name

    @property
    def audit_log(self) -> Path:
        return LOGS / f"{self.name}-audit.log"

    @property
    def root_token(self) -> Path:
        return self.secrets / "vault-root-token"

    @property
    def unseal_key(self) -> Path:
        return self.secrets / "vault-unseal-key"


FLEETS = Server("vault", VAULT_PORT, SECRETS)


def client(server: Server = FLEETS, token: str | None = None) -> Any:
    """A client with this token, by default the server's root token. Obeys no proxy of the environment."""
    if token is None:
        try:
            token = server.root_token.read_text()
        except FileNotFoundError:
            raise SandboxError("no sandbox is running: python -m tests.sandbox up") from None
    session = hvac.Client(url=server.url, token=token, timeout=10)
    session.session.trust_env = False
    return session


def answers(server: Server = FLEETS) -> bool:
    """Whether it answers at all: right after its start it is sealed, and at first not even initialised."""
    return cluster.answers(f"{server.url}/v1/sys/seal-status")


def make_store(server: Server = FLEETS) -> None:
    """A folder in memory for a fresh Vault: raft waits for the disk at each write, which here is for nothing."""
    server.storage.mkdir(parents=True)
    network.run("mount", "-t", "tmpfs", "-o", "size=512m,mode=0700", f"agents-{server.name}", str(server.storage))


def remove_store(server: Server) -> None:
    """Nothing happens where there is none."""
    if server.storage.is_mount():
        network.run("umount", str(server.storage))
    shutil.rmtree(server.storage, ignore_errors=True)


def initialise(server: Server = FLEETS) -> None:
    """A fresh Vault becomes one with a root token and a key share in files of the run folder, unsealed."""
    fresh = client(server, token="")
    answer = fresh.sys.initialize(secret_shares=1, secret_threshold=1)
    write_secret(server.unseal_key, answer["keys_base64"][0])
    write_secret(server.root_token, answer["root_token"])
    unseal(server)
    root = client(server)
    root.sys.enable_audit_device(device_type="file", options={"file_path": str(server.audit_log), "mode": "0600"})
    root.sys.enable_secrets_engine(backend_type="kv", path=MOUNT, options={"version": "2"})
    root.sys.enable_auth_method(method_type="approle", path="approle")
    # A new KV v2 answers 400 "Upgrading from non-versioned to versioned" for a moment.
    process.wait_until("KV v2 at kv/", lambda: _kv_answers(server), 10, (server.name,))


def _kv_answers(server: Server) -> bool:
    try:
        client(server).secrets.kv.v2.read_configuration(mount_point=MOUNT)
    except hvac.exceptions.InvalidRequest:
        return False
    return True


def sealed(server: Server = FLEETS) -> bool:
    return bool(client(server, token="").sys.is_sealed())


def seal(server: Server = FLEETS) -> None:
    """Seals Vault: every request but those about its seal is answered with 503."""
    client(server).sys.seal()
    process.wait_until("Vault sealed", lambda: sealed(server), 10, (server.name,))


def unseal(server: Server = FLEETS) -> None:
    """Unseals Vault, also after a restart, and waits until it is active."""
    client(server, token="").sys.submit_unseal_key(server.unseal_key.read_text())
    # Unsealed, it is a standby for a moment before it serves.
    process.wait_until("Vault active", lambda: cluster.answers(f"{server.url}/v1/sys/health"), 10, (server.name,))

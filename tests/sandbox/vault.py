"""The sandbox's Vault: initialised with one key share, kept in the run folder, so that tests can seal and unseal."""

from __future__ import annotations

from typing import Any

import hvac

from . import cluster, process
from .addresses import VAULT
from .errors import SandboxError
from .paths import VAULT_AUDIT_LOG, VAULT_ROOT_TOKEN, VAULT_UNSEAL_KEY, write_secret

MOUNT = "kv"


def client(token: str | None = None) -> Any:
    """A client with this token, by default the running sandbox's root token. Obeys no proxy of the environment."""
    if token is None:
        try:
            token = VAULT_ROOT_TOKEN.read_text()
        except FileNotFoundError:
            raise SandboxError("no sandbox is running: python -m tests.sandbox up") from None
    session = hvac.Client(url=VAULT, token=token, timeout=10)
    session.session.trust_env = False
    return session


def initialise() -> None:
    """A fresh Vault becomes one with a root token and a key share in files of the run folder, unsealed."""
    fresh = client(token="")
    answer = fresh.sys.initialize(secret_shares=1, secret_threshold=1)
    write_secret(VAULT_UNSEAL_KEY, answer["keys_base64"][0])
    write_secret(VAULT_ROOT_TOKEN, answer["root_token"])
    unseal()
    root = client()
    root.sys.enable_audit_device(device_type="file", options={"file_path": str(VAULT_AUDIT_LOG), "mode": "0600"})
    root.sys.enable_secrets_engine(backend_type="kv", path=MOUNT, options={"version": "2"})
    root.sys.enable_auth_method(method_type="approle", path="approle")
    # A new KV v2 answers 400 "Upgrading from non-versioned to versioned" for a moment.
    process.wait_until("KV v2 at kv/", _kv_answers, 10, ("vault",))


def _kv_answers() -> bool:
    try:
        client().secrets.kv.v2.read_configuration(mount_point=MOUNT)
    except hvac.exceptions.InvalidRequest:
        return False
    return True


def sealed() -> bool:
    return bool(client(token="").sys.is_sealed())


def seal() -> None:
    """Seals Vault: every request but those about its seal is answered with 503."""
    client().sys.seal()
    process.wait_until("Vault sealed", sealed, 10, ("vault",))


def unseal() -> None:
    """Unseals Vault, also after a restart, and waits until it is active."""
    client(token="").sys.submit_unseal_key(VAULT_UNSEAL_KEY.read_text())
    process.wait_until("Vault active", _active, 10, ("vault",))


def _active() -> bool:
    # Unsealed, it is a standby for a moment before it serves.
    return cluster.answers(f"{VAULT}/v1/sys/health")

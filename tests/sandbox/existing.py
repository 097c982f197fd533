"""The backend `existing`: somebody's own test cluster and Vault, known only by four variables.

Tests change and break what they find; so a cluster that does not say of itself that it is for tests is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from kubernetes import client, config

from .addresses import MARKER
from .errors import SandboxError

_NEEDED = ("KUBECONFIG", "VAULT_ADDR", "VAULT_TOKEN", "AGENTS_SANDBOX_CAPABILITIES")


@dataclass(frozen=True)
class Existing:
    """Where the tests go, and what they may expect there (kubelet, kwok, admin, …)."""

    kubeconfig: str
    vault_addr: str
    vault_token: str
    capabilities: frozenset[str]


def from_environment(environment: Mapping[str, str] = os.environ) -> Existing:
    """The four variables; SandboxError that names the missing ones."""
    # An empty list of capabilities is a fact; an empty address is not.
    missing = [name for name in _NEEDED[:3] if not environment.get(name)]
    missing += [name for name in _NEEDED[3:] if name not in environment]
    if missing:
        raise SandboxError(f'not set: {", ".join(missing)}. For the sandbox: eval "$(make -s sandbox-env)"')
    capabilities = (word.strip() for word in environment[_NEEDED[3]].split(","))
    address, vault_address, token = (environment[name] for name in _NEEDED[:3])
    return Existing(address, vault_address, token, frozenset(filter(None, capabilities)))


def require_marker(existing: Existing) -> str:
    """The cluster's uid, when its namespace kube-system is marked for tests; SandboxError otherwise.

    One GET with the operator's own credentials.
    """
    api = config.new_client_from_config(config_file=existing.kubeconfig)
    try:
        found = client.CoreV1Api(api).read_namespace("kube-system", _request_timeout=(2, 10))
    except client.ApiException as error:
        raise SandboxError(f"cannot read the namespace kube-system of {existing.kubeconfig}: {error.reason}") from error
    finally:
        api.close()
    if (found.metadata.annotations or {}).get(MARKER) != "true":
        raise SandboxError(
            f"the cluster of {existing.kubeconfig} is not for tests: its namespace kube-system lacks the annotation "
            f'{MARKER}: "true". Tests break what they find; mark a cluster only when you can lose it'
        )
    uid: str = found.metadata.uid
    return uid

"""What a shell, Ansible or a test needs to know of the running sandbox: `export` lines."""

from __future__ import annotations

import json
import os
import shlex
import urllib.error
import urllib.request

from . import seed
from .addresses import REGISTRY
from .errors import SandboxError
from .paths import ADMIN_KUBECONFIG, BIN, CHECKOUT, ENVIRONMENT, RUN, SECRETS, write_secret
from .vault import FLEETS, Server

REAL_IMAGE = "digitalsys/openclaw-agent"
_ALWAYS = ("kubelet", "kwok", "admin", "processes", "registry", "vault-admin")


def holds_image(repository: str, tag: str = "latest") -> bool:
    """Whether the sandbox's registry holds this tag."""
    media = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    request = urllib.request.Request(
        f"http://{REGISTRY}/v2/{repository}/manifests/{tag}", method="HEAD", headers={"Accept": media}
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def of_vault(server: Server) -> dict[str, str]:
    """The variables that say which Vault is meant, and give access to it."""

    def kept(name: str) -> str:
        return (server.secrets / name).read_text()

    return {
        "VAULT_ADDR": server.url,
        "VAULT_TOKEN": kept("operator-vault-token"),
        "AGENTS_SANDBOX_ADMIN_VAULT_TOKEN": server.root_token.read_text(),
        "AGENTS_SANDBOX_PROVISIONER_VAULT_TOKEN": kept("provisioner-vault-token"),
        "AGENTS_SANDBOX_OPERATOR_ROLE_ID": kept("operator-role-id"),
        "AGENTS_SANDBOX_OPERATOR_SECRET_ID": kept("operator-secret-id"),
    }


def write() -> None:
    """Puts together what `env` prints, once everything is seeded."""
    values = {
        "KUBECONFIG": str(SECRETS / "operator.kubeconfig"),
        "AGENTS_SANDBOX_RUN": str(RUN),
        "AGENTS_SANDBOX_CLUSTER_UID": seed.cluster_uid(),
        "AGENTS_SANDBOX_REGISTRY": REGISTRY,
        "AGENTS_SANDBOX_ADMIN_KUBECONFIG": str(ADMIN_KUBECONFIG),
        "AGENTS_SANDBOX_PROVISIONER_KUBECONFIG": str(SECRETS / "provisioner.kubeconfig"),
        **of_vault(FLEETS),
    }
    write_secret(ENVIRONMENT, json.dumps(values))


def read() -> dict[str, str]:
    """The variables and their values. SandboxError when no sandbox is up."""
    try:
        values: dict[str, str] = json.loads(ENVIRONMENT.read_text())
    except FileNotFoundError:
        raise SandboxError("no sandbox is up: make sandbox") from None
    # Asked each time: an image may have been pushed since.
    capabilities = [*_ALWAYS, *(["real-image"] if holds_image(REAL_IMAGE) else [])]
    front = [str(CHECKOUT / ".venv" / "bin"), str(BIN)]
    rest = [entry for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry not in front]
    return {
        "PATH": os.pathsep.join([*front, *rest]),
        **values,
        "ANSIBLE_INVENTORY": f"{CHECKOUT}/inventories/bots,{CHECKOUT}/inventories/sandbox",
        "ANSIBLE_CONFIG": f"{CHECKOUT}/ansible.cfg",
        "AGENTS_SANDBOX_CAPABILITIES": ",".join(capabilities),
    }


def lines() -> str:
    """For eval in a shell."""
    return "".join(f"export {name}={_quoted(value)}\n" for name, value in read().items())


def _quoted(value: str) -> str:
    """In single quotes always, also where a shell would not need them: easier to read and to parse."""
    quoted = shlex.quote(value)
    return quoted if quoted.startswith("'") else f"'{value}'"

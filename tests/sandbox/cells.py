"""What each worker of the tests has for itself: a namespace, a Vault, and an External Secrets Operator.

So a test may seal Vault, stop ESO, freeze the fleet or set limits of the KV engine while others run beside it, and
agents of two workers may have one name. Etcd, API server, kubelet, registry and KWOK are everybody's.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass

from . import cluster, config, environment, parts, process, seed, vault
from .addresses import ADDRESS, FIRST_CELL_PORT, NAMESPACE
from .errors import SandboxError
from .paths import SECRETS

#: In the environment of a process that is at home in a cell: the cell's number.
VARIABLE = "AGENTS_SANDBOX_CELL"
_PORTS = 10


@dataclass(frozen=True)
class Cell:
    """One cell by its number, from 0 on."""

    number: int

    @property
    def name(self) -> str:
        return f"cell{self.number}"

    @property
    def namespace(self) -> str:
        return f"{NAMESPACE}-{self.name}"

    @property
    def _port(self) -> int:
        return FIRST_CELL_PORT + _PORTS * self.number

    @property
    def vault(self) -> vault.Server:
        return vault.Server(f"vault-{self.name}", self._port, SECRETS / self.name)

    def own_parts(self) -> dict[str, parts.Part]:
        """Its own parts, by the names that these have in the sandbox."""
        programs = parts.programs_of_the_sandbox()
        return {
            "vault": parts.vault_server(programs, self.vault),
            "external-secrets": parts.secrets_operator(
                programs, f"external-secrets-{self.name}", self._port + 2, self.namespace
            ),
        }

    def operator_in(self, namespace: str) -> parts.Part:
        """An ESO for another namespace than the cell's."""
        name = f"external-secrets-{self.name}-elsewhere"
        return parts.secrets_operator(parts.programs_of_the_sandbox(), name, self._port + 4, namespace)

    def api_server(self) -> tuple[parts.Part, str]:
        """An API server of its own at the sandbox's etcd, and its address."""
        port = self._port + 3
        # What names API servers in the cluster (the Service kubernetes) is the first one's alone.
        words = ("--endpoint-reconciler-type=none",)
        part = parts.api_server(parts.programs_of_the_sandbox(), f"kube-apiserver-{self.name}", port, *words)
        return part, f"https://{ADDRESS}:{port}"

    def start(self) -> None:
        """From whatever a worker that was killed left behind to a seeded cell."""
        self.stop()
        cluster.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=120s")
        own = self.own_parts()
        vault.make_store(self.vault)
        self.vault.config.write_text(config.vault_server(self.vault))
        parts.start(own["vault"])
        vault.initialise(self.vault)
        seed.vault_identities(self.vault)
        seed.fleets_namespace(self.namespace)
        parts.start(own["external-secrets"])

    def environment(self) -> dict[str, str]:
        """What differs from the sandbox's own."""
        return {**environment.of_vault(self.vault), VARIABLE: str(self.number)}

    def stop(self) -> None:
        """Its processes and their files are gone; its namespace ends by itself, which the next start waits for."""
        for found in reversed(process.recorded()):
            if found.name.endswith(f"-{self.name}") or f"-{self.name}-" in found.name:
                process.stop(found)
        cluster.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")
        self._release()
        vault.remove_store(self.vault)
        shutil.rmtree(self.vault.secrets, ignore_errors=True)

    def _release(self) -> None:
        """What waits for this cell's ESO, which is gone, before it goes itself, and keeps the namespace."""
        for name in cluster.kubectl("get", "externalsecrets", "-n", self.namespace, "-o", "name").split():
            released = '{"metadata": {"finalizers": null}}'
            with suppress(SandboxError):  # it went meanwhile
                cluster.kubectl("patch", name, "-n", self.namespace, "--type=merge", "-p", released)


def current() -> Cell | None:
    """The cell that this process is at home in."""
    number = os.environ.get(VARIABLE)
    return Cell(int(number)) if number else None

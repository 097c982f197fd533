"""Runs playbooks/awx.yml against a controller, as an operator does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .controller import Controller

CHECKOUT = Path(__file__).resolve().parents[3]
TOKEN = "controller-token-4f1c9a7d"
VAULT_SECRET_ID = "secret-id-b7e2c5d8"
VAULT_ROLE_ID = "role-id-0d9f"
BEARER_TOKEN = "bearer-token-93ac61fe"
REGISTRY_PASSWORD = "registry-password-2c85"
SECRETS = (TOKEN, VAULT_SECRET_ID, BEARER_TOKEN, REGISTRY_PASSWORD)
PLAYBOOKS = frozenset(
    f"playbooks/{name}.yml" for name in ("awx", "provision", "restart", "rollout", "rotate", "rotate_access", "status")
)
INPUTS: dict[str, Any] = {
    "operator_kubernetes": {"host": "https://cluster.example.com", "bearer_token": BEARER_TOKEN, "verify_ssl": True},
    "operator_vault": {"url": "https://vault.example.com", "role_id": VAULT_ROLE_ID, "secret_id": VAULT_SECRET_ID},
    "registry": {"username": "puller", "password": REGISTRY_PASSWORD},
}
VARIABLES: dict[str, Any] = {
    "awx_scm_url": "https://git.example.com/agents.git",
    "awx_execution_environment_image": "registry.example.com/agents-ee:0.2.0",
    "awx_credential_inputs": INPUTS,
    "awx_rotate_rrule": "DTSTART:20260101T030000Z RRULE:FREQ=MONTHLY;INTERVAL=1",
}
#: Seconds. Some hundred modules, each a process of its own: a minute alone on a slow machine, five beside other
#: tests.
_HANGS = 900
INVENTORY = "agents:\n  hosts: {clovis: , roberval: , clementina: }\n  children: {canary: {hosts: {clementina: }}}\n"


@dataclass(frozen=True)
class Run:
    """One run of the playbook. changed: of the recap, -1 without one. first: number of requests before it."""

    code: int
    output: str
    changed: int
    first: int


@dataclass(frozen=True)
class Operator:
    controller: Controller
    address: str
    folder: Path

    def run(self, *arguments: str, token: str = TOKEN, variables: dict[str, Any] | None = None) -> Run:
        """Run playbooks/awx.yml as an operator does, most talkative, with nothing of this machine's own settings."""
        inventory = self.folder / "hosts.yml"
        inventory.write_text(INVENTORY)
        given = self.folder / "variables.yml"
        given.write_text(yaml.safe_dump(VARIABLES if variables is None else variables))
        programs = Path(sys.executable).parent
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "CONTROLLER_HOST": self.address,
            "CONTROLLER_OAUTH_TOKEN": token,
        }
        command = [
            str(programs / "ansible-playbook"),
            "-vvv",
            "-i",
            str(inventory),
            "-e",
            f"@{given}",
            "playbooks/awx.yml",
        ]
        first = len(self.controller.requests)
        done = subprocess.run(
            [*command, *arguments],
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_HANGS,
            check=False,
        )
        recap = re.search(r"^localhost .*changed=(\d+)", done.stdout, re.MULTILINE)
        return Run(done.returncode, done.stdout, int(recap[1]) if recap else -1, first)

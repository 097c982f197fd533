"""As AWX runs it: ansible-runner, a private data directory, every credential by environment, extra variables unsafe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.gates.tree import files
from tests.integration.fleet import CHECKOUT, QUICK

INVENTORY = """\
#!{python}
import pathlib
print(pathlib.Path({data!r}).read_text())
"""


def _operator(folder: Path) -> dict[str, str]:
    """The operator's access, given as AWX's credential types give it."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = folder / "ca.pem"
    ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    return {
        "K8S_AUTH_HOST": cluster["server"],
        "K8S_AUTH_API_KEY": user["token"],
        "K8S_AUTH_VERIFY_SSL": "True",
        "K8S_AUTH_SSL_CA_CERT": str(ca),
        "VAULT_ADDR": os.environ["VAULT_ADDR"],
        "VAULT_ROLE_ID": os.environ["AGENTS_SANDBOX_OPERATOR_ROLE_ID"],
        "VAULT_SECRET_ID": os.environ["AGENTS_SANDBOX_OPERATOR_SECRET_ID"],
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    }


class Job:
    """A private data directory; each run is a job with its number."""

    def __init__(self, folder: Path, agent: str, variables: Mapping[str, Any] | None = None, words: str = "") -> None:
        """`variables`: of the agent, beside the tests' own. `words`: more of ansible-playbook's command line."""
        self.folder, self.agent = folder, agent
        for part in ("env", "inventory", "project"):
            (folder / part).mkdir(parents=True)
        self.environment = _operator(folder)
        (folder / "env/envvars").write_text(json.dumps(self.environment))
        settings = {"job_timeout": 1800, "idle_timeout": 600}
        (folder / "env/settings").write_text(json.dumps(settings))
        (folder / "env/cmdline").write_text(f"-u root -l {agent} {words}")
        self._inventory(variables or {})
        for name in files():
            target = folder / "project" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target, follow_symlinks=False)
        for path in (folder / "project").rglob("*"):
            path.chmod(path.stat().st_mode & ~0o222)
        self.project = self._listing()

    def _inventory(self, own: Mapping[str, Any]) -> None:
        patient = {"agent_secret_refresh": "1h", "agent_startup_seconds": 120, "agent_timeout": 300}
        variables = {**QUICK, **patient, **own}
        data = {
            "agents": {"hosts": [self.agent], "vars": variables},
            "canary": {"hosts": [self.agent]},
            "_meta": {"hostvars": {self.agent: {"agent_env": {"FROM": "AWX"}}}},
        }
        (self.folder / "inventory.json").write_text(json.dumps(data))
        script = self.folder / "inventory/hosts"
        script.write_text(INVENTORY.format(python=sys.executable, data=str(self.folder / "inventory.json")))
        script.chmod(0o700)

    def _listing(self) -> list[tuple[str, int]]:
        return sorted((str(path), path.lstat().st_mtime_ns) for path in (self.folder / "project").rglob("*"))

    def start(self, playbook: str, number: int, ident: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Runs it to its end, whichever; extra variables as AWX gives them."""
        told = {"agent": self.agent, "awx_user_name": "admin", **extra}
        lines = [f"{name}: !unsafe {json.dumps(value)}" for name, value in told.items()]
        (self.folder / "env/extravars").write_text("\n".join([*lines, f"awx_job_id: {number}\n"]))
        programs = str(Path(sys.executable).parent)
        return subprocess.run(
            [f"{programs}/ansible-runner", "run", str(self.folder), "-p", playbook, "--ident", ident],
            # No HOME, no terminal, nothing of this shell.
            env={"PATH": f"{programs}:/usr/bin:/bin", "LANG": "C.UTF-8"}, cwd=self.folder, umask=0o077,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
        )  # fmt: skip

    def run(self, playbook: str, number: int, ident: str) -> dict[str, Any]:
        """The last event's data; asserts what holds of every job that ends well."""
        done = self.start(playbook, number, ident)
        artifacts = self.folder / "artifacts" / ident
        assert done.returncode == 0, done.stdout
        assert (artifacts / "rc").read_text() == "0"
        assert (artifacts / "status").read_text() == "successful"
        assert self._listing() == self.project, "the project was written to"
        events = [json.loads(path.read_text()) for path in (artifacts / "job_events").glob("*.json")]
        last: dict[str, Any] = max(events, key=lambda event: event["counter"])
        assert last["event"] == "playbook_on_stats"
        return dict(last["event_data"])

    def written(self) -> str:
        """All artifacts, less the environment in ansible-runner's own note of what it was told to run."""
        texts = []
        for path in (path for path in (self.folder / "artifacts").rglob("*") if path.is_file()):
            text = path.read_text(errors="replace")
            if path.name == "command":
                text = json.dumps({**json.loads(text), "env": None})
            texts.append(text)
        return "\n".join(texts)

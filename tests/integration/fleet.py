"""A fleet of a test's own: an inventory, what `provision` would have made, and playbooks run as an operator would.

Everything is read back with other means than the collection's: kubectl, plain GETs, and hvac with the administrator's
token.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hvac
import yaml

from tests.integration import forked
from tests.integration.home import NAMESPACE, VAULT_ADDR
from tests.integration.reading import cluster
from tests.sandbox.kwok import NODE_SELECTOR, TOLERATION
from tests.sandbox.paths import CHECKOUT

REGISTRY = os.environ.get("AGENTS_SANDBOX_REGISTRY", "")
TESTGATEWAY = f"{REGISTRY}/digitalsys/testgateway"
REAL_IMAGE = f"{REGISTRY}/digitalsys/openclaw-agent"
KEYS = ("GITHUB_TOKEN", "LINEAR_API_KEY", "OPENCLAW_GATEWAY_TOKEN")
KWOK = {
    "agent_verify": "ready",
    "agent_node_selector": NODE_SELECTOR,
    "agent_tolerations": [TOLERATION],
    "agent_requests": {},
}
#: What tests want otherwise than operators: short windows, the small image, no pull of a node pool's label.
QUICK: dict[str, Any] = {
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    "agent_namespace": NAMESPACE,
    "agent_cluster_uid": os.environ.get("AGENTS_SANDBOX_CLUSTER_UID", ""),
    "agent_image": f"{TESTGATEWAY}:latest",
    "agent_vault_server": VAULT_ADDR,
    "agent_node_selector": {"doks.digitalocean.com/node-pool": "bots"},
    "agent_requests": {"memory": "32Mi"},
    "agent_stability_seconds": 2,
    "agent_grace_seconds": 5,
    "agent_startup_seconds": 30,
    "agent_sync_timeout": 30,
    "agent_timeout": 120,
}
#: Deleted by name: what a test may have left without our label, and the claim, once nothing uses it.
_UNLABELLED = (("deployment", ""), ("secret", "-env"), ("configmap", "-releases"), ("persistentvolumeclaim", "-state"))
PROGRAMS = Path(sys.executable).parent
Object = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One ansible-playbook: its exit code, all that it printed, and the last result of each host as data."""

    rc: int
    output: str
    results: Mapping[str, Object]
    seconds: float

    def ok(self) -> Run:
        assert self.rc == 0, self.output
        return self

    def failed(self, *words: str) -> Run:
        """Failed, and said all of these words."""
        assert self.rc != 0, self.output
        for word in words:
            assert word in self.output, f"{word!r} is not in:\n{self.output}"
        return self

    def changed(self, host: str) -> bool:
        return f"{host} " in self.output and f"changed={0} " not in self._recap(host)

    def _recap(self, host: str) -> str:
        recap = self.output.partition("PLAY RECAP")[2]
        return next((line for line in recap.splitlines() if line.startswith(f"{host} ")), "")

    def message(self, host: str) -> str:
        return str(self.results[host].get("msg", ""))


def kubectl(*words: str, stdin: str | None = None, check: bool = True) -> str:
    """As the cluster's administrator."""
    command = ["kubectl", "--kubeconfig", os.environ["AGENTS_SANDBOX_ADMIN_KUBECONFIG"], *words]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def get(kind: str, name: str, namespace: str = NAMESPACE) -> Object | None:
    return cluster().one(kind, name, namespace)


def apply(*objects: Object) -> None:
    kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "-",
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
    )


def pods(agent: str, namespace: str = NAMESPACE) -> list[Object]:
    return cluster().all("pods", namespace, f"app.kubernetes.io/instance={agent}")


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """The first true answer; fails with `what` when none comes in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def vault_admin() -> hvac.Client:
    return hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["AGENTS_SANDBOX_ADMIN_VAULT_TOKEN"])


def as_identity(identity: str) -> dict[str, str]:
    """The environment of whoever runs with it: OPERATOR or PROVISIONER."""
    return {part: os.environ[f"AGENTS_SANDBOX_{identity}_{part}"] for part in ("KUBECONFIG", "VAULT_TOKEN")}


def versions(*agents: str, namespace: str = NAMESPACE) -> dict[str, str]:
    """kind/name -> resourceVersion of everything of ours in the namespace, or of these agents alone: two equal answers
    = nothing was written.

    What controllers write by themselves (pods, ReplicaSets) is left out by kind. ESO writes a status with each refresh:
    agents that are compared need a long agent_secret_refresh.
    """
    kinds = "deployments,serviceaccounts,persistentvolumeclaims,networkpolicies"
    kinds += ",secretstores,externalsecrets,secrets,configmaps,leases"
    return {
        f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for kind in kinds.split(",")
        for one in cluster().all(kind, namespace)
        if not agents or any(_belongs(one["metadata"], agent) for agent in agents)
    }


def _belongs(metadata: Object, agent: str) -> bool:
    """What has no label of ours is a stranger's and goes by its name. By the name alone "renova" would have what is of
    "renova-fim", an agent of a test at its side."""
    owner = (metadata.get("labels") or {}).get("app.kubernetes.io/instance")
    return owner == agent if owner else agent in metadata["name"]


@dataclass
class Fleet:
    """Agents of one test. Make it through the fixture `fleet`, which removes everything afterwards."""

    folder: Path
    names: list[str]
    variables: Object = field(default_factory=dict)
    host_variables: dict[str, Object] = field(default_factory=dict)
    canaries: list[str] = field(default_factory=list)
    namespace: str = NAMESPACE
    #: What all agents have before `variables`; {} where the test brings inventories of its own.
    base: Object = field(default_factory=lambda: QUICK)
    #: What its runs have in their environment besides.
    environ: Mapping[str, str] = field(default_factory=dict)
    #: Folder of the ansible-playbook that is run.
    programs: Path = PROGRAMS
    #: By the real program alone: see forked.py.
    real: bool = False

    def write(self) -> Path:
        """The inventory as it is now; written anew before each run."""
        inventory = self.folder / "inventory"
        (inventory / "group_vars").mkdir(parents=True, exist_ok=True)
        hosts = {name: self.host_variables.get(name, {}) for name in self.names}
        groups: Object = {"agents": {"hosts": hosts}}
        if self.canaries:
            groups["canary"] = {"hosts": dict.fromkeys(self.canaries)}
        (inventory / "hosts.yml").write_text(yaml.safe_dump(groups))
        variables = {**self.base, "agent_namespace": self.namespace, **self.variables}
        (inventory / "group_vars" / "agents.yml").write_text(yaml.safe_dump(variables))
        return inventory

    def provide(self) -> None:
        """Vault entry, policy, AppRole and Secret of each agent, as `provision` would have left them."""
        client = vault_admin()
        for name in self.names:
            self.put(name, {key: secrets.token_urlsafe(24) for key in KEYS})
            client.secrets.kv.v2.update_metadata(
                f"agents-rotation/{name}",
                max_versions=3,
                cas_required=True,
                custom_metadata={"digest_key": secrets.token_hex(32)},
                mount_point="kv",
            )
            policy = "".join(
                f'path "kv/{part}/agents/{name}" {{ capabilities = ["read"] }}\n' for part in ("data", "metadata")
            )
            client.sys.create_or_update_policy(f"agents-{name}", policy)
            client.auth.approle.create_or_update_approle(
                f"{name}-role", token_policies=[f"agents-{name}"], secret_id_ttl="0"
            )
            made = client.auth.approle.generate_secret_id(f"{name}-role")["data"]
            role_id = client.auth.approle.read_role_id(f"{name}-role")["data"]["role_id"]
            self.write_access_secret(name, role_id, made["secret_id"], made["secret_id_accessor"])

    def write_access_secret(self, name: str, role_id: str, secret_id: str, accessor: str) -> None:
        labels = {
            "app.kubernetes.io/name": "openclaw",
            "app.kubernetes.io/instance": name,
            "app.kubernetes.io/part-of": "agents",
            "app.kubernetes.io/managed-by": "digitalsys.agents",
        }
        metadata = {
            "name": f"{name}-vault-approle",
            "namespace": self.namespace,
            "labels": labels,
            "annotations": {"agents.digitalsys/secret-id-accessor": accessor},
        }
        data = {"role-id": role_id, "secret-id": secret_id}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded})

    def put(self, name: str, values: Mapping[str, str]) -> int:
        """A whole new version in Vault, by the administrator: a hand edit."""
        answer = vault_admin().secrets.kv.v2.create_or_update_secret(f"agents/{name}", dict(values), mount_point="kv")
        return int(answer["data"]["version"])

    def values(self, name: str) -> dict[str, str]:
        answer = vault_admin().secrets.kv.v2.read_secret_version(
            f"agents/{name}", mount_point="kv", raise_on_deleted_version=True
        )
        found: dict[str, str] = answer["data"]["data"]
        return found

    def command(self, playbook: str, *words: str) -> list[str]:
        return [str(self.programs / "ansible-playbook"), playbook, "-i", str(self.write()), *words]

    def environment(self, **more: str) -> dict[str, str]:
        """As a shell after `make -s sandbox-env`, with results kept as data."""
        results = {
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.tree",
            "ANSIBLE_CALLBACK_TREE_DIR": str(self.folder / "results"),
            "ANSIBLE_NOCOLOR": "1",
        }
        inherited = {name: value for name, value in os.environ.items() if name != "ANSIBLE_INVENTORY"}
        return {**inherited, **results, **self.environ, **more}

    def play(
        self,
        playbook: str,
        *words: str,
        env: Mapping[str, str] | None = None,
        cwd: Path = CHECKOUT,
        timeout: float = 300,
        real: bool = False,
    ) -> Run:
        """`real`: by the real program, not by a fork."""
        for old in (self.folder / "results").glob("*"):
            old.unlink()
        started = time.monotonic()
        command = forked.Command(self.command(playbook, *words), self.environment(**(env or {})), cwd, timeout)
        if real or self.real or self.programs != PROGRAMS:
            code, output = forked.run_real(command)
        else:
            code, output = forked.run(command, self.environment())
        return Run(code, output, self.results(), time.monotonic() - started)

    def results(self) -> dict[str, Object]:
        found = {}
        for file in (self.folder / "results").glob("*"):
            try:
                found[file.name] = json.loads(file.read_text())
            except ValueError:
                continue
        return found

    def rollout(self, name: str = "", *words: str, env: Mapping[str, str] | None = None) -> Run:
        return self.play("rollout.yml", *(("-e", f"agent={name}") if name else ()), *words, env=env)

    def rotate(self, name: str = "", *words: str, env: Mapping[str, str] | None = None) -> Run:
        return self.play("playbooks/rotate.yml", *(("-e", f"agent={name}") if name else ()), *words, env=env)

    def provision(self, name: str, *words: str, env: Mapping[str, str] | None = None) -> Run:
        """As the provisioner, unless another one is given."""
        return self.play(
            "playbooks/provision.yml", "-e", f"agent={name}", *words, env=env or as_identity("PROVISIONER")
        )

    def remove(self) -> None:
        """Everything of these agents, without waiting for grace: the names may be used again."""
        here = ("-n", self.namespace, "--ignore-not-found")
        labels = f"app.kubernetes.io/instance in ({', '.join(self.names)})"
        # ReplicaSets too: after a restart of the API server the garbage collector may not have seen the youngest.
        kinds = "deployments,replicasets,externalsecrets,secretstores,networkpolicies,serviceaccounts,configmaps,leases"
        kubectl("delete", f"{kinds},secrets", *here, "-l", labels, "--wait=false")
        named = [f"{kind}/{name}{tail}" for name in self.names for kind, tail in _UNLABELLED]
        kubectl("delete", *named, *here, "--wait=false")
        kubectl("delete", "pods", *here, "-l", labels, "--force", "--grace-period=0", check=False)
        client = vault_admin()
        for name in self.names:
            for path in ("agents", "agents-rotation", "agents-inbox"):
                client.secrets.kv.v2.delete_metadata_and_all_versions(f"{path}/{name}", mount_point="kv")
            client.sys.delete_policy(f"agents-{name}")
            client.auth.approle.delete_role(f"{name}-role")


def gateway(name: str, token: str, namespace: str = NAMESPACE) -> int:
    """The status with which the agent's gateway answers this token, 0 for none; asked from inside its pod with curl."""
    pod = next(one for one in pods(name, namespace) if not one["metadata"].get("deletionTimestamp"))
    script = (
        'read -r token; curl -s -o /dev/null -w "%{http_code}" -X POST -H "Authorization: Bearer $token" '
        """-H 'Content-Type: application/json' -d '{"tool":"sessions_list","args":{}}' """
        "http://127.0.0.1:18789/tools/invoke || true"
    )
    words = ("exec", "-i", "-n", namespace, pod["metadata"]["name"], "-c", "openclaw", "--", "sh", "-c", script)
    return int(kubectl(*words, stdin=f"{token}\n"))

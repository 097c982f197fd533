"""Addresses, ports and names of the sandbox. Loopback and a bridge of its own, nothing else."""

from __future__ import annotations

BRIDGE = "dsagents0"
ADDRESS = "10.231.0.1"
PODS = "10.231.0.0/24"
SERVICES = "10.96.0.0/24"
FIRST_SERVICE = "10.96.0.1"
NODE = "n1"
NODE_LABEL = ("doks.digitalocean.com/node-pool", "bots")

ETCD = "http://127.0.0.1:12379"
ETCD_PEER = "http://127.0.0.1:12380"
APISERVER_PORT = 16443
APISERVER = f"https://{ADDRESS}:{APISERVER_PORT}"
CONTROLLER_MANAGER_PORT = 16257
SCHEDULER_PORT = 16259
KUBELET_PORT = 16250
KUBELET_HEALTH_PORT = 16248
KWOK_PORT = 16247
#: Of a Vault; the port after it is for talking to itself.
VAULT_PORT = 18200
ESO_PORT = 18082
#: The cells of the tests have ten ports each from here on: cells.py.
FIRST_CELL_PORT = 18300
REGISTRY = "127.0.0.1:15000"

NAMESPACE = "bots"
IDENTITIES_NAMESPACE = "agents-identities"
#: On the namespace kube-system: this cluster may be broken by tests.
MARKER = "agents.digitalsys/test-cluster"
AGENTS = ("clovis", "roberval", "clementina")
FIELD_MANAGER = "digitalsys.agents"
STORAGE_CLASS = "do-block-storage"

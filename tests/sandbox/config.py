"""The configuration files of the parts, as text."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from . import cgroups, vault
from .addresses import (
    ADDRESS,
    APISERVER,
    BRIDGE,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    NAMESPACE,
    NODE,
    PODS,
    REGISTRY,
)
from .paths import (
    ADMIN_KUBECONFIG,
    CONTAINERD,
    CONTAINERD_SOCKET,
    IMAGE_STORE,
    KUBELET_KUBECONFIG,
    PKI,
    REGISTRY_STORE,
    RUN,
    write_secret,
)

PAUSE_IMAGE = "localhost/pause:local"


def containerd(with_cri: bool = True) -> str:
    """containerd's file. Without its CRI plugin it is good for cleaning up: nothing is started again."""
    unused = [f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")]
    if not with_cri:
        unused.append("io.containerd.grpc.v1.cri")
    return f"""version = 2
root = "{IMAGE_STORE}"
state = "{CONTAINERD}/state"
disabled_plugins = {json.dumps(unused)}
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{CONTAINERD}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE, as in many containers and virtual machines, every pod would fail otherwise.
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{RUN}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "runc"
      Root = "{CONTAINERD}/runc"
"""


def cni() -> str:
    """Pods on our bridge. Masquerading is the sandbox's own rule, so that no plugin writes rules of its own."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{RUN}/ipam",
            "ranges": [[{"subnet": PODS, "gateway": ADDRESS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return json.dumps({"cniVersion": "0.4.0", "name": RUN.name, "plugins": [bridge]}, indent=2)


def kubelet() -> str:
    """The kubelet's file (YAML is a superset of JSON)."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{cgroups.NAME}",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "address": ADDRESS,
            "port": KUBELET_PORT,
            "readOnlyPort": 0,
            "healthzPort": KUBELET_HEALTH_PORT,
            "healthzBindAddress": "127.0.0.1",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{PKI}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{PKI}/kubelet.crt",
            "tlsPrivateKeyFile": f"{PKI}/kubelet.key",
            "clusterDNS": ["10.96.0.10"],
            "clusterDomain": "cluster.local",
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "podLogsDir": f"{RUN}/podlogs",
            "syncFrequency": "2s",
            "makeIPTablesUtilChains": False,
            "nodeStatusUpdateFrequency": "4s",
            "configMapAndSecretChangeDetectionStrategy": "Watch",
            "imageGCHighThresholdPercent": 100,
            # 100 switches that off, but only while the low threshold stays below it.
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "volumePluginDir": f"{RUN}/volplug",
            "resolvConf": "/etc/resolv.conf",
        },
        indent=2,
    )


def registry() -> str:
    return f"""version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {json.dumps(str(REGISTRY_STORE))}}}
  delete: {{enabled: true}}
http: {{addr: "{REGISTRY}"}}
"""


def write_registry() -> None:
    """The registry's file at its place, and the folders that it needs: it starts before anything else is there."""
    REGISTRY_STORE.mkdir(parents=True, exist_ok=True)
    (RUN / "registry.yml").write_text(registry())


def vault_server(server: vault.Server) -> str:
    """Storage on disk, so that Vault can be stopped, started and sealed and still knows everything: a raft of one.

    The multiplier is that of the times after which a raft without a leader elects one: here, after each unsealing.
    """
    cluster_address = f"127.0.0.1:{server.port + 1}"
    return f"""disable_mlock = true
api_addr = "{server.url}"
cluster_addr = "https://{cluster_address}"
storage "raft" {{
  path = "{server.storage}"
  node_id = "{NODE}"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{server.port}"
  cluster_address = "{cluster_address}"
  tls_disable = true
}}
"""


def audit_policy() -> str:
    """Who did what to which object, without bodies: those would hold secrets."""
    return json.dumps(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        }
    )


def kubeconfig(user: dict[str, str], server: str = APISERVER, namespace: str = NAMESPACE) -> str:
    """A kubeconfig that needs no other file; `user` holds the credentials."""
    authority = base64.b64encode((PKI / "ca.crt").read_bytes()).decode()
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [{"name": "user", "user": user}],
            "contexts": [
                {"name": "sandbox", "context": {"cluster": "sandbox", "user": "user", "namespace": namespace}}
            ],
            "current-context": "sandbox",
        },
        indent=2,
    )


def certificate_user(name: str) -> dict[str, str]:
    """The credentials of a client certificate of PKI, as a kubeconfig has them."""
    return {
        "client-certificate-data": base64.b64encode((PKI / f"{name}.crt").read_bytes()).decode(),
        "client-key-data": base64.b64encode((PKI / f"{name}.key").read_bytes()).decode(),
    }


def write_all() -> None:
    """Every file above but the registry's at its place; the certificates must be there."""
    files: dict[Path, str] = {
        RUN / "containerd.toml": containerd(),
        RUN / "cni" / "10-sandbox.conflist": cni(),
        RUN / "kubelet.yaml": kubelet(),
        vault.FLEETS.config: vault_server(vault.FLEETS),
        RUN / "audit-policy.yaml": audit_policy(),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write_secret(ADMIN_KUBECONFIG, kubeconfig(certificate_user("admin")))
    write_secret(KUBELET_KUBECONFIG, kubeconfig(certificate_user("kubelet")))

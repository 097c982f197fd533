"""The parts of the sandbox: how each is started, and how it shows that it works."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import cluster, process, vault
from .addresses import (
    ADDRESS,
    APISERVER_PORT,
    CONTROLLER_MANAGER_PORT,
    ESO_PORT,
    ETCD,
    ETCD_PEER,
    KUBELET_HEALTH_PORT,
    KWOK_PORT,
    NAMESPACE,
    NODE,
    NODE_LABEL,
    REGISTRY,
    SCHEDULER_PORT,
    SERVICES,
)
from .errors import SandboxError
from .paths import (
    ADMIN_KUBECONFIG,
    CONTAINERD_SOCKET,
    KUBELET_KUBECONFIG,
    LOGS,
    PKI,
    RUN,
    STAGES,
)

_PROGRAMS = RUN / "programs.json"


@dataclass(frozen=True)
class Part:
    """One program: its command line, what it needs in the environment, and when it is ready.

    `grace` is how many seconds it gets after SIGTERM.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    grace: float = 5.0


def remember_programs(programs: dict[str, Path]) -> None:
    """Writes down which built programs this sandbox runs, so that a part can be started again later."""
    found = {name: str(path) for name, path in programs.items()}
    found["containerd"] = _installed("containerd")
    _PROGRAMS.write_text(json.dumps(found))


def _installed(name: str) -> str:
    if path := shutil.which(name):
        return path
    raise SandboxError(f"{name} is not installed")


def built(name: str) -> Path:
    """A program of the running sandbox, or a file that ships with one."""
    return Path(programs_of_the_sandbox()[name])


def _url(url: str) -> Callable[[], bool]:
    return lambda: cluster.answers(url)


def node_ready() -> bool:
    return cluster.condition(cluster.get(f"/api/v1/nodes/{NODE}"), "Ready")


def registry() -> Part:
    """The registry, which needs no program that is built: it can be the first to start."""
    program = _installed("docker-registry")
    return Part("registry", (program, "serve", f"{RUN}/registry.yml"), _url(f"http://{REGISTRY}/v2/"))


def programs_of_the_sandbox() -> dict[str, str]:
    """Name -> path of what the running sandbox runs."""
    try:
        found: dict[str, str] = json.loads(_PROGRAMS.read_text())
    except FileNotFoundError:
        raise SandboxError("no sandbox is running: python -m tests.sandbox up") from None
    return found


def vault_server(programs: dict[str, str], server: vault.Server) -> Part:
    """A Vault: its configuration must be written."""
    command = (programs["vault"], "server", f"-config={server.config}")
    return Part(server.name, command, lambda: vault.answers(server))


def api_server(programs: dict[str, str], name: str, port: int, *more: str) -> Part:
    """An API server at the sandbox's etcd, at this port of the bridge's address."""
    return Part(
        name,
        (
            programs["kube-apiserver"],
            f"--etcd-servers={ETCD}",
            f"--bind-address={ADDRESS}",
            f"--secure-port={port}",
            f"--advertise-address={ADDRESS}",
            f"--client-ca-file={PKI}/ca.crt",
            f"--tls-cert-file={PKI}/apiserver.crt",
            f"--tls-private-key-file={PKI}/apiserver.key",
            f"--service-account-key-file={PKI}/sa.key",
            f"--service-account-signing-key-file={PKI}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--kubelet-client-certificate={PKI}/admin.crt",
            f"--kubelet-client-key={PKI}/admin.key",
            f"--kubelet-certificate-authority={PKI}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-admission-plugins=NodeRestriction",
            "--profiling=false",
            f"--audit-policy-file={RUN}/audit-policy.yaml",
            f"--audit-log-path={LOGS}/{name}-audit.log",
            *more,
        ),
        _url(f"https://{ADDRESS}:{port}/readyz"),
        grace=10.0,
    )


def secrets_operator(programs: dict[str, str], name: str, port: int, namespace: str) -> Part:
    """An External Secrets Operator for one namespace: of two that saw the same objects none could be stopped."""
    return Part(
        name,
        (
            programs["external-secrets"],
            "--metrics-addr=0",
            f"--live-addr=127.0.0.1:{port}",
            f"--namespace={namespace}",
            "--concurrent=4",
            "--store-requeue-interval=5s",
            "--enable-flood-gate=false",
            # Their definitions need not be there then: half of what would have to be applied.
            "--enable-cluster-store-reconciler=false",
            "--enable-cluster-external-secret-reconciler=false",
            "--enable-push-secret-reconciler=false",
            "--enable-cluster-push-secret-reconciler=false",
        ),
        _url(f"http://127.0.0.1:{port}/healthz"),
        {"KUBECONFIG": str(ADMIN_KUBECONFIG)},
    )


def all_parts() -> dict[str, Part]:
    """The parts by name, in the order of their start."""
    programs = programs_of_the_sandbox()
    clients = f"--kubeconfig={ADMIN_KUBECONFIG}"
    delegated = (
        clients,
        f"--authentication-kubeconfig={ADMIN_KUBECONFIG}",
        f"--authorization-kubeconfig={ADMIN_KUBECONFIG}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        # Its names are those of this machine; a certificate of their own nobody could verify.
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
    )
    parts = (
        Part(
            "etcd",
            (
                programs["etcd"],
                f"--data-dir={RUN}/etcd",
                f"--listen-client-urls={ETCD}",
                f"--advertise-client-urls={ETCD}",
                f"--listen-peer-urls={ETCD_PEER}",
                f"--initial-advertise-peer-urls={ETCD_PEER}",
                f"--initial-cluster=default={ETCD_PEER}",
                "--unsafe-no-fsync",
                # Alone, it has nobody to wait for before it elects itself.
                "--heartbeat-interval=20",
                "--election-timeout=200",
                "--log-level=warn",
            ),
            _url(f"{ETCD}/health"),
        ),
        vault_server(programs, vault.FLEETS),
        registry(),
        Part("containerd", (programs["containerd"], "--config", f"{RUN}/containerd.toml"), containerd_answers),
        api_server(programs, "kube-apiserver", APISERVER_PORT),
        Part(
            "kube-controller-manager",
            (
                programs["kube-controller-manager"],
                *delegated,
                f"--service-account-private-key-file={PKI}/sa.key",
                f"--root-ca-file={PKI}/ca.crt",
                f"--cluster-signing-cert-file={PKI}/ca.crt",
                f"--cluster-signing-key-file={PKI}/ca.key",
                "--use-service-account-credentials=true",
                f"--secure-port={CONTROLLER_MANAGER_PORT}",
                "--enable-hostpath-provisioner=true",
                "--pvclaimbinder-sync-period=2s",
                f"--flex-volume-plugin-dir={RUN}/volplug",
            ),
            _url(f"https://localhost:{CONTROLLER_MANAGER_PORT}/healthz"),
        ),
        Part(
            "kube-scheduler",
            (programs["kube-scheduler"], *delegated, f"--secure-port={SCHEDULER_PORT}"),
            _url(f"https://localhost:{SCHEDULER_PORT}/healthz"),
        ),
        Part(
            "kubelet",
            (
                programs["kubelet"],
                f"--config={RUN}/kubelet.yaml",
                f"--kubeconfig={KUBELET_KUBECONFIG}",
                f"--root-dir={RUN}/kubelet",
                f"--cert-dir={RUN}/kubelet/pki",
                f"--hostname-override={NODE}",
                f"--node-ip={ADDRESS}",
                f"--node-labels={'='.join(NODE_LABEL)}",
            ),
            lambda: cluster.answers(f"http://127.0.0.1:{KUBELET_HEALTH_PORT}/healthz") and node_ready(),
        ),
        Part(
            "kwok",
            (
                programs["kwok"],
                clients,
                "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
                f"--config={STAGES}",
                "--cidr=10.0.0.1/24",
                "--node-lease-duration-seconds=40",
                f"--server-address=127.0.0.1:{KWOK_PORT}",
            ),
            _url(f"http://127.0.0.1:{KWOK_PORT}/healthz"),
        ),
        secrets_operator(programs, "external-secrets", ESO_PORT, NAMESPACE),
    )
    return {part.name: part for part in parts}


def containerd_answers() -> bool:
    """Whether somebody listens at its socket: it does so when its plugins are loaded."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(CONTAINERD_SOCKET)) == 0


def start(part: Part, seconds: float = 60.0) -> None:
    """Starts a part and waits until it is ready; PartDied with the end of its log when it ends instead."""
    process.start(part.name, part.command, part.environment)
    process.wait_until(f"{part.name} ready", part.ready, seconds, (part.name,))

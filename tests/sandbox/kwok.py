"""Fake nodes, for breadth: pods on them become ready though nothing runs; probes and missing Secrets do not matter.

A fake node carries the label and the taint below: pods land on it only when they ask for it by both.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from . import cluster, process
from .paths import STAGES

LABEL = "agents.digitalsys/fake-node"
TAINT = "kwok.x-k8s.io/node"
#: What a pod's spec needs to land there.
NODE_SELECTOR = {LABEL: "true"}
TOLERATION = {"key": TAINT, "operator": "Equal", "value": "fake", "effect": "NoSchedule"}

_CRASH_STATUS = """{{ $now := Now }}
conditions:
- {lastTransitionTime: {{ $now | Quote }}, status: "True", type: Initialized}
- {lastTransitionTime: {{ $now | Quote }}, status: "False", type: Ready, reason: ContainersNotReady}
- {lastTransitionTime: {{ $now | Quote }}, status: "False", type: ContainersReady, reason: ContainersNotReady}
containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  name: {{ .name | Quote }}
  ready: false
  started: false
  restartCount: 3
  state:
    waiting: {reason: CrashLoopBackOff, message: back-off 40s restarting failed container}
  lastState:
    terminated: {exitCode: 1, reason: Error, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}
{{ end }}
phase: Running
startTime: {{ $now | Quote }}
"""


def crash_stage(digests: Iterable[str]) -> dict[str, Any]:
    """A KWOK stage: a pending pod whose first image ends in one of these digests (sha256:…) goes into a crash loop.

    Its weight is what makes it win over the stage that makes every pending pod ready, which has none.
    """
    wanted = sorted(set(digests))
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": "pod-crash-loop"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {
                "matchExpressions": [
                    {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                    {"key": ".status.phase", "operator": "In", "values": ["Pending"]},
                    {"key": '.spec.containers[0].image | split("@") | last', "operator": "In", "values": wanted},
                ]
            },
            "weight": 1000,
            "next": {"statusTemplate": _CRASH_STATUS},
        },
    }


def write_stages(shipped: Path, crashing: Iterable[str] = ()) -> None:
    """The stages that KWOK ships (its folder `kustomize/stage`), and ours when there are digests for it."""
    texts = [
        path.read_text()
        for folder in ("node/fast", "node/heartbeat-with-lease", "pod/fast")
        for path in sorted((shipped / folder).glob("*.yaml"))
        if path.name != "kustomization.yaml"
    ]
    digests = list(crashing)
    if digests:
        texts.append(yaml.safe_dump(crash_stage(digests), sort_keys=False))
    STAGES.write_text("\n---\n".join(texts))


def node(name: str) -> dict[str, Any]:
    """A fake node's manifest."""
    room = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {TAINT: "fake"}, "labels": {LABEL: "true", "type": "kwok"}},
        "spec": {"taints": [{"key": TAINT, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room},
    }


def add_nodes(count: int) -> list[str]:
    """Makes sure of fake nodes fake-0 … fake-<count - 1>, ready; their names."""
    names = [f"fake-{number}" for number in range(count)]
    cluster.apply([node(name) for name in names])
    for name in names:
        process.wait_until(f"node {name} ready", lambda name=name: _ready(name), 30, ("kwok",))  # type: ignore[misc]
    return names


def _ready(name: str) -> bool:
    return cluster.condition(cluster.get(f"/api/v1/nodes/{name}"), "Ready")


def release_nodes() -> None:
    """Gives up the leases of a KWOK that was stopped: its successor has another name and would wait 40 s for them."""
    nodes = cluster.get(f"/api/v1/nodes?labelSelector={LABEL}%3Dtrue") or {}
    if names := [found["metadata"]["name"] for found in nodes.get("items", [])]:
        cluster.kubectl("delete", "leases", "--namespace=kube-node-lease", "--ignore-not-found", *names)


def remove_nodes() -> None:
    """Takes every fake node away."""
    cluster.kubectl("delete", "nodes", f"--selector={LABEL}=true", "--wait=false")

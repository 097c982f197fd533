# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects for the unit tests: an agent as the inventory would give it, and what an API server keeps of it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import manifests
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import Facts, Record, of_deployment, of_new
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import (
    Stamps,
    rendered,
    sealed,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.releases import manifest as record_of
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.releases import new as new_release
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent, from_params
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import AGENT
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import (
    WAITING,
    Exit,
    Memory,
    Observed,
    Verdict,
    Wanted,
    judge,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session

Object = dict[str, Any]
DIGEST = "sha256:" + "a1" * 32
OTHER_DIGEST = "sha256:" + "b2" * 32
REPOSITORY = "registry.digitalocean.com/digitalsys/openclaw-agent"
IMAGE = f"{REPOSITORY}:latest@{DIGEST}"
UID = "d0d0d0d0-0000-4000-8000-000000000001"


def params(**options: Any) -> dict[str, Any]:
    """Module parameters of agent roberval: the spec's defaults, and what is given here."""
    defaults = {name: copy.deepcopy(option.get("default")) for name, option in AGENT.items()}
    needed = {"name": "roberval", "image": IMAGE, "vault_server": "https://vault.example.com:8200"}
    return {**defaults, **needed, **options}


def agent(**options: Any) -> Agent:
    return from_params(params(**options))


def deployment(of: Agent, stamps: Stamps, facts: Facts | None = None) -> Object:
    """facts: None for those of a new agent."""
    return manifests.deployment(of, stamps, facts or of_new(of.name))


def record(deployment: Object, **known: Any) -> Record:
    """known: claim_uid, volume_name, identity, proved."""
    return Record(of_deployment(deployment), **known)


def served(manifest: Object, **metadata: Any) -> Object:
    """As an API server gives it back: with the book-keeping and the defaults that it adds by itself."""
    live = copy.deepcopy(manifest)
    live["metadata"].update(
        {"uid": UID, "resourceVersion": "812", "generation": 1, "creationTimestamp": "2026-11-01T10:00:00Z"}
    )
    live["metadata"].update(metadata)
    if live["kind"] == "Deployment":
        live["metadata"].setdefault("annotations", {})["deployment.kubernetes.io/revision"] = "3"
        pod = live["spec"]["template"]["spec"]
        pod.update(
            {
                "dnsPolicy": "ClusterFirst",
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "serviceAccount": pod["serviceAccountName"],
            }
        )
        for container in pod["containers"] + pod["initContainers"]:
            container.update({"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"})
            container.setdefault("resources", {})
        live["status"] = available_status(1)
    if live["kind"] == "PersistentVolumeClaim":
        live["spec"].update({"volumeMode": "Filesystem", "volumeName": "pvc-1"})
        live["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection"]
    return live


def available_status(generation: int) -> Object:
    progressing = {
        "type": "Progressing",
        "status": "True",
        "reason": "NewReplicaSetAvailable",
        "message": 'ReplicaSet "roberval-1" has successfully progressed.',
    }
    return {
        "observedGeneration": generation,
        "replicas": 1,
        "updatedReplicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "conditions": [progressing],
    }


def live_of(of: Agent, stamps: Stamps, *, recorded: bool = True) -> Live:
    """An agent that was rolled out as it is, with nothing left to do."""
    objects = {manifest["kind"]: served(manifest) for manifest in rendered(of, stamps)}
    if recorded:
        wanted = sealed(deployment(of, stamps))
        objects["ConfigMap"] = served(
            record_of(of, [new_release([], wanted, stamps.secret_version, "alice")], record(wanted))
        )
    return Live(of.name, objects)


# What a wait observes: a Deployment of ours, its ReplicaSets and pods.

TEMPLATE: Object = {
    "metadata": {
        "creationTimestamp": None,
        "labels": {"app.kubernetes.io/instance": "roberval"},
        "annotations": {"agents.digitalsys/secret-version": "4"},
    },
    "spec": {
        "containers": [
            {
                "name": "openclaw",
                "image": f"{REPOSITORY}@{DIGEST}",
                "resources": {"limits": {"memory": "2Gi"}},
                "startupProbe": {"periodSeconds": 3, "failureThreshold": 100},
            }
        ],
        "terminationGracePeriodSeconds": 330,
    },
}
WANTED = Wanted(UID, TEMPLATE)


def template(**annotations: str) -> Object:
    other = copy.deepcopy(TEMPLATE)
    other["metadata"]["annotations"].update(annotations)
    return other


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


PROGRESSING = condition("Progressing", "True", "ReplicaSetUpdated", 'ReplicaSet "roberval-new" is progressing.')
AVAILABLE = condition(
    "Progressing", "True", "NewReplicaSetAvailable", 'ReplicaSet "roberval-new" has successfully progressed.'
)


def running_deployment(
    *conditions: Object, updated: int = 0, replicas: int = 0, available: int = 0, **spec: Any
) -> Object:
    """Generation 2, seen by the controller."""
    counts = {"updatedReplicas": updated, "replicas": replicas, "availableReplicas": available}
    return {
        "metadata": {"name": "roberval", "uid": UID, "generation": 2, "managedFields": []},
        "spec": {"replicas": 1, "minReadySeconds": 10, "template": copy.deepcopy(TEMPLATE), **spec},
        "status": {
            "observedGeneration": 2,
            "conditions": list(conditions),
            **{name: value for name, value in counts.items() if value},
        },
    }


def replica_set(name: str = "roberval-new", of: Object | None = None, owner: str = UID) -> Object:
    with_hash = copy.deepcopy(of or TEMPLATE)
    with_hash["metadata"]["labels"]["pod-template-hash"] = "5d4c"
    return {
        "metadata": {
            "name": name,
            "uid": f"uid of {name}",
            "ownerReferences": [{"kind": "Deployment", "uid": owner, "controller": True}],
        },
        "spec": {"template": with_hash},
    }


def pod(
    *conditions: Object,
    owner: str = "roberval-new",
    name: str = "roberval-new-x",
    state: Object | None = None,
    restarts: int = 0,
    last: Object | None = None,
    init: Object | None = None,
    phase: str = "Pending",
    **metadata: Any,
) -> Object:
    """state, last, init: states of the gateway's container, its last one, and the init container's."""
    status: Object = {"phase": phase, "conditions": list(conditions)}
    if state is not None:
        status["containerStatuses"] = [
            {"name": "openclaw", "state": state, "lastState": last or {}, "restartCount": restarts}
        ]
    if init is not None:
        status["initContainerStatuses"] = [{"name": "seed", "state": init, "lastState": {}, "restartCount": 0}]
    spec = {"nodeName": "node-1", **copy.deepcopy(TEMPLATE["spec"])}
    meta = {
        "name": name,
        "uid": f"uid of {name}",
        "ownerReferences": [{"kind": "ReplicaSet", "uid": f"uid of {owner}", "controller": True}],
        **metadata,
    }
    return {"metadata": meta, "spec": spec, "status": status}


RUNNING: Object = {"running": {"startedAt": "2026-11-01T10:00:00Z"}}
SCHEDULED = condition("PodScheduled", "True")
READY = condition("Ready", "True")


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def terminated(code: int, reason: str = "Error") -> Object:
    return {"terminated": {"exitCode": code, "reason": reason}}


def observed(
    live: Object | None,
    *pods: Object,
    now: float = 1000.0,
    sets: list[Object] | None = None,
    exits: tuple[Any, ...] = (),
) -> Observed:
    return Observed(now, live, [replica_set()] if sets is None else sets, list(pods), exits)


# Looks at a rollout one after another.

NAME = "roberval-new-x"
GRACE = 60
OLD_SET = replica_set("roberval-old", template(x="y"))


def starting(*more: Any) -> Any:
    return running_deployment(PROGRESSING, *more, updated=1, replicas=1)


def last_of(steps: Iterable[Any], live: Any = None, memory: Memory | None = None) -> Verdict:
    """The verdict on the last of several looks. A step: (seconds, pods, ends of containers)."""
    remembered, found = memory or Memory(), Verdict(WAITING, "nothing was looked at")
    for now, pods, exits in steps:
        seen = observed(live or starting(), *pods, now=now, sets=[OLD_SET, replica_set()], exits=tuple(exits))
        found, remembered = judge(WANTED, seen, remembered, GRACE)
    return found


def at_once(new: Any, *exits: Exit) -> Verdict:
    return last_of([(0.0, [new], exits)])


def ended(code: int, log: str = "", number: int = 0, reason: str = "Error") -> Exit:
    return Exit(NAME, number, code, reason, log)


def session(kube: Any = None, *, in_words: bool = False, **params: Any) -> Session[Agent]:
    """A run that has not done anything yet. kube: what stands in for the API server."""
    context = Context({}, "/nowhere", diff=True)
    server: Any = kube or SimpleNamespace(retries=0)
    writer = Writer(server)
    changes = [] if in_words else writer.changes
    return Session(agent(), {"force_unlock": False, **params}, context, server, "uid", writer, "alice", changes)

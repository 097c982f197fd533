# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controllers and the kubelet say of ReplicaSets and pods, and who owns them."""

from __future__ import annotations

import re

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import condition
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import (
    CONTAINER,
    FIELD_MANAGER,
    INIT_CONTAINER,
)

#: Exit code of the init container where the volume is not the one that holds the agent's memory.
WRONG_VOLUME = 66
#: What a container waits for that the kubelet starts again after ever longer pauses.
CRASH_LOOP = "CrashLoopBackOff"
#: As the kernel makes them.
_IDENTITY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def template_of(replica_set: Object) -> Object:
    """Its pod template without the hash label that the controller adds: comparable with a Deployment's."""
    template = replica_set["spec"]["template"]
    labels = {
        key: value for key, value in (template["metadata"].get("labels") or {}).items() if key != "pod-template-hash"
    }
    return {**template, "metadata": {**template["metadata"], "labels": labels}}


def bare(template: Object) -> Object:
    meta = {key: value for key, value in template["metadata"].items() if value}
    return {**template, "metadata": {key: value for key, value in meta.items() if key != "creationTimestamp"}}


def last_manager(live: Object) -> str:
    entries = [entry for entry in live["metadata"].get("managedFields") or [] if entry.get("subresource") != "status"]
    # Times are whole seconds: of several managers in one, it was not us.
    newest: Object = max(
        entries, key=lambda one: (one.get("time") or "", FIELD_MANAGER not in one.get("manager", "")), default={}
    )
    return str(newest.get("manager") or "someone else")


def controller_of(item: Object) -> Object:
    """Who made it and looks after it, {} for nobody: a pod's ReplicaSet or Job, a ReplicaSet's Deployment."""
    return next((one for one in item["metadata"].get("ownerReferences") or [] if one.get("controller")), {})


def is_owned_by(item: Object, uid: str) -> bool:
    return bool(uid) and controller_of(item).get("uid") == uid


def is_ended(pod: Object) -> bool:
    """Evicted, shut down or done: history, which runs nothing and holds nothing."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def claims_of(spec: Object) -> set[str]:
    """Names of the volume claims that a pod with this spec mounts."""
    volumes = spec.get("volumes") or []
    return {one["persistentVolumeClaim"]["claimName"] for one in volumes if one.get("persistentVolumeClaim")}


def grace_of(pod: Object) -> int:
    """Seconds that it has for its end, once it is told to end."""
    told = pod["metadata"].get("deletionGracePeriodSeconds")
    return int(told or pod["spec"].get("terminationGracePeriodSeconds") or 30)


def container_statuses(pod: Object, *, init: bool = False) -> list[Object]:
    return (pod.get("status") or {}).get("initContainerStatuses" if init else "containerStatuses") or []


def gateway_of(spec: Object) -> Object:
    """The gateway's container in a pod's spec: the one called so, else the first. {} where there is none."""
    containers: list[Object] = spec.get("containers") or []
    return next((one for one in containers if one.get("name") == CONTAINER), containers[0] if containers else {})


def variables_of(deployment: Object) -> set[str]:
    """Names that the gateway's container sets itself; they win over what a Secret brings."""
    return {one["name"] for one in gateway_of(deployment["spec"]["template"]["spec"]).get("env") or []}


def gateway_status(pod: Object) -> Object:
    name = gateway_of(pod["spec"]).get("name")
    return next((one for one in container_statuses(pod) if one["name"] == name), {})


def container_of(pod: Object) -> str:
    """The id of the gateway's container; '' where there is none yet. Another one has started anew."""
    return str(gateway_status(pod).get("containerID") or "")


def identity_of(pod: Object) -> str:
    """What its init container said that the volume is; '' where it said nothing."""
    status = next((one for one in container_statuses(pod, init=True) if one["name"] == INIT_CONTAINER), {})
    end = (status.get("state") or {}).get("terminated") or {}
    # A word of the runtime's own comes before the container's.
    told = str(end.get("message") or "").rpartition(": ")[2]
    return told if not end.get("exitCode") and _IDENTITY.fullmatch(told) else ""


def refused_volume(pod: Object) -> str | None:
    """Why its init container lets no gateway start; None where it does, or has not looked yet."""
    status = next((one for one in container_statuses(pod, init=True) if one["name"] == INIT_CONTAINER), {})
    end = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
    told = end.get("message") or "it says nothing of itself"
    return f"the volume does not hold the agent's memory: {told}" if end.get("exitCode") == WRONG_VOLUME else None


def ended(status: Object) -> int:
    """How often the container ended: its restarts, and the end that it has not been restarted from."""
    state = status.get("state") or {}
    waiting = (state.get("waiting") or {}).get("reason", "")
    return int(status.get("restartCount") or 0) + (1 if "terminated" in state or waiting == CRASH_LOOP else 0)


def lacks_its_volumes(pod: Object) -> bool:
    """Nothing of it has begun. The kubelet makes the sandbox after the volumes; a slow pull comes after both."""
    if condition(pod, "PodReadyToStartContainers").get("status") == "True":
        return False
    states = [status.get("state") or {} for status in container_statuses(pod, init=True) + container_statuses(pod)]
    # With an init container the kubelet says PodInitializing of all of them, from the beginning.
    return all(
        (state.get("waiting") or {}).get("reason") in ("ContainerCreating", "PodInitializing") for state in states
    )


def waits_for(pod: Object) -> str:
    """Why its first container that does not run yet waits; '' where that is only its turn."""
    for status in container_statuses(pod, init=True) + container_statuses(pod):
        reason = ((status.get("state") or {}).get("waiting") or {}).get("reason", "")
        if reason and reason != "PodInitializing":
            return str(reason)
    return ""


def waiting_message(pod: Object) -> str:
    for status in container_statuses(pod, init=True) + container_statuses(pod):
        message = ((status.get("state") or {}).get("waiting") or {}).get("message", "")
        if message:
            return str(message)
    return ""

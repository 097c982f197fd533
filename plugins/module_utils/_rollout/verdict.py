# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Done, failed, or not yet: a pure function of what was observed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import (
    MOUNT,
    REPLICA_FAILURE,
    TERMINATION_SLACK,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import PAUSED, condition
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import REPLICA_SET
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import (
    Object,
    bare,
    container_statuses,
    controller_of,
    ended,
    gateway_of,
    gateway_status,
    grace_of,
    is_ended,
    is_owned_by,
    lacks_its_volumes,
    last_manager,
    refused_volume,
    template_of,
    waiting_message,
    waits_for,
)

DONE = "done"
FAILED = "failed"
WAITING = "waiting"
BAD_CONFIGURATION = 78
#: Cause: the init container found a volume without the agent's memory.
MEMORY = "memory"
_CONFIG_ERRORS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
#: The kubelet gives a read of a Secret one second, and reads again: the API server restarted, or slows it down.
_NOT_READ_YET = ("failed to sync secret cache", "failed to sync configmap cache")
_IMAGE_ERRORS_FINAL = ("InvalidImageName", "ErrImageNeverPull")
_PULL_ERRORS = ("ErrImagePull", "ImagePullBackOff")
#: As openclaw 2026.9 says it: gateway already running (pid 7); lock timeout after 5000ms.
_ANOTHER_PROCESS = "; lock timeout after "
_RESTART_ASKED = "Restart OpenClaw"


@dataclass(frozen=True)
class Wanted:
    """What our write returned."""

    uid: str
    template: Object
    replicas: int = 1


@dataclass(frozen=True)
class Exit:
    """One end of the gateway's container. log: its last lines, scrubbed by nobody yet."""

    pod: str
    number: int
    code: int
    reason: str
    log: str


@dataclass(frozen=True)
class Observed:
    """Snapshots from the watches; now is the local monotonic clock."""

    now: float
    deployment: Object | None
    replica_sets: list[Object]
    pods: list[Object]
    exits: tuple[Exit, ...] = ()


@dataclass(frozen=True)
class Memory:
    """since: when something began, by a name: 'unschedulable <pod uid>' -> monotonic seconds. pulls: the last reason
    and the number of pulls that failed, by pod uid. before: ends of containers that ran when the wait began."""

    since: dict[str, float] = field(default_factory=dict)
    pulls: dict[str, tuple[str, int]] = field(default_factory=dict)
    before: dict[str, int] | None = None


@dataclass(frozen=True)
class Verdict:
    """cause: image, configuration, memory, schedule, volume, crash, quota, changed, paused, timeout; '' unless failed.
    draining: the former pod is on its way out, which has a bound of its own."""

    state: str
    words: str
    cause: str = ""
    pod: str = ""
    draining: bool = False


def new_replica_set(observed: Observed, wanted: Wanted) -> Object | None:
    """Owned by our Deployment, with exactly our template."""
    for one in observed.replica_sets:
        if is_owned_by(one, wanted.uid) and bare(template_of(one)) == bare(wanted.template):
            return one
    return None


def pods_of(observed: Observed, wanted: Wanted, replica_set: Object | None) -> tuple[list[Object], list[Object]]:
    """(pods of the new template, the Deployment's other pods), those that have ended left out: they are history. By
    their owner: a pod that carries the agent's labels and is somebody else's is none of these."""
    known = {one["metadata"]["uid"]: one for one in observed.replica_sets}
    new = []
    old = []
    for pod in observed.pods:
        owner = controller_of(pod)
        if owner.get("kind") != REPLICA_SET.name or is_ended(pod):
            continue
        uid = owner["uid"]
        if replica_set and uid == replica_set["metadata"]["uid"]:
            new.append(pod)
        elif uid not in known or is_owned_by(known[uid], wanted.uid):
            # A ReplicaSet that is not there any more was one of those whose pods go with it.
            old.append(pod)
    return new, old


def judge(wanted: Wanted, observed: Observed, memory: Memory, schedule_grace: float) -> tuple[Verdict, Memory]:
    """The verdict, and what to remember for the next one."""
    live = observed.deployment
    if live is None or live["metadata"]["uid"] != wanted.uid:
        return Verdict(FAILED, "the Deployment was replaced or deleted by someone else", "changed"), memory
    if live["spec"].get("replicas") != wanted.replicas or bare(live["spec"]["template"]) != bare(wanted.template):
        return Verdict(FAILED, f"the Deployment was changed meanwhile by {last_manager(live)}", "changed"), memory
    if live["spec"].get("paused"):
        return Verdict(FAILED, f"{PAUSED}: kubectl rollout resume", "paused"), memory
    if int((live.get("status") or {}).get("observedGeneration") or 0) < int(live["metadata"].get("generation") or 0):
        return Verdict(WAITING, "the controller has not seen the change yet"), memory
    replica_set = new_replica_set(observed, wanted)
    new, old = pods_of(observed, wanted, replica_set)
    memory = _remember(memory, observed, live, new, old)
    progress = _progress(wanted, live, replica_set, new, old)
    if progress.state == DONE:
        return progress, memory
    failure = _quota(live, memory, observed.now) or _deadline(live, replica_set)
    for pod in new:
        failure = _pod_failure(pod, observed, memory, schedule_grace) or failure
    failure = failure or _old_pod_failure(old, memory, observed.now)
    if failure:
        return failure, memory
    return progress, memory


def _remember(memory: Memory, observed: Observed, live: Object, new: list[Object], old: list[Object]) -> Memory:
    """What is still so keeps its first moment; what is over is forgotten."""
    names = {f"terminating {pod['metadata']['uid']}" for pod in old if pod["metadata"].get("deletionTimestamp")}
    if condition(live, "ReplicaFailure").get("status") == "True":
        names.add("replica failure")
    pulls = dict(memory.pulls)
    for pod in new:
        uid = pod["metadata"]["uid"]
        if condition(pod, "PodScheduled").get("status") == "False":
            names.add(f"unschedulable {uid}")
        elif lacks_its_volumes(pod):
            names.add(f"creating {uid}")
        reason = waits_for(pod)
        last, count = pulls.get(uid, ("", 0))
        if reason in _PULL_ERRORS and reason != last:
            # The kubelet alternates: a pull failed, it backs off, the next pull failed, …
            pulls[uid] = (reason, count + (1 if reason == "ErrImagePull" or not count else 0))
    before = memory.before
    if before is None:
        before = {
            pod["metadata"]["uid"]: ended(gateway_status(pod))
            for pod in new
            if "running" in (gateway_status(pod).get("state") or {})
        }
    return replace(
        memory, before=before, since={name: memory.since.get(name, observed.now) for name in names}, pulls=pulls
    )


def _quota(live: Object, memory: Memory, now: float) -> Verdict | None:
    since = memory.since.get("replica failure")
    if since is None or now - since < REPLICA_FAILURE:
        return None
    return Verdict(FAILED, f"no pod can be created: {condition(live, 'ReplicaFailure').get('message', '')}", "quota")


def _deadline(live: Object, replica_set: Object | None) -> Verdict | None:
    """A deadline that speaks of another ReplicaSet is left over from the release before."""
    progressing = condition(live, "Progressing")
    name = replica_set["metadata"]["name"] if replica_set else ""
    if progressing.get("status") == "False" and name and f'"{name}"' in progressing.get("message", ""):
        return Verdict(FAILED, progressing["message"], "timeout")
    return None


def _old_pod_failure(old: list[Object], memory: Memory, now: float) -> Verdict | None:
    for pod in old:
        since = memory.since.get(f"terminating {pod['metadata']['uid']}")
        if since is not None and now - since > grace_of(pod) + TERMINATION_SLACK:
            finalizers = ", ".join(pod["metadata"].get("finalizers") or []) or "none"
            words = (
                f"the old pod {pod['metadata']['name']} does not end (node {pod['spec'].get('nodeName')}, "
                f"finalizers: {finalizers})"
            )
            return Verdict(FAILED, words, "volume", pod["metadata"]["name"])
    return None


def _pod_failure(pod: Object, observed: Observed, memory: Memory, schedule_grace: float) -> Verdict | None:
    """First cause in the order image, configuration, schedule, volume, crash."""
    name = pod["metadata"]["name"]
    uid = pod["metadata"]["uid"]
    reason = waits_for(pod)
    message = waiting_message(pod)
    if reason in _IMAGE_ERRORS_FINAL:
        return Verdict(FAILED, f"{reason}: {message}", "image", name)
    if reason in _PULL_ERRORS and ("not found" in message or memory.pulls.get(uid, ("", 0))[1] >= 2):
        return Verdict(FAILED, f"the image cannot be pulled: {message}", "image", name)
    if reason in _CONFIG_ERRORS and not message.startswith(_NOT_READ_YET):
        return Verdict(FAILED, f"{reason}: {message}", "configuration", name)
    if (told := refused_volume(pod)) is not None:
        return Verdict(FAILED, told, MEMORY, name)
    for status in container_statuses(pod, init=True):
        end = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
        if end.get("exitCode"):
            return Verdict(
                FAILED, f"init container {status['name']} ended with exit code {end['exitCode']}", "configuration", name
            )
    since = memory.since.get(f"unschedulable {uid}")
    if since is not None and observed.now - since >= schedule_grace:
        return Verdict(
            FAILED, f"no node takes the pod: {condition(pod, 'PodScheduled').get('message', '')}", "schedule", name
        )
    since = memory.since.get(f"creating {uid}")
    if since is not None and observed.now - since > MOUNT:
        return Verdict(FAILED, f"the pod's volumes are not there after {MOUNT} s", "volume", name)
    return _crash(pod, observed.exits, (memory.before or {}).get(uid, 0))


def _crash(pod: Object, exits: tuple[Exit, ...], before: int) -> Verdict | None:
    name = pod["metadata"]["name"]
    status = gateway_status(pod)
    known = [one for one in exits if one.pod == name and one.number >= before]
    for one in known:
        if one.reason == "OOMKilled":
            limit = ((gateway_of(pod["spec"]).get("resources") or {}).get("limits") or {}).get("memory", "none")
            return Verdict(FAILED, f"the gateway ran out of memory (OOMKilled, limit {limit})", "crash", name)
        if one.code == BAD_CONFIGURATION and _ANOTHER_PROCESS not in one.log:
            return Verdict(FAILED, "the gateway refuses its configuration or state (exit 78)", "configuration", name)
    forgiven = 1 if any(one.code == 1 and _RESTART_ASKED in one.log for one in known) else 0
    # An end that was seen counts even after its container was replaced; the third unclean boot would come up without
    # channels and with green health.
    count = max(ended(status) - before, len(known)) - forgiven
    if count >= 2:
        last = known[-1] if known else None
        words = (
            f"exit code {last.code}, {last.reason}"
            if last
            else ((status.get("state") or {}).get("waiting") or {}).get("reason", "")
        )
        cause = "configuration" if last and last.code == BAD_CONFIGURATION else "crash"
        return Verdict(FAILED, f"the gateway ended {count} times ({words})", cause, name)
    return None


def _progress(
    wanted: Wanted, live: Object, replica_set: Object | None, new: list[Object], old: list[Object]
) -> Verdict:
    status = live.get("status") or {}
    count = wanted.replicas
    if old:
        draining = any(pod["metadata"].get("deletionTimestamp") for pod in old)
        return Verdict(WAITING, f"the old pod {old[0]['metadata']['name']} is ending", draining=draining)
    if not count:
        if new:
            return Verdict(WAITING, f"pod {new[0]['metadata']['name']} is ending", draining=True)
        return Verdict(DONE, "no pod runs: the agent is suspended")
    if replica_set is None or not new:
        return Verdict(WAITING, "waiting for the new pod")
    counted = [int(status.get(name) or 0) for name in ("updatedReplicas", "replicas", "availableReplicas")]
    available = condition(live, "Progressing").get("reason") == "NewReplicaSetAvailable"
    # The two watches are independent: what is read of the pod afterwards must be of one that is ready in its own words.
    is_seen = all(condition(pod, "Ready").get("status") == "True" for pod in new)
    if counted == [count] * 3 and available and len(new) == count and is_seen:
        return Verdict(DONE, f"pod {new[0]['metadata']['name']} is available", pod=new[0]["metadata"]["name"])
    pod = new[0]
    if condition(pod, "Ready").get("status") == "True":
        return Verdict(WAITING, f"ready; watching it for {live['spec'].get('minReadySeconds', 0)} s")
    if condition(pod, "PodScheduled").get("status") == "False":
        return Verdict(WAITING, f"no node yet: {condition(pod, 'PodScheduled').get('message', '')}")
    if gateway_status(pod).get("state", {}).get("running"):
        return Verdict(WAITING, "the gateway is starting")
    return Verdict(WAITING, f"the pod is being made ({waits_for(pod) or 'initialising'})")

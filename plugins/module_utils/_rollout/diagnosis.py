# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed rollout says: the first cause, the pod's own last words, and the evidence as data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import of_deployment
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._core.scrub import Scrubber
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CLAIM, EVENT
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import (
    container_statuses,
    controller_of,
    gateway_of,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent, Home
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.log import excerpt, last_words
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import Observed
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.wait import Waited

_EVENTS = 12
#: Causes that going back would not mend: nothing is undone then.
SOMEBODY_ELSES = ("changed", "paused")
#: Causes that only a gateway has that runs: it does not answer as it should, or it has another token than Vault.
VERIFY = "verify"
TOKEN = "token"
#: Another image by a policy of the cluster.
SWAPPED = "swapped"
#: Causes of a failure after which the pod runs on.
RUNS = (VERIFY, TOKEN, SWAPPED)
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
#: What the words of registries and of containerd mean for whoever has to mend it; the first that fits.
_PULL_MEANS = (
    (("unauthorized", "forbidden", "denied", "authorization failed"), "not allowed: see agent_image_pull_secrets"),
    (("not found",), "the registry does not have it"),
    (("timeout", "deadline exceeded", "no such host", "connection refused"), "the node does not reach the registry"),
)  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """cause: one word (see Verdict). words: one line. log: the pod's last lines, scrubbed. evidence: data, scrubbed."""

    cause: str
    words: str
    log: list[str] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """The words as one line, whatever a probe or a registry has put into them."""
        return " ".join(self.words.split())[:400]

    def lines(self) -> list[str]:
        return [self.line(), *excerpt(self.log)]


def _events(kube: Kube, agent: Home, involved: set[str]) -> list[str]:
    """The latest events of pod, ReplicaSet, claim and Deployment, without repeats."""
    try:
        items, _version = kube.list_objects(EVENT, agent.namespace)
    except AgentError as error:
        return [f"(events could not be read: {error.kind.value})"]
    of_ours = [item for item in items if (item.get("involvedObject") or {}).get("name") in involved]
    of_ours.sort(
        key=lambda item: item.get("lastTimestamp") or item.get("eventTime") or item["metadata"]["creationTimestamp"]
    )
    shown: dict[str, None] = {}
    for item in of_ours:
        about = item["involvedObject"]
        line = f"{about.get('kind')} {about.get('name')}: {item.get('reason')}: {item.get('message')}"
        shown.pop(line, None)
        shown[line] = None
    return list(shown)[-_EVENTS:]


def _containers(pod: Object) -> list[Object]:
    return [
        {
            "name": status["name"],
            "restarts": status.get("restartCount", 0),
            "state": status.get("state"),
            "last_state": status.get("lastState"),
        }
        for status in container_statuses(pod, init=True) + container_statuses(pod)
    ]


def _volume_words(events: list[str]) -> str:
    return next((line for line in reversed(events) if "FailedAttachVolume" in line or "FailedMount" in line), "")


def _pull_words(words: str) -> str:
    """The kubelet's message names the image up to four times before it says why: the end first, digests short."""
    image = re.search(r'image "([^"]+)"', words)
    why = words.rpartition('": ')[2]
    means = next((said for marks, said in _PULL_MEANS if any(mark in why.lower() for mark in marks)), "")
    short = f"image {image.group(1)} cannot be pulled: {why}" if image else words
    return _DIGEST.sub(r"\1", f"{short} ({means})" if means else short)


def _trouble(events: list[str]) -> str:
    """The latest event of a pod that tells of something wrong, without the pod's name."""
    wrong = [line for line in events if any(f": {reason}" in line for reason in ("Unhealthy", "Failed", "BackOff"))]
    return wrong[-1].partition(": ")[2] if wrong else ""


def _claim_words(name: str, claim: Object | None, events: list[str]) -> str:
    """Why the claim has no volume, in the provisioner's words: the scheduler only says that it is unbound."""
    if claim is None:
        return f"the claim {name} is not there"
    phase = (claim.get("status") or {}).get("phase")
    of_class = claim["spec"].get("storageClassName")
    said = next((line for line in reversed(events) if line.startswith(f"PersistentVolumeClaim {name}: ")), "")
    return f"the claim {name} is {phase}, class {of_class}: {said.partition(': ')[2] or 'no event says why'}"


def _startup_seconds(agent: Home, pod: Object) -> int:
    """As the inventory says it; a rotation knows only where its agent lives, so there it is what the pod was given."""
    if isinstance(agent, Agent):
        return agent.startup_seconds
    probe = gateway_of(pod["spec"]).get("startupProbe") or {}
    return int(probe.get("periodSeconds") or 10) * int(probe.get("failureThreshold") or 3)


def _probe_words(agent: Home, pod: Object, events: list[str]) -> str:
    """Of one pod's events; '' unless the kubelet ended the container: its exit code alone looks like a crash."""
    if any("failed startup probe" in line for line in events):
        said = next((line for line in reversed(events) if "Startup probe failed" in line), "").partition(": ")[2]
        return f"the gateway did not start within {_startup_seconds(agent, pod)} s (agent_startup_seconds): {said}"
    if any("failed liveness probe" in line for line in events):
        said = next((line for line in reversed(events) if "Liveness probe failed" in line), "").partition(": ")[2]
        return f"the gateway stopped answering and was ended by the kubelet: {said}"
    return ""


def _may_tell(pod: Object, observed: Observed) -> bool:
    """By its owner: a pod of somebody else may carry the agent's labels."""
    sets = {one["metadata"]["uid"] for one in observed.replica_sets}
    return controller_of(pod).get("uid") in sets and not pod["metadata"].get("deletionTimestamp")


def diagnose(agent: Home, kube: Kube, waited: Waited, context: Context) -> Diagnosis:
    """Never raises: a diagnosis that fails must not hide the failure it was to explain."""
    verdict = waited.verdict
    observed = waited.observed
    try:
        pod = next((one for one in observed.pods if one["metadata"]["name"] == verdict.pod), None)
        pod = pod or next((one for one in observed.pods if _may_tell(one, observed)), None)
        mounted = of_deployment(observed.deployment).mount.claim if observed.deployment else ""
        claim_name = mounted or names.claim(agent.name)
        involved = {
            agent.name,
            claim_name,
            *(one["metadata"]["name"] for one in observed.replica_sets + observed.pods),
        }
        events = _events(kube, agent, involved)
        claim = kube.get(CLAIM, agent.namespace, claim_name)
        log = (
            last_words(kube, agent, pod, observed.exits)
            if pod and verdict.cause in ("configuration", "crash", "timeout", "probe", "image")
            else []
        )
        words = verdict.words
        cause = verdict.cause
        if cause == "image":
            words = _pull_words(words)
        if cause in ("volume", "timeout") and _volume_words(events):
            words = f"{words}: {_volume_words(events)}"
            cause = "volume"
        if cause == "schedule" and "persistentvolumeclaim" in words.lower():
            words = f"no volume for the pod: {_claim_words(claim_name, claim, events)}"
            cause = "volume"
        in_memory = all(one.reason != "OOMKilled" for one in observed.exits)
        of_pod = [line for line in events if pod and line.startswith(f"Pod {pod['metadata']['name']}: ")]
        if pod and cause == "crash" and in_memory and _probe_words(agent, pod, of_pod):
            words = _probe_words(agent, pod, of_pod)
            cause = "probe"
        if cause == "timeout" and (trouble := _trouble(of_pod)):
            words = f"{words}: {trouble}"
        evidence: Object = {
            "pod": pod["metadata"]["name"] if pod else None,
            "node": pod["spec"].get("nodeName") if pod else None,
            "containers": _containers(pod) if pod else [],
            "log": log,
            "events": events,
            "claim_phase": ((claim or {}).get("status") or {}).get("phase"),
            "conditions": ((observed.deployment or {}).get("status") or {}).get("conditions") or [],
        }
    except (AgentError, KeyError, TypeError, AttributeError) as error:
        return Diagnosis(verdict.cause, verdict.words, [], {"diagnosis": f"incomplete: {type(error).__name__}"})
    scrub = Scrubber(context.secrets)
    return Diagnosis(cause, scrub.text(words), scrub.data(log), scrub.data(evidence))

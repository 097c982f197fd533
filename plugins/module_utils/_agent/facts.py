# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of the cluster: what stays as it is once an agent exists, whatever the inventory, a recorded release or a newer
version of this collection says.

A claim of another name, or a volume that is mounted elsewhere, is an agent without its memory. Under another container
name an old `kubectl apply` adds a second gateway. A selector cannot be changed. So these are read from the live
Deployment, or from what was recorded where that is gone, and put into whatever is about to be applied: rendered, or
taken up again on a way back.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import gateway_of

#: Where OpenClaw keeps all that it knows.
STATE_FOLDER = "/root/.openclaw"
#: The pod's volume with it, in what this collection makes.
STATE = "state"
_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Mount:
    """Which claim holds the memory, and where the gateway sees it."""

    claim: str
    path: str
    sub_path: str = ""

    def shown(self) -> str:
        if not self.claim:
            return "no claim"
        return f"claim {self.claim} at {self.path}" + (f" (subPath {self.sub_path})" if self.sub_path else "")

    def word(self) -> str:
        """As accept_volume takes it (see of_word)."""
        return ":".join(filter(None, (self.claim, self.path, self.sub_path)))


NOWHERE = Mount("", "")


def of_word(text: str) -> Mount | None:
    """CLAIM, CLAIM:PATH or CLAIM:PATH:SUBPATH; None for ''. Without a path it is where that claim is mounted already.
    AgentError for what cannot be a claim's name, or no absolute path."""
    claim, _colon, rest = text.partition(":")
    path, _colon, sub_path = rest.partition(":")
    if not text:
        return None
    if not _CLAIM.fullmatch(claim) or (rest and not path.startswith("/")):
        raise AgentError(
            ErrorKind.INVALID,
            f"accept_volume: {text[:80]!r} names no claim",
            "Give the name of a PersistentVolumeClaim, with ':' and the folder where it is mounted if need be.",
        )
    return Mount(claim, path, sub_path)


@dataclass(frozen=True)
class Facts:
    """container: the gateway's name. selector: labels by which the Deployment knows its pods."""

    mount: Mount
    container: str
    selector: Mapping[str, str]
    replicas: int = 1


@dataclass(frozen=True)
class Proved:
    """What was found true together, when a release was proved last: '' for what nobody looked at.

    container: id of the gateway's container. secret: resourceVersion of the Secret that it read at its start. store,
    external: generations of SecretStore and ExternalSecret by which that Secret was made.
    """

    container: str = ""
    secret: str = ""
    store: str = ""
    external: str = ""


@dataclass(frozen=True)
class Record:
    """What is known of an agent that exists: its facts, and which volume holds its memory.

    claim_uid, volume_name: of the claim, and of the PersistentVolume that it is bound to; '' where not known yet.
    identity: what the volume calls itself; '' where none is expected, FOUND for any on which a configuration stands.
    """

    facts: Facts
    claim_uid: str = ""
    volume_name: str = ""
    identity: str = ""
    proved: Proved = Proved()


#: Of a volume that had no identity yet: 0.1.0 gave none.
FOUND = "found"


def of_new(agent: str) -> Facts:
    return Facts(Mount(names.claim(agent), STATE_FOLDER), names.CONTAINER, names.pod_labels(agent))


def of_deployment(deployment: Object) -> Facts:
    """As it stands, but for replicas: these are ours to say, whatever number stands there."""
    pod = deployment["spec"]["template"]["spec"]
    gateway = gateway_of(pod)
    volume = _volume_of(pod, gateway)
    mounts: list[Object] = gateway.get("volumeMounts") or []
    mounted = next((one for one in mounts if one["name"] == volume.get("name")), {})
    mount = NOWHERE
    if mounted:
        claim = volume["persistentVolumeClaim"]["claimName"]
        mount = Mount(claim, mounted["mountPath"], mounted.get("subPath") or "")
    selector = deployment["spec"]["selector"].get("matchLabels") or {}
    return Facts(mount, gateway.get("name") or "", selector, _replicas(deployment))


def settled(agent: str, deployment: Object | None, record: Record | None, accepted: Mount | None = None) -> Facts:
    """What is put into whatever is applied next. accepted: the mount that a person has named as the one that counts."""
    standing = of_deployment(deployment) if deployment else None
    recorded = record.facts if record else None
    new = of_new(agent)
    first = recorded or standing or new
    mount = first.mount if first.mount.claim else new.mount
    if accepted:
        known = [one.mount for one in (standing, recorded) if one and one.mount.claim == accepted.claim]
        mount = accepted if accepted.path else known[0] if known else Mount(accepted.claim, STATE_FOLDER)
    return Facts(
        mount,
        first.container or new.container,
        (standing or first).selector,
        standing.replicas if standing else 1,
    )


def _replicas(deployment: Object) -> int:
    """0 where the agent was suspended; any other number that stands there is none of ours."""
    return 0 if names.SUSPENDED in (deployment["metadata"].get("annotations") or {}) else 1


def _volume_of(pod: Object, gateway: Object) -> Object:
    """The volume with the memory: of the claims that the gateway mounts the one called as ours, or the first."""
    mounted = {one["name"] for one in gateway.get("volumeMounts") or []}
    claims = [one for one in pod.get("volumes") or [] if one.get("persistentVolumeClaim") and one["name"] in mounted]
    return next((one for one in claims if one["name"] == STATE), claims[0] if claims else {})


def put_into(deployment: Object, facts: Facts) -> Object:
    """The Deployment with the facts in it; what was given stays as it was."""
    made = copy.deepcopy(deployment)
    spec = made["spec"]
    spec["replicas"] = facts.replicas
    spec["selector"] = {"matchLabels": dict(facts.selector)}
    meta = spec["template"]["metadata"]
    meta["labels"] = {**(meta.get("labels") or {}), **facts.selector}
    pod = spec["template"]["spec"]
    gateway = gateway_of(pod)
    volume = _volume_of(pod, gateway)
    gateway["name"] = facts.container
    if volume:
        volume["persistentVolumeClaim"]["claimName"] = facts.mount.claim
        for container in (*(pod.get("initContainers") or ()), *pod["containers"]):
            _mount(container, volume["name"], facts.mount)
    return made


def _mount(container: Object, volume: str, mount: Mount) -> None:
    for one in container.get("volumeMounts") or []:
        if one["name"] == volume:
            if container.get("workingDir") == one["mountPath"]:
                container["workingDir"] = mount.path
            one["mountPath"] = mount.path
            one.pop("subPath", None)
            if mount.sub_path:
                one["subPath"] = mount.sub_path


def as_data(record: Record) -> dict[str, Any]:
    facts = record.facts
    return {
        "claim": facts.mount.claim,
        "mountPath": facts.mount.path,
        "subPath": facts.mount.sub_path,
        "container": facts.container,
        "selector": dict(facts.selector),
        "claimUid": record.claim_uid,
        "volumeName": record.volume_name,
        "proved": asdict(record.proved),
    }


def of_data(data: Mapping[str, Any], identity: str) -> Record:
    """ValueError, KeyError or TypeError for what is none."""
    keys = ("claim", "mountPath", "subPath", "container", "claimUid", "volumeName")
    claim, path, sub_path, container, uid, volume = _texts(data[key] for key in keys)
    selector = dict(zip(data["selector"], _texts(data["selector"].values()), strict=True))
    # Nobody looked before 0.2.0.
    told = data.get("proved") or {}
    proved = Proved(**dict(zip(told, _texts(told.values()), strict=True)))
    return Record(Facts(Mount(claim, path, sub_path), container, selector), uid, volume, identity, proved)


def _texts(values: Iterable[Any]) -> list[str]:
    found = list(values)
    if not all(isinstance(value, str) for value in found):
        raise ValueError("a value is no text")
    return found

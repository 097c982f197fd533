# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done for one agent, and why: a pure decision over what was seen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import probes, releases, stamp
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import (
    Stamps,
    deployment,
    network_policy,
    sealed,
    seed_text,
    supporting,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.version import VERSION
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import accepts, require_volume
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import Change, compare, shown
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import PAUSED, is_available, is_going
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    DEPLOYMENT,
    EXTERNAL_SECRET,
    NETWORK_POLICY,
    SECRET_STORE,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.managed_fields import is_whole
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import UNPROVED
from ansible_collections.digitalsys.agents.plugins.module_utils._options import image as images
from ansible_collections.digitalsys.agents.plugins.module_utils._options import quantity
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent, Home
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout import due

_RELOADER = ("reloader.stakater.com/", "secret.reloader.stakater.com/", "configmap.reloader.stakater.com/")

_INIT = f"initContainers[{names.INIT_CONTAINER}]"
#: Fields of the template that no inventory decides, in a word for people.
_OF_THE_COLLECTION = {
    "init container": (f"{_INIT}.command", f"{_INIT}.workingDir", f"{_INIT}.env[{names.VOLUME}]"),
    "pod label": ("labels.app.kubernetes.io/component",),
}


#: The one reason that may pass by itself.
NO_POD = "no pod is available"


@dataclass(frozen=True)
class AgentPlan:
    """reasons: why something is to be done, one line each; [] = nothing. restarts: whether a new pod comes of it."""

    agent: Agent
    reasons: list[str]
    restarts: bool
    stamps: Stamps
    #: What a person may expect to happen, and does not.
    notes: list[str] = field(default_factory=list)

    @property
    def todo(self) -> bool:
        return bool(self.reasons)


def refuse_what_cannot_be(agent: Agent, live: Live) -> None:
    """What needs a look to be refused, before the first write."""
    require_volume(live, agent)
    claim = live.claim
    if claim:
        have = claim["spec"]["resources"]["requests"]["storage"]
        want = agent.volume_size
        if quantity.amount(want) < quantity.amount(have):
            raise AgentError(
                ErrorKind.INVALID,
                f"{agent.name}: the volume is {have}, asked {want}; volumes never shrink",
                f"Set agent_volume_size: {have}. A smaller volume means a new claim and a copy of the state.",
            )
        storage_class = claim["spec"].get("storageClassName")
        if storage_class != agent.volume_class:
            raise AgentError(
                ErrorKind.INVALID,
                f"{agent.name}: the volume is of class {storage_class}, asked {agent.volume_class}; a "
                "claim's class cannot change",
                f"Set agent_volume_class: {storage_class}.",
            )
    refuse_second_owner(agent, live)


def refuse_second_owner(agent: Home, live: Live) -> None:
    """Somebody else restarts it, or keeps it from restarting."""
    found = live.deployment
    if found:
        annotations = {
            **(found["metadata"].get("annotations") or {}),
            **(found["spec"]["template"]["metadata"].get("annotations") or {}),
        }
        owner = next((name for name in annotations if name.startswith(_RELOADER)), "")
        if owner:
            raise AgentError(
                ErrorKind.CONFLICT,
                f"{agent.name}: Stakater Reloader restarts this Deployment too ({owner})",
                "Two owners of restarts cannot both be proved: remove its annotations.",
            )
        if found["spec"].get("paused"):
            raise AgentError(
                ErrorKind.ROLLOUT,
                f"{agent.name}: {PAUSED}",
                f"kubectl rollout resume deployment/{agent.name} -n {agent.namespace}",
            )


def settled_image(agent: Agent, live: Live, asked: str, tag: str) -> images.Image:
    """Which image is meant: the run's -e image or -e tag before the inventory's; 'current' is what runs now.
    Without a digest, the tag is still to be resolved."""
    if asked == "current":
        if not live.image:
            raise AgentError(
                ErrorKind.INVALID,
                f"{agent.name}: image=current, but no pod of it was ever rolled out",
                "Roll it out with an image first.",
            )
        running = images.parse(live.image)
        kept = ((live.deployment or {}).get("metadata", {}).get("annotations") or {}).get(names.IMAGE_TAG, "")
        return replace(running, tag=kept)
    image = images.parse(asked) if asked else agent.image
    return images.with_tag(image, tag) if tag else image


def stamps_for(
    agent: Agent,
    live: Live,
    vault: str | None,
    restart_id: str,
    rendered: Callable[[Stamps], Object] | None = None,
) -> Stamps:
    """vault: the stamp of what stands there; None where nobody asked. What is not this run's to change is carried
    forward, and so is the stamp of the same values. A changed seed alone restarts nothing. Without proof by Vault a
    stamp stays only while nothing else makes a new pod: that pod may read newer values. rendered: what is applied with
    these stamps, where it is not what the inventory says."""
    kept = carried(agent, live, vault, restart_id)
    wanted = rendered(kept) if rendered else sealed(deployment(agent, kept, live.facts))
    if kept.secret_version and not _makes_a_pod(_changes(wanted, live)):
        return kept
    return Stamps(UNPROVED if vault is None else vault, kept.restart_id)


def carried(agent: Agent, live: Live, vault: str | None, restart_id: str) -> Stamps:
    """As they stand in the pod's template, but for what is another secret or another restart."""
    there = live.stamp
    return Stamps(
        there if vault is None or stamp.is_same(there, vault) else vault,
        restart_id or live.template_annotation(names.RESTART_ID),
        live.seed if live.seed != seed_text(agent) else "",
    )


def _changes(wanted: Object, live: Live) -> list[Change] | None:
    """Of the Deployment; None where it is to be made."""
    if live.deployment is None or is_going(live.deployment):
        return None
    return compare(wanted, live.deployment)


def _makes_a_pod(changes: list[Change] | None) -> bool:
    """By another template, or where none is wanted now."""
    return changes is None or any(
        is_whole(DEPLOYMENT.name, change.path) or change.line.startswith("spec.replicas: 0 -> ") for change in changes
    )


def generations(objects: Mapping[str, Object]) -> tuple[str, str]:
    """Of the SecretStore and the ExternalSecret among them; '' for one that is not there."""
    store, external = (_generation(objects.get(kind.name)) for kind in (SECRET_STORE, EXTERNAL_SECRET))
    return store, external


def _generation(live: Object | None) -> str:
    """With the uid: what was made anew begins at 1 again."""
    meta = (live or {}).get("metadata") or {}
    return f"{meta.get('uid', '')}/{meta['generation']}" if meta.get("generation") else ""


def changed_access(before: tuple[str, str], now: tuple[str, str]) -> list[str]:
    """Kinds that are another generation than before, where that is known: what ESO wrote it wrote by another spec."""
    kinds = (SECRET_STORE.name, EXTERNAL_SECRET.name)
    return [kind for kind, old, new in zip(kinds, before, now, strict=True) if old and new and old != new]


def _proved_access(live: Live) -> tuple[str, str]:
    return (live.record.proved.store, live.record.proved.external) if live.record else ("", "")


def unproved_access(live: Live, now: tuple[str, str]) -> list[str]:
    """Kinds that were changed since this look, or since the Secret was proved by them."""
    found = {*changed_access(generations(live.objects), now), *changed_access(_proved_access(live), now)}
    return sorted(found)


def decide(agent: Agent, live: Live, stamps: Stamps, kept: Collection[str] = ()) -> AgentPlan:
    """agent.image carries its digest. Compares what is rendered with what is live; reads nothing. kept: kinds that the
    server leaves as they are, whatever is applied."""
    reasons: list[str] = []
    if accepts(live):
        reasons.append(f"{live.facts.mount.shown()} is accepted as the agent's volume")
    wanted = sealed(deployment(agent, stamps, live.facts))
    changes_of_deployment = [] if DEPLOYMENT.name in kept else _changes(wanted, live)
    # What makes a new pod comes first: a plan shows the first few.
    reasons += _deployment_reasons(agent, live, stamps, wanted, changes_of_deployment)
    for manifest in supporting(agent, live.facts, live.claim):
        found = live.objects.get(manifest["kind"])
        if found is None:
            reasons.append(f"{manifest['kind']} is to be made")
        elif manifest["kind"] not in kept and (changes := compare(manifest, found)):
            reasons += _lines(manifest["kind"], shown(changes))
    if not reasons:
        of_access = changed_access(_proved_access(live), generations(live.objects))
        reasons += [f"{kind} was changed, and no sync was proved since" for kind in of_access]
    if network_policy(agent) is None and NETWORK_POLICY.name in live.objects:
        reasons.append("NetworkPolicy is to be removed (agent_network: open)")
    if not reasons and live.deployment:
        if not live.facts.replicas:
            pass  # suspended: none runs, and nothing is recorded
        elif not is_available(live.deployment):
            reasons.append(NO_POD)
        elif not releases.is_recorded(live.releases, wanted):
            reasons.append("the running release was not recorded yet")
    return AgentPlan(agent, reasons, _makes_a_pod(changes_of_deployment), stamps, _notes(agent, live))


def _notes(agent: Agent, live: Live) -> list[str]:
    if live.deployment is None or not live.seed or live.seed == seed_text(agent):
        return []
    return [
        "agent_config_seed was changed since its volume was made: it is for empty volumes alone. The agent's own "
        "configuration stays as it is"
    ]


def back_to(release: str, agent: Agent, wanted: Object, live: Live, stamps: Stamps) -> AgentPlan:
    """What it takes to take a release up again; wanted: its Deployment, as it would be applied."""
    changes = _changes(wanted, live)
    lines = shown(changes) if changes is not None else [f"{DEPLOYMENT.name} is to be made"]
    return AgentPlan(agent, [f"back to release {release}", *lines], _makes_a_pod(changes), stamps)


def _lines(kind: str, lines: list[str]) -> list[str]:
    """Where nothing but the seal differs, a field went that nobody owned."""
    return [f"{kind} {line}" for line in lines] or [f"{kind}: a field that is not wanted any more"]


def _deployment_reasons(
    agent: Agent, live: Live, stamps: Stamps, wanted: Object, changes: list[Change] | None
) -> list[str]:
    found = live.deployment
    if found is None:
        return [f"{DEPLOYMENT.name} is to be made"]
    if is_going(found):
        return [f"{DEPLOYMENT.name} was deleted and is on its way; it is to be made anew"]
    if not changes:
        return []
    reasons = []
    if live.image != agent.image.pinned:
        reasons.append(
            f"image {_short(live.image)} -> {_short(agent.image.pinned)}"
            + (f" ({agent.image.tag})" if agent.image.tag else "")
        )
    there = live.stamp
    if not stamp.is_same(there, stamps.secret_version):
        reasons.append(stamp.told(there, stamps.secret_version))
    if live.template_annotation(names.RESTART_ID) != stamps.restart_id:
        reasons.append(due.why(stamps.restart_id) or f"restart {stamps.restart_id}")
    of_probes, by_probes = probes.told(wanted, found)
    reasons += [of_probes] if of_probes else []
    newer, by_newer = _newer_collection(live, changes)
    reasons += [newer] if newer else []
    # What was said above. An init container's image alone is not.
    of_image = (".image: ", names.IMAGE_TAG) if live.image != agent.image.pinned else ()
    known = (names.SECRET_VERSION, names.SECRET_CONTENT, names.RESTART_ID, *of_image, *by_probes, *by_newer)
    told = [change for change in changes if not _is_said(change, known)]
    lines = shown(sorted(told, key=lambda change: not _makes_a_pod([change])))
    return reasons + _lines(DEPLOYMENT.name, lines) if lines or not reasons else reasons


def _is_said(change: Change, known: Collection[str]) -> bool:
    """In fewer words before; but whose hand it was is in none of them."""
    return not change.manager and any(mark in change.line for mark in known)


def _newer_collection(live: Live, changes: list[Change]) -> tuple[str, tuple[str, ...]]:
    """What of it comes from a newer version of this collection, in a few words; and the marks of the lines that say the
    same field by field."""
    release = releases.last_good(live.releases)
    if release is None or release.collection == VERSION:
        return "", ()
    found = {words: marks for words, marks in _OF_THE_COLLECTION.items() if _is_among(marks, changes)}
    marks = tuple(mark for marks in found.values() for mark in marks)
    return (f"digitalsys.agents {release.collection} -> {VERSION}: {', '.join(found)}" if found else ""), marks


def _is_among(marks: tuple[str, ...], changes: list[Change]) -> bool:
    return any(mark in change.path for mark in marks for change in changes)


def _short(image: str) -> str:
    name, _at, digest = image.partition("@sha256:")
    return digest[:12] if digest else name or "none"

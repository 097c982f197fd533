# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there: the objects of one agent, or of many with one LIST per kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import (
    Facts,
    Mount,
    Record,
    of_deployment,
    settled,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import of_annotations
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import NotFound
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    BY_NAME,
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    EXTERNAL_SECRET,
    NETWORK_POLICY,
    SECRET,
    SECRET_STORE,
    SERVICE_ACCOUNT,
    Kind,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import SEED
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import claims_of, gateway_of


@dataclass(frozen=True)
class Live:
    """Objects by kind's name; a kind that is absent is not there."""

    agent: str
    objects: dict[str, Object] = field(default_factory=dict)
    #: Kinds that the server does not know.
    unserved: frozenset[str] = frozenset()
    #: The mount that a person has named as the one with the memory; None where nobody has.
    accepted: Mount | None = None
    #: What stands in the place of ours, and is somebody else's, where no more than its metadata was read: Kind name.
    strangers: list[str] = field(default_factory=list)

    @property
    def deployment(self) -> Object | None:
        return self.objects.get(DEPLOYMENT.name)

    @property
    def releases(self) -> Object | None:
        return self.objects.get(CONFIG_MAP.name)

    @property
    def claim(self) -> Object | None:
        return self.objects.get(CLAIM.name)

    @cached_property
    def record(self) -> Record | None:
        """AgentError for one that was edited and cannot be read."""
        return releases.recorded(self.releases)

    @cached_property
    def facts(self) -> Facts:
        return settled(self.agent, self.deployment, self.record, self.accepted)

    @property
    def mounted(self) -> Mount | None:
        """What the Deployment mounts, whatever was recorded; None where there is no Deployment."""
        return of_deployment(self.deployment).mount if self.deployment else None

    @property
    def claims(self) -> set[str]:
        """The one with its memory, and whatever the Deployment mounts."""
        return {self.facts.mount.claim} | (
            claims_of(self.deployment["spec"]["template"]["spec"]) if self.deployment else set()
        )

    @property
    def _template_annotations(self) -> dict[str, str]:
        template = ((self.deployment or {}).get("spec") or {}).get("template") or {}
        return (template.get("metadata") or {}).get("annotations") or {}

    def template_annotation(self, name: str) -> str:
        return str(self._template_annotations.get(name) or "")

    @property
    def stamp(self) -> str:
        """What of its secret the pod was started with (see _agent/stamp.py)."""
        return of_annotations(self._template_annotations)

    @property
    def seed(self) -> str:
        """The first configuration that stands in the template's init container; '' where there is none."""
        pod = (self.deployment or {}).get("spec", {}).get("template", {}).get("spec", {})
        variables = [one for container in pod.get("initContainers") or [] for one in container.get("env") or []]
        return next((one.get("value") or "" for one in variables if one.get("name") == SEED), "")

    @property
    def image(self) -> str:
        pod = (self.deployment or {}).get("spec", {}).get("template", {}).get("spec", {})
        return str(gateway_of(pod).get("image") or "")


def object_names(agent: str, claim: str = "") -> dict[str, str]:
    """Kind's name -> the name of this agent's object. claim: the one that holds its memory, where that is known; of the
    Deployment and the record, which tell it, the names come first."""
    return {
        DEPLOYMENT.name: agent,
        CONFIG_MAP.name: names.releases(agent),
        SERVICE_ACCOUNT.name: agent,
        CLAIM.name: claim or names.claim(agent),
        NETWORK_POLICY.name: agent,
        SECRET_STORE.name: names.secret_store(agent),
        EXTERNAL_SECRET.name: names.external_secret(agent),
    }


def name_of(kind: Kind, agent: str, claim: str = "") -> str:
    """Of the agent's one object of this kind. Its Secret is the one that ESO logs in by: the other one is ESO's own."""
    return names.approle_secret(agent) if kind == SECRET else object_names(agent, claim)[kind.name]


def look(kube: Kube, namespace: str, agent: str, *kinds: Kind, accepted: Mount | None = None) -> Live:
    """By name, a read for each kind (all seven of an agent, or those given): what an operation does under its lock."""
    live = Live(agent, accepted=accepted)
    unserved = set()
    for kind_name in [kind.name for kind in kinds] or object_names(agent):
        kind = BY_NAME[kind_name]
        claim = live.facts.mount.claim if kind == CLAIM else ""
        try:
            live.objects[kind_name] = kube.request("GET", kind.path(namespace, name_of(kind, agent, claim)))
        except NotFound as error:
            if not error.is_served:
                unserved.add(kind_name)
    if not kinds and EXTERNAL_SECRET.name not in live.objects:
        secret = kube.get_metadata(SECRET, namespace, names.env_secret(agent))
        live.strangers.extend(_strangers(SECRET, [secret] if secret else []))
    return replace(live, unserved=frozenset(unserved)) if unserved else live


def version_of_secret(kube: Kube, namespace: str, agent: str) -> str:
    """The resourceVersion of the Secret that its pod reads; '' where there is none. No value is read."""
    secret = kube.get_metadata(SECRET, namespace, names.env_secret(agent))
    return str(secret["metadata"]["resourceVersion"]) if secret else ""


def look_at_fleet(kube: Kube, namespace: str, agents: Iterable[str], accepted: Mount | None = None) -> dict[str, Live]:
    """One LIST per kind, of what is ours. Of a kind where something declared is not in the list, the names of all
    are read too: it may be there without our label, and that is a clear stop."""
    lives = {agent: Live(agent, accepted=accepted) for agent in agents}
    for kind_name in object_names(""):
        kind = BY_NAME[kind_name]
        wanted = {
            agent: name_of(kind, agent, live.facts.mount.claim if kind == CLAIM else "")
            for agent, live in lives.items()
        }
        # A claim that a person has named need not bear our label: of these all are read, and judged by the caller.
        is_claim = kind == CLAIM
        by_name = {item["metadata"]["name"]: item for item in _listed(kube, kind, namespace, ours=not is_claim)}
        for agent, name in wanted.items():
            if name in by_name:
                lives[agent].objects[kind_name] = by_name[name]
        if not is_claim:
            _find_strangers(kube, kind, namespace, lives, wanted)
    # What ESO writes is looked for where no ExternalSecret of ours writes it yet.
    new = {agent: names.env_secret(agent) for agent, live in lives.items() if EXTERNAL_SECRET.name not in live.objects}
    _find_strangers(kube, SECRET, namespace, lives, new)
    return lives


def _listed(kube: Kube, kind: Kind, namespace: str, *, ours: bool) -> list[Object]:
    try:
        return kube.list_objects(kind, namespace, labels=names.SELECTOR if ours else "")[0]
    except NotFound:  # the kind is not served here: a plan is possible all the same
        return []


def _find_strangers(kube: Kube, kind: Kind, namespace: str, lives: dict[str, Live], wanted: dict[str, str]) -> None:
    """In the place of what was not found. wanted: agent -> the name of its object of this kind."""
    missing = {name: agent for agent, name in wanted.items() if kind.name not in lives[agent].objects}
    if not missing:
        return
    try:
        there = kube.list_metadata(kind, namespace)
    except NotFound:
        return
    for item in there:
        if agent := missing.get(item["metadata"]["name"]):
            lives[agent].strangers.extend(_strangers(kind, [item]))


def _strangers(kind: Kind, found: Iterable[Object]) -> list[str]:
    return [f"{kind.name} {item['metadata']['name']}" for item in found if not names.is_ours(item)]

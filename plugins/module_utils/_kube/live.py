# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there: the objects of one agent, or of many with one LIST per kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind, NotFound
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    APPLIED,
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


@dataclass(frozen=True)
class Live:
    """Objects by kind's name; a kind that is absent is not there."""

    agent: str
    objects: dict[str, Object] = field(default_factory=dict)
    #: Kinds that the server does not know.
    unserved: frozenset[str] = frozenset()

    @property
    def deployment(self) -> Object | None:
        return self.objects.get(DEPLOYMENT.name)

    @property
    def releases(self) -> Object | None:
        return self.objects.get(CONFIG_MAP.name)

    def template_annotation(self, name: str) -> str:
        template = ((self.deployment or {}).get("spec") or {}).get("template") or {}
        return str(((template.get("metadata") or {}).get("annotations") or {}).get(name) or "")

    @property
    def seed(self) -> str:
        """The first configuration that stands in the template's init container; '' where there is none."""
        pod = (self.deployment or {}).get("spec", {}).get("template", {}).get("spec", {})
        variables = [one for container in pod.get("initContainers") or [] for one in container.get("env") or []]
        return next((one.get("value") or "" for one in variables if one.get("name") == SEED), "")

    @property
    def image(self) -> str:
        containers = (self.deployment or {}).get("spec", {}).get("template", {}).get("spec", {}).get("containers") or []
        return next((one["image"] for one in containers if one.get("name") == names.CONTAINER), "")


def object_names(agent: str) -> dict[str, str]:
    """Kind's name -> the name of this agent's object."""
    return {
        SERVICE_ACCOUNT.name: agent,
        CLAIM.name: names.claim(agent),
        NETWORK_POLICY.name: agent,
        SECRET_STORE.name: names.secret_store(agent),
        EXTERNAL_SECRET.name: names.external_secret(agent),
        DEPLOYMENT.name: agent,
        CONFIG_MAP.name: names.releases(agent),
    }


def name_of(kind: Kind, agent: str) -> str:
    """Of the agent's one object of this kind. Its Secret is the one that ESO logs in by: the other one is ESO's own."""
    return names.approle_secret(agent) if kind == SECRET else object_names(agent)[kind.name]


def look(kube: Kube, namespace: str, agent: str, *kinds: Kind) -> Live:
    """By name, a read for each kind (all seven of an agent, or those given): what an operation does under its lock."""
    wanted = object_names(agent)
    found = {}
    unserved = set()
    for kind_name in [kind.name for kind in kinds] or wanted:
        try:
            found[kind_name] = kube.request("GET", BY_NAME[kind_name].path(namespace, wanted[kind_name]))
        except NotFound as error:
            if not error.is_served:
                unserved.add(kind_name)
    return Live(agent, found, frozenset(unserved))


def look_at_fleet(kube: Kube, namespace: str, agents: Iterable[str]) -> dict[str, Live]:
    """One LIST per kind, of what is ours. Of a kind where something declared is not in the list, the names of all
    are read too: it may be there without our label, and that is a clear stop."""
    named = {agent: object_names(agent) for agent in agents}
    found: dict[str, dict[str, Object]] = {agent: {} for agent in named}
    for kind in (*APPLIED, CONFIG_MAP):
        items = _listed(kube, kind, namespace)
        by_name = {item["metadata"]["name"]: item for item in items}
        missing = {of_agent[kind.name] for of_agent in named.values()} - by_name.keys()
        if missing:
            _refuse_strangers(kube, kind, namespace, missing)
        for agent, of_agent in named.items():
            if of_agent[kind.name] in by_name:
                found[agent][kind.name] = by_name[of_agent[kind.name]]
    return {agent: Live(agent, objects) for agent, objects in found.items()}


def _listed(kube: Kube, kind: Kind, namespace: str) -> list[Object]:
    try:
        return kube.list_objects(kind, namespace, labels=names.SELECTOR)[0]
    except NotFound:  # the kind is not served here: a plan is possible all the same
        return []


def _refuse_strangers(kube: Kube, kind: Kind, namespace: str, wanted: set[str]) -> None:
    try:
        there = kube.list_metadata(kind, namespace)
    except AgentError as error:
        if error.kind is ErrorKind.NOT_FOUND:
            return
        raise
    for item in there:
        if item["metadata"]["name"] in wanted and not names.is_ours(item):
            raise stranger(kind.name, item["metadata"]["name"])


def stranger(kind_name: str, name: str) -> AgentError:
    """Of an object that is there, and is not ours."""
    return AgentError(
        ErrorKind.NOT_OURS,
        f"{kind_name} {name} is there, but was not made by this collection (no label "
        f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY})",
        "Adopting agents made by hand is an operation of its own. Choose another name, or remove that object yourself.",
        {"object": {"kind": kind_name, "name": name}},
    )

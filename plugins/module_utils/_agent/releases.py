# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: what was applied and proved. The last ten stand in ConfigMap <agent>-releases, newest last; beside them the
facts of the cluster, and under a key of its own the identity of the volume, which the init container reads."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import (
    FOUND,
    Facts,
    Record,
    as_data,
    of_data,
    of_deployment,
    put_into,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import (
    looking_at_the_volume,
    sealed,
    unsealed,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import annotations_of
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.version import VERSION
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import gateway_of
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home

if TYPE_CHECKING:  # a plan reads releases and writes none: it has no use for what writes
    from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer

KEPT = 10
_KEY = "releases.json"
_FACTS = "facts.json"


@dataclass(frozen=True)
class Release:
    """deployment is the rendered object; image its reference; secret_version Vault's version, or 'unproved'; collection
    the version of ours that rendered it (0.1.0 did not say)."""

    id: str
    deployment: Object
    image: str
    tag: str
    secret_version: str
    at: str
    by: str
    collection: str = "0.1.0"

    def shown(self) -> str:
        return f"{self.id} ({self.image.partition('@')[2][:19] or self.image}, {self.at})"


def read(config_map: Object | None) -> list[Release]:
    text = ((config_map or {}).get("data") or {}).get(_KEY)
    if not text:
        return []
    try:
        entries = json.loads(text)
        if not isinstance(entries, list):
            raise TypeError
        kept = [Release(**entry) for entry in entries]
        for release in kept:
            of_deployment(release.deployment)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(config_map, error) from None
    return kept


def recorded(config_map: Object | None) -> Record | None:
    """What is known of the agent's volume and its other facts: None of a new one. 0.1.0 kept its releases alone, and
    its volumes have no identity."""
    data = (config_map or {}).get("data") or {}
    identity = told_identity(config_map)
    newest = last_good(config_map)
    if _FACTS not in data:
        return Record(of_deployment(newest.deployment), identity=identity or FOUND) if newest else None
    try:
        return of_data(json.loads(data[_FACTS]), identity)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(config_map, error) from None


def told_identity(config_map: Object | None) -> str:
    """What the init container reads; '' where nothing is expected, as right after a person has accepted a volume."""
    return str(((config_map or {}).get("data") or {}).get(names.VOLUME_KEY) or "")


def _unreadable(config_map: Object | None, error: Exception) -> AgentError:
    return AgentError(
        ErrorKind.INVALID,
        f"ConfigMap {(config_map or {})['metadata']['name']} was edited by hand and cannot be read "
        f"({type(error).__name__})",
        "Mend it: it is all that says which volume holds the agent's memory, and what to go back to.",
    )


def last_good(config_map: Object | None) -> Release | None:
    kept = read(config_map)
    return kept[-1] if kept else None


def find(config_map: Object | None, release_id: str) -> Release:
    kept = read(config_map)
    for release in kept:
        if release.id == release_id:
            return release
    recorded = ", ".join(release.id for release in reversed(kept)) or "none"
    raise AgentError(ErrorKind.NOT_FOUND, f"there is no release {release_id[:40]!r}", f"Recorded: {recorded}")


def is_recorded(config_map: Object | None, deployment: Object) -> bool:
    """Whether the newest release is this very Deployment."""
    newest = last_good(config_map)
    return newest is not None and newest.deployment == deployment


def revived(release: Release, stamp: str, facts: Facts, agent: str = "", restart_id: str = "") -> Object:
    """The recorded Deployment, stamped with the secret that its new pod will really have, and with what is a
    fact of the cluster today. agent: its name, where the template is taken up instead of another one; then the volume
    is looked at by one of 0.1.0, too. Else it is what runs."""
    wanted = put_into(unsealed(release.deployment), facts)
    if agent:
        wanted = looking_at_the_volume(wanted, agent)
    meta = wanted["spec"]["template"]["metadata"]
    others = {
        name: value
        for name, value in (meta.get("annotations") or {}).items()
        if name not in (names.SECRET_VERSION, names.SECRET_CONTENT)
    }
    restart = {names.RESTART_ID: restart_id} if restart_id else {}
    meta["annotations"] = {**others, **annotations_of(stamp), **restart}
    return sealed(wanted)


def of_running(release: Release, stamp: str, facts: Facts, deployment: Object) -> Object:
    """As `revived`, in the form that runs: where one of 0.1.0 was gone back to, it looks at the volume since."""
    inits = deployment["spec"]["template"]["spec"].get("initContainers") or []
    looks = any(one["name"] == names.VOLUME for init in inits for one in init.get("env") or [])
    return revived(release, stamp, facts, deployment["metadata"]["name"] if looks else "")


def new(kept: list[Release], deployment: Object, secret_version: str, by: str) -> Release:
    """The next release, numbered on: r1, r2, …"""
    number = max((int(one.id[1:]) for one in kept if one.id[1:].isdigit()), default=0) + 1
    annotations = deployment["metadata"].get("annotations") or {}
    container = gateway_of(deployment["spec"]["template"]["spec"])
    at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tag = annotations.get(names.IMAGE_TAG, "")
    return Release(f"r{number}", deployment, container["image"], tag, secret_version, at, by, VERSION)


def manifest(agent: Home, kept: list[Release], record: Record | None) -> Object:
    data = {_KEY: json.dumps([vars(release) for release in kept[-KEPT:]], sort_keys=True, separators=(",", ":"))}
    if record:
        data[_FACTS] = json.dumps(as_data(record), sort_keys=True, separators=(",", ":"))
        # Where nothing is expected, too: another hand's word for it would stay.
        data[names.VOLUME_KEY] = record.identity
    return sealed(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": names.releases(agent.name),
                "namespace": agent.namespace,
                "labels": names.labels(agent.name),
            },
            "data": data,
        }
    )


def record(
    agent: Home, writer: Writer, live: Object | None, deployment: Object, secret_version: str, by: str, what: Record
) -> Release:
    """Recording what is the newest release already is no change. what: the facts of the agent that was proved."""
    kept = read(live)
    is_new = not kept or kept[-1].deployment != deployment
    release = new(kept, deployment, secret_version, by) if is_new else kept[-1]
    if is_new or recorded(live) != what:
        writer.apply(manifest(agent, [*kept, release] if is_new else kept, what), live)
    return release

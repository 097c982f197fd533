# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: what was applied and proved. The last ten stand in ConfigMap <agent>-releases, newest last."""

from __future__ import annotations

import copy
import datetime
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import sealed, unsealed
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home

if TYPE_CHECKING:  # a plan reads releases and writes none: it has no use for what writes
    from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer

KEPT = 10
_KEY = "releases.json"


@dataclass(frozen=True)
class Release:
    """deployment is the rendered object; image its reference; secret_version Vault's version, or 'unproved'."""

    id: str
    deployment: Object
    image: str
    tag: str
    secret_version: str
    at: str
    by: str

    def shown(self) -> str:
        return f"{self.id} ({self.image.partition('@')[2][:19] or self.image}, {self.at})"


def read(config_map: Object | None) -> list[Release]:
    text = ((config_map or {}).get("data") or {}).get(_KEY)
    if not text:
        return []
    try:
        return [Release(**entry) for entry in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise AgentError(
            ErrorKind.INVALID,
            f"ConfigMap {(config_map or {})['metadata']['name']} was edited by hand and cannot be read "
            f"({type(error).__name__})",
            "Mend or delete it; without it there is no release to go back to.",
        ) from None


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


def revived(release: Release, secret_version: str) -> Object:
    """The recorded Deployment, stamped with the secret version that its new pod will really have."""
    wanted = unsealed(copy.deepcopy(release.deployment))
    wanted["spec"]["template"]["metadata"].setdefault("annotations", {})[names.SECRET_VERSION] = secret_version
    return sealed(wanted)


def new(kept: list[Release], deployment: Object, secret_version: str, by: str) -> Release:
    """The next release, numbered on: r1, r2, …"""
    number = max((int(one.id[1:]) for one in kept if one.id[1:].isdigit()), default=0) + 1
    annotations = deployment["metadata"].get("annotations") or {}
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Release(
        f"r{number}", deployment, container["image"], annotations.get(names.IMAGE_TAG, ""), secret_version, at, by
    )


def manifest(agent: Home, kept: list[Release]) -> Object:
    text = json.dumps([vars(release) for release in kept[-KEPT:]], sort_keys=True, separators=(",", ":"))
    return sealed(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": names.releases(agent.name),
                "namespace": agent.namespace,
                "labels": names.labels(agent.name),
            },
            "data": {_KEY: text},
        }
    )


def record(
    agent: Home, writer: Writer, live: Object | None, deployment: Object, secret_version: str, by: str
) -> Release:
    """Recording what is the newest release already is no change."""
    kept = read(live)
    if kept and kept[-1].deployment == deployment:
        return kept[-1]
    release = new(kept, deployment, secret_version, by)
    writer.apply(manifest(agent, [*kept, release]), live)
    return release

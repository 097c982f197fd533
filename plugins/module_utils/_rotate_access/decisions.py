# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a renewal of a SecretID does next: pure, from what Vault and the Secret say."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from ansible_collections.digitalsys.agents.plugins.module_utils._eso.access import Access, SecretId


class Step(Enum):
    MAKE = "make a second SecretID"
    PROVE = "prove the one that was made"
    NOTHING = "nothing"


def next_step(access: Access, in_use: str, *, works: bool, wanted_id: str) -> Step:
    """in_use: the accessor of the SecretID in the Secret. An open renewal goes on with what it made, unless that does
    not work (any more), or somebody put the old one back."""
    if access.renewal:
        return Step.PROVE if works and in_use != access.previous else Step.MAKE
    return Step.NOTHING if wanted_id and wanted_id == access.renewed else Step.MAKE


def to_destroy(known: Mapping[str, SecretId | None], in_use: str, previous: str, cluster_uid: str) -> list[str]:
    """Accessors of what the renewal replaced, and of what killed runs left; never what a person made beside them, nor
    what another cluster uses that shares the AppRole."""
    ours = {accessor for accessor, state in known.items() if state is not None and state.is_of(cluster_uid)}
    replaced = {previous} if known.get(previous) is not None else set()
    return sorted((ours | replaced) - {in_use})


def vault_needs(mount: str, role: str) -> dict[str, tuple[str, ...]]:
    """Path -> what the operator's token must be allowed there. docs/permissions grants exactly this."""
    path = f"auth/{mount}/role/{role}"
    return {
        f"{path}/role-id": ("read",),
        f"{path}/secret-id": ("list", "update"),
        f"{path}/secret-id/lookup": ("update",),
        f"{path}/secret-id-accessor/lookup": ("update",),
        f"{path}/secret-id-accessor/destroy": ("update",),
    }

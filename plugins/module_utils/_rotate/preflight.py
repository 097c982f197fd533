# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be so before the first write of a rotation, looked at and never mended here."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import require_vault_permissions
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import compare
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import is_available
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._vault import names as vault_names
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import (
    DEFAULT_MAX_VERSIONS,
    Entry,
    Metadata,
    kept_versions,
    mount_max_versions,
)

#: The base, the promotion, one edit by a person meanwhile, and the old values again.
_FEWEST_VERSIONS = 4


def capabilities(agent: Home) -> dict[str, tuple[str, ...]]:
    """Path -> what the operator's token must be allowed there. docs/permissions grants exactly this."""
    mount = agent.vault_mount
    journal = vault_names.journal(agent.name)
    inbox = vault_names.inbox(agent.name)
    return {
        f"{mount}/config": ("read",),
        f"{mount}/data/{agent.vault_path}": ("read", "patch"),
        f"{mount}/metadata/{agent.vault_path}": ("read", "patch"),
        f"{mount}/data/{journal}": ("create", "read", "update"),
        f"{mount}/metadata/{journal}": ("read",),
        f"{mount}/destroy/{journal}": ("update",),
        f"{mount}/data/{inbox}": ("read", "patch"),
        f"{mount}/metadata/{inbox}": ("read",),
        f"{mount}/destroy/{inbox}": ("update",),
    }


def require_capabilities(agent: Home, vault: Vault) -> None:
    require_vault_permissions(vault, capabilities(agent), "a rotation")


def require_journal(agent: Home, journal: Entry) -> Metadata:
    """Made by provision, so that its settings are not the operator's to choose."""
    found = journal.metadata()
    if not found.exists:
        raise AgentError(
            ErrorKind.VAULT,
            f"{agent.name}: there is no place for the journal of rotations at {journal}",
            f"Make it once: ansible-playbook playbooks/provision.yml -e agent={agent.name}",
        )
    return found


def require_base_survives(agent: Home, live: Metadata, vault: Vault) -> None:
    kept = kept_versions(live.max_versions, mount_max_versions(vault, agent.vault_mount))
    if kept < _FEWEST_VERSIONS:
        raise AgentError(
            ErrorKind.VAULT,
            f"{agent.name}: Vault keeps {kept} versions of {agent.vault_mount}/{agent.vault_path}; the one to go back "
            "to would be destroyed",
            f"vault kv metadata put -mount={agent.vault_mount} -max-versions={DEFAULT_MAX_VERSIONS} {agent.vault_path}",
        )


def require_settled(agent: Home, live: Live) -> None:
    """A rotation restarts what runs and is proved, nothing else: no half rollout comes up with it."""
    release = releases.last_good(live.releases)
    again = f"ansible-playbook rollout.yml -e agent={agent.name}"
    if live.deployment is None or release is None:
        raise AgentError(ErrorKind.ROLLOUT, f"{agent.name} was never rolled out", f"First: {again}")
    stamp = live.stamp
    if compare(releases.of_running(release, stamp, live.facts, live.deployment), live.deployment):
        raise AgentError(
            ErrorKind.ROLLOUT,
            f"{agent.name}: what runs is not the release {release.shown()} that was proved",
            f"First: {again}",
        )
    if not is_available(live.deployment):
        raise AgentError(ErrorKind.ROLLOUT, f"{agent.name}: no pod of it is available", f"First: {again}")


def gone(agent: Home, keys: Iterable[str]) -> list[str]:
    """Warnings for keys that somebody has left out of the live path meanwhile."""
    return [
        f"{agent.name}: {key} has gone from {agent.vault_mount}/{agent.vault_path} meanwhile; if that was not meant: "
        f"vault kv patch -mount={agent.vault_mount} {agent.vault_path} {key}=-"
        for key in keys
    ]

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One entry, one agent, one home: whose an entry is stands in its custom metadata, which hold no value.

Two agents with one entry would have one Discord token, and one agent in two clusters two gateways.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry

#: cluster's uid/namespace/agent
_MARK = "agents_home"


def mark(cluster_uid: str, namespace: str, agent: str) -> dict[str, str]:
    """What is told of an entry that is this agent's."""
    return {_MARK: f"{cluster_uid}/{namespace}/{agent}"}


def is_marked(told: Mapping[str, str] | None) -> bool:
    return bool((told or {}).get(_MARK))


def require_an_entry_each(agents: Iterable[Home]) -> None:
    """AgentError 'invalid' for two agents of one run with one entry."""
    owners: dict[tuple[str, str], str] = {}
    for agent in agents:
        place = (agent.vault_mount, agent.vault_path)
        other = owners.setdefault(place, agent.name)
        if other != agent.name:
            raise AgentError(
                ErrorKind.INVALID,
                f"{other} and {agent.name} have one entry in Vault, {'/'.join(place)}",
                "Give each its own: agent_vault_path.",
            )


def require_own(entry: Entry, told: Mapping[str, str] | None, own: Mapping[str, str], agent: str) -> None:
    """Of an entry that is there. told: its custom metadata."""
    require_home(entry, told, own, agent)
    if not is_marked(told):
        require_nobodys(entry, own, agent)


def require_home(entry: Entry, told: Mapping[str, str] | None, own: Mapping[str, str], agent: str) -> None:
    """AgentError 'conflict' for an entry of another agent, or of this one somewhere else. told: its custom metadata.
    One that has no mark belongs to whoever has it; provision and the first rollout that is proved set it."""
    found = (told or {}).get(_MARK)
    if not found or found == own[_MARK]:
        return
    raise AgentError(
        ErrorKind.CONFLICT,
        f"{agent}: Vault's {entry} belongs to {_shown(found)}, and this run is for {_shown(own[_MARK])}",
        "Give it an entry of its own: agent_vault_path. Where the agent has moved for good, and runs there no more: "
        f"{_by_hand(entry, own)}",
    )


def require_nobodys(entry: Entry, own: Mapping[str, str], agent: str) -> None:
    """Of an entry without a mark, before it gets one: by its place it may be another agent's."""
    folder, _slash, other = entry.path.rpartition("/")
    if folder == "agents" and other != agent:
        raise AgentError(
            ErrorKind.CONFLICT,
            f"{agent}: Vault's {entry} looks like {other}'s: an agent's entry is agents/<its name> where nothing else "
            "is said",
            f"Take agent_vault_path out of its variables. If it is meant: {_by_hand(entry, own)}",
        )


def _by_hand(entry: Entry, own: Mapping[str, str]) -> str:
    ((name, value),) = own.items()
    return f"vault kv metadata patch -mount={entry.mount} -custom-metadata={name}={value} {entry.path}"


def _shown(home: str) -> str:
    cluster, namespace, agent = [*home.split("/"), "?", "?"][:3]
    return f"{agent} in namespace {namespace} of cluster {cluster}"

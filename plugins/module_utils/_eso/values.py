# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in an agent's entry can do its work in the pod: looked at before anything is written for its sake."""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Mapping

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import stamp
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._options.values import cannot_work, is_variable
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry, Kept


def digest(values: Mapping[str, str], key: str) -> str:
    """Of all keys and values together. key: hexadecimal; '' makes ''."""
    if not key:
        return ""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hmac.new(bytes.fromhex(key), text.encode(), "sha256").hexdigest()[:32]


def stamp_of(found: Kept, entry: Entry, digest_key: str) -> str:
    """Of what was read in the agent's entry."""
    return stamp(found.version, str(entry), found.written, digest(found.values, digest_key))


def missing_keys(required: list[str], there: Mapping[str, str]) -> list[str]:
    return [key for key in required if not there.get(key)]


def require_keys(agent: Home, values: Mapping[str, str], where: str) -> None:
    missing = missing_keys(agent.required_keys, values)
    if missing:
        raise AgentError(
            ErrorKind.SECRET,
            f"{agent.name}: {where} lacks {', '.join(missing)}",
            f"Put it there from standard input: vault kv patch -mount={agent.vault_mount} "
            f"{agent.vault_path} {missing[0]}=-",
            {"missing_keys": missing},
        )


def faults(values: Mapping[str, str], variables: Collection[str], replaced: Collection[str] = ()) -> dict[str, str]:
    """Key -> why it does not do its work. variables: names that the template sets itself, which a pod reads first.
    replaced: keys that are about to get another value."""
    found = {}
    for key in sorted({*values, *replaced}):
        words = ""
        if not is_variable(key):
            words = "is no name of a variable, so no process gets it"
        elif key in variables:
            words = "is set by agent_env, too, and that is what the pod reads"
        elif key not in replaced and (wrong := cannot_work(key, values[key])):
            words = f"cannot be used: {wrong}"
        if words:
            found[key] = words
    return found


def require_effective(
    agent: Home, values: Mapping[str, str], variables: Collection[str], where: str, replaced: Collection[str] = ()
) -> None:
    """Every required key is there, and what is there does its work. AgentError 'secret' that names all faults."""
    found = faults(values, variables, replaced)
    if not found:
        # Last: a key that seems to be missing may be there under a name that is the fault.
        require_keys(agent, values, where)
        return
    told = "; ".join(f"{key!r} {words}" for key, words in found.items())
    shadowed = [key for key in found if key in variables]
    key = next(iter(found))
    place = f"-mount={agent.vault_mount} {agent.vault_path}"
    hint = (
        f"Take {', '.join(shadowed)} out of agent_env, or out of Vault."
        if shadowed
        else f'Mend it: printf %s "$value" | vault kv patch {place} {key}=-'
        if is_variable(key)
        else f"Take it out, and put it there under its right name: vault kv patch {place} {key.strip()}=-"
    )
    raise AgentError(ErrorKind.SECRET, f"{agent.name}: {where}: {told}", hint, {"keys": sorted(found)})

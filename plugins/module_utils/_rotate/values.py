# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation is of, and its inbox: which keys get a new value, where it comes from, what becomes of one that a
person brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import Journal
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import DEPLOYMENT
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import check_key
from ansible_collections.digitalsys.agents.plugins.module_utils._options.key_policy import (
    KeyPolicy,
    check_value,
    generate,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.decisions import due_keys
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.state import Rotation
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import CasConflict
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Kept

#: How often somebody else may write to the inbox while it is emptied.
_TURNS = 12


def due_or_brought(it: Rotation) -> list[str]:
    """The keys of a rotation that names none: what lies in the inbox, and what is due."""
    brought = it.inbox_entry.read()
    ages = {key: policy.max_age for key, policy in it.policies.items() if policy.max_age and policy.generated}
    due = due_keys(ages, it.live_entry.metadata().told or {}, it.vault.now()) if ages else []
    return sorted({check_key(key, str(it.inbox_entry)) for key in (*(brought.values if brought else ()), *due)})


@dataclass(frozen=True)
class Prepared:
    """What a rotation would be of. base_version: of Vault. inbox_version: what of the inbox it takes, 0 for nothing."""

    new: dict[str, str] = field(repr=False)
    base_version: int
    inbox_version: int


def find_values(it: Rotation, keys: Sequence[str], new_value: str) -> Prepared:
    """The new values, made or brought, and looked at. Nothing is written."""
    live = it.live_entry.read()
    if live is None:
        raise AgentError(
            ErrorKind.SECRET, f"{it.agent}: Vault's {it.live_entry} has gone", "Run the same command again."
        )
    values, base_version = live.values, live.version
    inbox = it.inbox_entry.read() or Kept({}, 0, {})
    brought, inbox_version = inbox.values, inbox.version
    if new_value and (twice := sorted(set(keys) & brought.keys())):
        raise AgentError(
            ErrorKind.INVALID,
            f"{it.agent}: a new value of {twice[0]} is given, and another one lies in {it.inbox_entry}",
            f"Rotate to that one, without new_value; or take it out: vault kv metadata delete "
            f"-mount={it.inbox_entry.mount} {it.inbox_entry.path}",
        )
    new = {key: new_value or _new_value(it, key, brought) for key in keys}
    for key, value in new.items():
        # What is no text is not what was meant: of a number Vault keeps some digits only.
        check_value(key, None if key in inbox.no_text else value, it.policies.get(key, KeyPolicy()))
        if value == values.get(key):
            raise AgentError(
                ErrorKind.INVALID,
                f"{it.agent}: the new value of {key} is the one that stands there already",
                f"Bring another one: {_bring(it, key, brought)}",
            )
    it.vault.keep_secret(*new.values())
    return Prepared(new, base_version, 0 if brought.keys().isdisjoint(keys) else inbox_version)


def prepare(
    it: Rotation, lock: Lock, keys: Sequence[str], *, new_value: str, rotation_id: str, journal_version: int
) -> Journal:
    """S3: the new values stand in the journal before anything else changes."""
    found = find_values(it, keys, new_value)
    journal = Journal(
        rotation_id=rotation_id or journals.new_id(),
        keys=tuple(keys),
        base_version=found.base_version,
        started_at=it.vault.now(),
        holder=lock.identity,
        fence=lock.fence,
        stamp=it.run.look(DEPLOYMENT).stamp,
        containers=it.containers(),
        new=found.new,
        inbox_version=found.inbox_version,
        version=journal_version,
    )
    journal = it.write(journal)
    words = f"rotation {journal.rotation_id} of {', '.join(keys)} is prepared (base: version {found.base_version})"
    it.run.did("S3", words)
    return journal


def _new_value(it: Rotation, key: str, brought: Mapping[str, str]) -> str:
    if key in brought:
        return brought[key]
    policy = it.policies.get(key, KeyPolicy())
    if policy.generated:
        return generate(policy)
    raise AgentError(
        ErrorKind.INVALID,
        f"{it.agent}: {key} is brought by a person, and the inbox has none",
        f"From standard input: {_bring(it, key, brought)}; then run again. A key that is generated has "
        "agent_key_policy: {KEY: {generated: 32}}.",
    )


def _bring(it: Rotation, key: str, brought: Mapping[str, str]) -> str:
    """The command; put would throw away what else lies there."""
    return f"vault kv {'patch' if brought else 'put'} -mount={it.inbox_entry.mount} {it.inbox_entry.path} {key}=-"


def inbox_keeps(it: Rotation, journal: Journal) -> str:
    """A line for a rotation that ended otherwise than it should; '' where nothing was brought."""
    return (
        f"What was brought lies in {it.inbox_entry} still, and would be tried again." if journal.inbox_version else ""
    )


def empty_inbox(it: Rotation, journal: Journal) -> Journal:
    """What was adopted is destroyed, in every version; what a person brought besides, or since, stays."""
    done = journal.inbox_version
    for _turn in range(_TURNS):
        found = it.inbox_entry.read()
        if found is None:
            break
        values, version = found.values, found.version
        adopted = [key for key in journal.keys if values.get(key) == journal.new[key]]
        if not adopted:
            done = min(done, version - 1)
            break
        done = version
        if len(adopted) == len(values):
            break
        # Noted first: a kill behind the patch would leave nothing to know this version by.
        journal = it.write(replace(journal, inbox_version=version))
        try:
            it.inbox_entry.patch(dict.fromkeys(adopted), expected_version=version)
            break
        except CasConflict:
            continue
    it.inbox_entry.destroy(one for one in it.inbox_entry.metadata().remaining if one <= done)
    return journal

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of an agent's rotations: the new values stand here before anything else changes, and nowhere else until
they are promoted. Only the operators' policy may read it, never the agent's own.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, dataclass, field, replace

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind, taken_over
from ansible_collections.digitalsys.agents.plugins.module_utils._vault import names as vault_names
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import CasConflict, Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry, Metadata

#: Of the journal's custom metadata: the key of the digests by which two contents of the secret are told apart. Whoever
#: sees a digest on a Deployment cannot try values without it.
DIGEST_KEY = "digest_key"
_HEXADECIMAL = re.compile("(?:[0-9a-f]{2})+")
SCHEMA = 1
MAX_VERSIONS = 3

PREPARED = "prepared"
PROMOTED = "promoted"
ROLLING_BACK = "rolling_back"
FINISHED = "finished"
ROLLED_BACK = "rolled_back"
ABORTED = "aborted"
SUPERSEDED = "superseded"
CLOSED = (FINISHED, ROLLED_BACK, ABORTED, SUPERSEDED)


@dataclass(frozen=True)
class Journal:
    """One rotation. phase is a hint: every step finds the truth by looking.

    base_version: of Vault, with the old values: from before the promotion, or after the way back.
    stamp: the version in the pod's template when the rotation began.
    containers: those of its pod then, so that a restart since is seen. new: key -> value; {} once it is closed.
    inbox_version: what was taken from the inbox, 0 for nothing. started_at: seconds since 1970 by Vault's clock.
    failure: why it goes back. version: of the journal's own entry.
    """

    rotation_id: str
    keys: tuple[str, ...]
    base_version: int
    started_at: float
    holder: str
    fence: int
    phase: str = PREPARED
    stamp: str = ""
    containers: str = ""
    new: dict[str, str] = field(default_factory=dict, repr=False)
    promoted_version: int = 0
    inbox_version: int = 0
    failure: str = ""
    version: int = 0

    @property
    def closed(self) -> bool:
        return self.phase in CLOSED


def new_id() -> str:
    return secrets.token_hex(6)


def entry(vault: Vault, mount: str, agent: str) -> Entry:
    return Entry(vault, mount, vault_names.journal(agent))


def digest_key(where: Entry) -> str:
    """Hexadecimal; '' where nobody has made one: provision does."""
    key = (where.metadata().told or {}).get(DIGEST_KEY) or ""
    where.vault.keep_secret(key)
    return key if _HEXADECIMAL.fullmatch(key) else ""


def new_digest_key() -> str:
    return secrets.token_hex(32)


def read(where: Entry) -> Journal | None:
    """The newest one, open or closed; None where no rotation ever began."""
    found = where.document()
    if found is None:
        return None
    document, version = found.content, found.version
    if document.pop("schema", None) != SCHEMA:
        raise AgentError(
            ErrorKind.INVALID,
            f"the journal at {where} was written by another version of this collection, or by hand",
            "Finish the rotation with that version. If none is open, destroy the entry: vault kv metadata delete "
            f"-mount={where.mount} {where.path}, then provision.yml.",
        )
    try:
        journal = Journal(**{**document, "keys": tuple(document["keys"]), "version": version})
        where.vault.keep_secret(*journal.new.values())
        if not _is_whole(journal):
            raise ValueError
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise AgentError(
            ErrorKind.INVALID,
            f"the journal at {where} was edited by hand ({type(error).__name__})",
            "Look at it yourself.",
        ) from None
    return journal


def _is_whole(journal: Journal) -> bool:
    """Of an open one, each key has its new value, and nothing else has."""
    values = set() if journal.closed else set(journal.keys)
    known = journal.phase in (PREPARED, PROMOTED, ROLLING_BACK, *CLOSED)
    texts = all(isinstance(value, str) for value in journal.new.values())
    return known and bool(journal.keys) and set(journal.new) == values and texts


def _document(journal: Journal) -> dict[str, object]:
    values = {**asdict(journal), "keys": list(journal.keys), "schema": SCHEMA}
    del values["version"]
    return values


def require_none_open(where: Entry, agent: str, *, despite: bool) -> str:
    """AgentError 'rotation_open' while one is open: whatever starts a pod then would prove half of it, and record that.
    despite: a person says to go on; then what is open, in words, else ''."""
    journal = read(where)
    if journal is None or journal.closed:
        return ""
    words = f"rotation {journal.rotation_id} of {', '.join(journal.keys)} is open ({journal.phase})"
    if despite:
        return words
    again = f"ansible-playbook playbooks/rotate.yml -e agent={agent}"
    raise AgentError(
        ErrorKind.ROTATION_OPEN,
        f"{agent}: {words}: a pod that starts now may have a value that is taken back later",
        f"Finish it: {again}, or undo it: {again} -e abort=true\nIn an emergency: -e despite_rotation=true",
        {"rotation": {"id": journal.rotation_id, "keys": list(journal.keys), "phase": journal.phase}},
    )


def write(where: Entry, journal: Journal) -> Journal:
    """Under check-and-set on the version that was read. AgentError 'lock_lost' where another run wrote meanwhile."""
    try:
        version = where.write(_document(journal), expected_version=journal.version)
    except CasConflict:
        found = read(where)
        if found is None or _document(found) != _document(journal):
            raise taken_over(f"the rotation {journal.rotation_id}") from None
        version = found.version  # our own write, whose answer was lost
    return replace(journal, version=version)


def close(where: Entry, journal: Journal, phase: str) -> Journal:
    """No value stays: not in the newest version, nor in those before it."""
    closed = write(where, replace(journal, phase=phase, new={}))
    sweep(where, closed)
    return closed


def sweep(where: Entry, closed: Journal) -> None:
    """What a killed run may have left: versions from before it was closed. Newer ones are another rotation's."""
    where.destroy(number for number in where.metadata().remaining if number < closed.version)


def leftovers(place: Metadata, newest: Journal | None) -> bool:
    """Whether there is something to sweep behind a closed journal."""
    return newest is not None and newest.closed and any(number < newest.version for number in place.remaining)

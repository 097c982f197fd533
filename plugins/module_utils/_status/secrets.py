# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of the agents' secrets what costs reads of Vault: what stands where, what is open, what ends. No value among it.

What may not be read is no failure: the fact stays unknown, and a note says what is missing.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import (
    has_digest,
    is_same,
    names_entry,
    version_of,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import stamp as stamp_line
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import SECRET_ID_ENDS_SOON
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.access import (
    Access,
    SecretId,
    read_access,
    secret_id_state,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import decoded, unequal_keys
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.values import missing_keys, stamp_of
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import SECRET
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home, check_mount, home
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import PLACE
from ansible_collections.digitalsys.agents.plugins.module_utils._options.duration import in_words
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.due import BEGUN_AGAIN
from ansible_collections.digitalsys.agents.plugins.module_utils._vault import names as vault_names
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import (
    FromElsewhere,
    LockedOut,
    Refused,
    Vault,
    locked_out,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry, Kept, Metadata, no_values

Values = dict[str, str]

UNKNOWN = "unknown"
EQUAL = "equal"
BEHIND = "behind"
MISSING = "missing"
CURRENT = "current"
PENDING = "pending restart"
VALID = "valid"
ENDS_SOON = "ends soon"
ENDED = "ended"
REFUSED = "refused"
LOCKED_OUT = "locked out"

_VALIDATOR = ArgumentSpecValidator(PLACE)


@dataclass(frozen=True)
class Place(Home):
    """Where an agent's secret stands, and how ESO logs in for it. approle_role_id: '' for the one in the Secret."""

    approle_mount: str
    approle_role_id: str


@dataclass(frozen=True)
class Servers:
    """now: seconds since 1970 by Vault's clock."""

    kube: Kube
    vault: Vault
    context: Context
    now: float


def place_of(name: str, namespace: str, options: Any) -> Place:
    """options: what the inventory says otherwise than by default; None counts as not said."""
    try:
        if not isinstance(options, Mapping):
            raise AgentError(ErrorKind.INVALID, "its place is no mapping")
        checked = _VALIDATOR.validate({option: value for option, value in options.items() if value is not None})
        if checked.error_messages:
            raise AgentError(ErrorKind.INVALID, checked.error_messages[0])
        given = checked.validated_parameters
        return Place(
            **vars(home({**given, "name": name, "namespace": namespace})),
            approle_mount=check_mount(given["approle_mount"], "approle_mount"),
            approle_role_id=given["approle_role_id"] or "",
        )
    except AgentError as error:
        raise error.of(f"places: {name}") from None


def ask_vault(kube: Kube, params: Object, context: Context) -> Servers:
    """Logged in. A token that has ended is one clear error here, and not a question mark in every cell."""
    vault = Vault(params, context)
    try:
        vault.capabilities("sys/capabilities-self")
        return Servers(kube, vault, context, vault.now())
    except AgentError:
        vault.close()
        raise


def unknown() -> Object:
    """Facts of an agent of which nothing could be read. None: not known; 0, '', [], {}: known that there is none."""
    return {
        "vault_version": None,
        "missing_keys": None,
        "in_secret": UNKNOWN,
        "unequal_keys": [],
        "in_pod": UNKNOWN,
        "rotation": None,
        "secret_id": UNKNOWN,
        "secret_id_expires": None,
        "secret_id_seconds_left": None,
        "journal_exposed": None,
        "notes": [],
    }


def secret_facts(agent: Object, place: Place, at: Servers) -> Object:
    """agent: as _info describes it."""
    facts = unknown()
    notes: list[str] = facts["notes"]
    with Noting(notes):
        facts["rotation"] = _rotation(place, at, notes)
    facts.update(_copies(agent, place, at, notes, rotating=bool(facts["rotation"])))
    with Noting(notes):
        facts.update(_access(place, at, notes))
    return facts


class Noting:
    """A refusal within it becomes a note, and what was to be found out stays unknown. A server that is sealed or out of
    reach is everybody's failure, and goes on up."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, AgentError) or error.kind in (ErrorKind.UNAVAILABLE, ErrorKind.UNAUTHORIZED):
            return False
        if error.kind is ErrorKind.VAULT and not isinstance(error, Refused):
            return False
        forbidden = error.kind is ErrorKind.FORBIDDEN
        self._notes.append("this identity may not get its Secrets" if forbidden else error.message.splitlines()[0])
        return True


# Vault, the Secret, the pod


def in_secret(newest: Values, there: Values | None) -> Object:
    """there: what the Secret holds; None where there is no Secret."""
    if there is None:
        return {"in_secret": MISSING}
    unequal = unequal_keys(newest, there)
    return {"in_secret": BEHIND if unequal else EQUAL, "unequal_keys": unequal}


def in_pod(same: bool, secret: str) -> str:
    """same: the pod was started with the values that are Vault's newest, whatever their version's number: an aborted
    rotation, or one that was taken back, leaves a new number with the old content."""
    if same:
        return CURRENT
    return PENDING if secret == EQUAL else BEHIND


def _copies(agent: Object, place: Place, at: Servers, notes: list[str], *, rotating: bool) -> Object:
    """rotating: a rotation is open, so what is not equal yet is its to mend, and no rollout's."""
    entry = Entry(at.vault, place.vault_mount, place.vault_path)
    line = agent["secret_stamp"]
    stamp = version_of(line)
    facts: Object = {"in_pod": "" if agent["health"] == "missing" else UNKNOWN}
    newest: Kept | None = None
    with Noting(notes):
        newest = entry.read() or Kept({}, 0, {})
    if newest is None:
        found = Metadata()
        with Noting(notes):
            found = entry.metadata()
            facts["vault_version"] = found.current or 0
        # Without the values the same version says something, another one nothing.
        begun_again = bool(agent["secret_of_container"])
        if found.current and not begun_again and is_same(line, stamp_line(found.last, str(entry), found.written)):
            facts["in_pod"] = CURRENT
        return facts
    values, version = newest.values, newest.version
    facts.update(vault_version=version, missing_keys=missing_keys(place.required_keys, values))
    if not version:
        with Noting(notes):
            metadata = entry.metadata()
            error = no_values(entry, metadata, place.name)
            notes.append(f"{error.message.removeprefix(f'{place.name}: ')}. {error.hint}")
        return facts
    if missing := facts["missing_keys"]:
        told = f"vault kv patch -mount={place.vault_mount} {place.vault_path} {missing[0]}=-"
        notes.append(f"Vault lacks {', '.join(missing)}: {told}")
    live = None
    with Noting(notes):
        live = at.kube.get(SECRET, place.namespace, names.env_secret(place.name))
        facts.update(in_secret(values, None if live is None else decoded(live, at.context)))
    if facts.get("in_secret") == BEHIND and not rotating:
        notes.append(f"the Secret is behind Vault in {', '.join(facts['unequal_keys'])}: rollout.yml makes ESO copy it")
    if facts.get("in_secret") == MISSING and agent["health"] != "missing":
        notes.append(f"Secret {names.env_secret(place.name)} is not there: ESO makes it, after a rollout.yml")
    if stamp.isdecimal():
        with Noting(notes):
            same = _is_same(line, newest, entry, journals.entry(at.vault, place.vault_mount, place.name))
            facts["in_pod"] = in_pod(same, facts.get("in_secret", UNKNOWN))
    begun_with = agent["secret_of_container"]
    if begun_with and (live is None or live["metadata"]["resourceVersion"] != begun_with):
        facts["in_pod"] = UNKNOWN
        notes.append(f"{BEGUN_AGAIN}: rollout.yml")
    if facts["in_pod"] == PENDING and not rotating:
        notes.append(f"the pod was started with version {stamp}, Vault has {version}: rollout.yml makes a new one")
    return facts


def _is_same(line: str, newest: Kept, entry: Entry, journal: Entry) -> bool:
    """Whether the pod was started with the values that are the newest. line: its stamp."""
    now = stamp_line(newest.version, str(entry), newest.written)
    if is_same(line, now):
        return True
    if has_digest(line):
        return is_same(line, stamp_of(newest, entry, journals.digest_key(journal)))
    # The version that it names may be another one's by now, where the entry was made anew.
    stamped = None if names_entry(line) else entry.read(int(version_of(line)))
    return stamped is not None and not unequal_keys(newest.values, stamped.values)


# Rotations


def _rotation(place: Place, at: Servers, notes: list[str]) -> Object:
    """Of an open one what it is called, its phase, keys and age; {} where none is open. Never its new values."""
    where = journals.entry(at.vault, place.vault_mount, place.name)
    journal = journals.read(where)
    if journal is None or journal.closed:
        return {}
    try:
        age = max(0, int(at.now - journal.started_at))
    except TypeError:
        raise AgentError(
            ErrorKind.INVALID, f"the journal at {where} was edited by hand: started_at is no number"
        ) from None
    keys = [str(key) for key in journal.keys]
    notes.append(
        f"rotation {journal.rotation_id} of {', '.join(keys)} is open for {in_words(age)} ({journal.phase}): "
        "rotate.yml goes on with it, -e abort=true takes it back"
    )
    return {"rotation_id": journal.rotation_id, "phase": journal.phase, "keys": keys, "age_seconds": age}


# ESO's access


def lasting(state: SecretId | None, login: str, now: float) -> Object:
    """state: of the SecretID in the Secret; None where Vault does not know it, or does not say. login: how one with it
    ended, VALID, REFUSED or LOCKED_OUT; UNKNOWN where that was not to be found out."""
    facts: Object = {"secret_id": login}
    if state is not None:
        facts["secret_id_expires"] = state.expires
        facts["secret_id"] = (
            ENDED if state.has_ended(now) else ENDS_SOON if state.has_ended(now + SECRET_ID_ENDS_SOON) else VALID
        )
        if state.expires:
            end = datetime.datetime.fromisoformat(state.expires).timestamp()
            facts["secret_id_seconds_left"] = max(0, int(end - now))
    if facts["secret_id"] != ENDED and login in (REFUSED, LOCKED_OUT):
        facts["secret_id"] = login
    return facts


def _login(place: Place, at: Servers, access: Access, state: SecretId | None, notes: list[str]) -> tuple[str, Object]:
    """How a login with its SecretID ends (VALID, REFUSED, LOCKED_OUT, or UNKNOWN where that cannot be asked), and what
    ESO may do that it should not."""
    role_id = place.approle_role_id or access.role_id
    if not role_id:
        notes.append(
            f"Secret {names.approle_secret(place.name)} has no role-id: whether its SecretID works is not known"
        )
        return UNKNOWN, {}
    if state and state.uses_left:
        # Each look would use one of them up.
        notes.append(
            f"its SecretID is good for {state.uses_left} more logins, and ESO needs one each time: "
            f"provision.yml -e agent={place.name} takes that end from its role, and then "
            f"rotate_access.yml -e agent={place.name} makes another one"
        )
        return VALID, {}
    path = f"{place.vault_mount}/data/{vault_names.journal(place.name)}"
    try:
        with at.vault.logged_in(place.approle_mount, role_id, access.secret_id) as eso:
            if eso is None:
                return REFUSED, {}
            is_exposed = bool({"read", "root"} & set(eso.capabilities(path)[path]))
    except FromElsewhere:
        notes.append("its SecretID may not log in from this machine's address: whether ESO can is not known here")
        return UNKNOWN, {}
    except LockedOut:
        return LOCKED_OUT, {}
    if is_exposed:
        policy = vault_names.policy(place.name)
        notes.append(
            f"ESO may read the journal of rotations, {path}: some hand has widened its policy, as vault policy read "
            f"{policy} shows"
        )
    return VALID, {"journal_exposed": is_exposed}


def _access(place: Place, at: Servers, notes: list[str]) -> Object:
    name = names.approle_secret(place.name)
    role = vault_names.role(place.name)
    live = at.kube.get(SECRET, place.namespace, name)
    access = read_access(live, at.context) if live is not None else None
    if access is None or not access.secret_id:
        notes.append(f"Secret {name} has no SecretID for ESO: provision.yml makes one")
        return {"secret_id": MISSING}
    state: SecretId | None = None
    asked = False
    login = UNKNOWN
    facts: Object = {}
    with Noting(notes):
        # By its value, as a renewal asks: the accessor that the Secret names may be another one's.
        state = secret_id_state(at.vault, place.approle_mount, role, value=access.secret_id)
        asked = True
    with Noting(notes):
        login, facts = _login(place, at, access, state, notes)
    facts.update(lasting(state, login, at.now))
    again = f"rotate_access.yml -e agent={place.name}"
    if facts["secret_id"] == REFUSED:
        notes.append(f"its SecretID does not log in, so ESO copies nothing: {again}")
    elif facts["secret_id"] == LOCKED_OUT:
        notes.append(f"{locked_out(role)}; ESO copies nothing: {again}")
    elif facts["secret_id"] == ENDED:
        notes.append(f"its SecretID ended at {facts['secret_id_expires']}, so ESO copies nothing: {again}")
    elif facts["secret_id"] == ENDS_SOON:
        notes.append(f"its SecretID ends in {in_words(facts['secret_id_seconds_left'])}: {again}")
    elif asked and state is None and login == VALID:
        notes.append(f"its SecretID logs in, but is none of AppRole {role}: when it ends is not known")
    return facts

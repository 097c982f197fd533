# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotation of one agent's secrets: written to the journal, promoted, proved in the running pod, finished;
or everything back. Begun again with the same words, it goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind, never_still
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import check_vault
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.refresh import require_syncing
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import (
    EXEC_NEEDS,
    PROBE_NEEDS,
    ROLLOUT_NEEDS,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import require_volume
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import Journal
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    EXTERNAL_SECRET,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import variables_of
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home, check_key, home
from ansible_collections.digitalsys.agents.plugins.module_utils._options.key_policy import (
    KeyPolicy,
    check_value,
    of_options,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._options.names import check_run_id
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import refuse_second_owner
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.decisions import (
    check_told,
    is_asked_again,
    next_step,
    require_same,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.preflight import (
    require_base_survives,
    require_capabilities,
    require_journal,
    require_settled,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.state import Rotation, failed
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.steps import STEPS
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.values import (
    due_or_brought,
    find_values,
    inbox_keeps,
    prepare,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import session
from ansible_collections.digitalsys.agents.plugins.module_utils._vault import names as vault_names
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.home import mark, require_home
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry, require_kv2

#: All that it may patch: what its restart and its sync touch.
_FENCED = (EXTERNAL_SECRET, DEPLOYMENT, CONFIG_MAP)
#: Each turn does something, or meets somebody else's write.
_TURNS = 12


@dataclass(frozen=True)
class _Asked:
    """What was asked for, checked before any request."""

    agent: Home
    policies: dict[str, KeyPolicy]
    keys: list[str]
    new_value: str
    rotation_id: str
    abort: bool


def _asked(params: Params) -> _Asked:
    policies = of_options(params["key_policy"])
    keys = sorted({check_key(key.strip(), "keys") for key in params["keys"]})  # "A, B" is how people write it
    value = "" if params["new_value"] is None else params["new_value"]
    if value != "":
        if len(keys) != 1:
            raise AgentError(ErrorKind.INVALID, "new_value is for one key", "Give keys=NAME beside it, and only one.")
        check_value(keys[0], value, policies.get(keys[0], KeyPolicy()))
    if params["abort"] and keys:
        raise AgentError(
            ErrorKind.INVALID, "abort and keys are both given", "abort takes back whatever rotation is open."
        )
    rotation_id = check_run_id(params["rotation_id"], "rotation_id")
    return _Asked(home(params), policies, keys, value, rotation_id, params["abort"])


def rotate(params: Params, context: Context) -> Result:
    """The whole operation for one agent. AgentError for every failure, with the steps that were done."""
    asked = _asked(params)
    agent = asked.agent
    with session(agent, params, context) as run:
        vault = run.log_in()
        require_kv2(vault, agent.vault_mount)
        it = Rotation(
            run,
            vault,
            asked.policies,
            journals.entry(vault, agent.vault_mount, agent.name),
            Entry(vault, agent.vault_mount, agent.vault_path),
            Entry(vault, agent.vault_mount, vault_names.inbox(agent.name)),
            abort=asked.abort,
        )
        try:
            return _rotate(it, asked)
        except AgentError as error:
            raise it.told_of(error) from None


def _rotate(it: Rotation, asked: _Asked) -> Result:
    run = it.run
    agent = asked.agent
    require_capabilities(agent, it.vault)
    place = require_journal(agent, it.journal_entry)
    journal = journals.read(it.journal_entry)
    if journal and not journal.closed:
        # Nothing else is looked at: an open rotation must always be able to end.
        require_same(journal, asked.keys, asked.new_value)
        keys = list(journal.keys)
    elif asked.abort or (journal and is_asked_again(journal, asked.rotation_id, asked.keys)):
        keys = []
    else:
        keys = asked.keys or due_or_brought(it)
        if keys:
            _preflight(it, keys, asked.new_value)
    # The last writes of a killed run may be all but the release of its lock, or the end of old values: that is still to
    # be done.
    left = run.is_held() or journals.leftovers(place, journal)
    if not keys and (run.context.check_mode or not left):
        return _nothing_to_do(it, asked, journal)
    if run.context.check_mode:
        return _foretell(it, journal, keys)
    if journal:
        run.saw(journal.fence)
    try:
        with run.locked("S2", *_FENCED, force=bool(keys)) as lock:
            return _locked(it, asked, lock, journal, keys, place.last)
    except AgentError as error:
        if error.kind is ErrorKind.LOCKED and not keys and not asked.abort:
            return _nothing_to_do(it, asked, journal)  # whoever works on the agent is none of this run's business
        raise


def _locked(
    it: Rotation, asked: _Asked, lock: Lock, before: Journal | None, keys: list[str], journal_version: int
) -> Result:
    """before: the journal as it was seen without the lock."""
    journal = journals.read(it.journal_entry)
    if journal and not journal.closed:
        require_same(journal, asked.keys, asked.new_value)
        journal = _go(it, _take_over(it, journal, lock))
        if it.abort and (words := inbox_keeps(it, journal)):
            it.run.warnings.append(f"{it.agent}: {words}")
        return _result(it, journal, changed=True)
    if journal:
        seen_open = before is not None and not before.closed
        if seen_open or _ended_unreported(it, journal, lock, asked, keys):
            return _already(it, journal)
        if keys and journal.version != (before.version if before else 0):
            # Another rotation came and went since the keys were looked for.
            keys = asked.keys or due_or_brought(it)
        if not keys or is_asked_again(journal, asked.rotation_id, asked.keys):
            it.sweep(journal)
            return _nothing_to_do(it, asked, journal)
        journal_version = journal.version
    elif not keys:
        return _nothing_to_do(it, asked, None)
    prepared = prepare(
        it, lock, keys, new_value=asked.new_value, rotation_id=asked.rotation_id, journal_version=journal_version
    )
    return _result(it, _go(it, prepared), changed=True)


def _preflight(it: Rotation, keys: list[str], new_value: str) -> None:
    """What must be so before the first write."""
    run = it.run
    run.require(ROLLOUT_NEEDS + (PROBE_NEEDS if run.params["verify"] != "ready" else ()))
    if run.params["verify"] == "exec":
        run.require(EXEC_NEEDS, "operator-exec")
    run.require_not_frozen()
    metadata = it.live_entry.metadata()
    require_home(it.live_entry, metadata.told, mark(run.cluster_uid, run.agent.namespace, it.agent), it.agent)
    require_base_survives(run.agent, metadata, it.vault)
    check_told(keys, metadata.told or {})
    agent = run.agent
    live = run.look()
    require_volume(live, agent)
    run.require_alone(live)
    refuse_second_owner(run.agent, live)
    require_settled(run.agent, live)
    check_vault(run.agent, it.vault, variables_of(live.deployment) if live.deployment else (), keys)
    require_syncing(run.agent, run.kube)
    find_values(it, keys, new_value)


def _take_over(it: Rotation, journal: Journal, lock: Lock) -> Journal:
    """Begun by another run. One that still lives meets another version of the journal from here on."""
    it.adopted = True
    journal = it.write(replace(journal, holder=lock.identity, fence=lock.fence))
    it.run.did("S2", f"going on with rotation {journal.rotation_id} of {', '.join(journal.keys)} ({journal.phase})")
    return journal


def _go(it: Rotation, journal: Journal) -> Journal:
    for _turn in range(_TURNS):
        if journal.closed:
            return journal
        journal = STEPS[next_step(journal.phase, it.standing(journal).where, abort=it.abort)](it, journal)
    if journal.closed:
        return journal
    again = "run the same command again: the rotation goes on"
    raise never_still(f"{it.agent}: Vault's {it.live_entry}", "vault kv metadata get", again)


def _ended_unreported(it: Rotation, journal: Journal, lock: Lock, asked: _Asked, keys: list[str]) -> bool:
    """Whether it was killed between its last step and the release of its lock, and is what is asked for: then that is
    done. keys: what would be rotated now."""
    if lock.previous_identity != journal.holder or (keys and sorted(keys) != sorted(journal.keys)):
        return False
    if keys and not asked.keys:
        return False  # due or brought since
    if asked.new_value:
        live = it.live_entry.read()
        return live is not None and live.values.get(keys[0]) == asked.new_value
    brought = it.inbox_entry.read()
    # A rotation that finished has taken out of the inbox what it was of.
    return journal.phase != journals.FINISHED or brought is None or brought.values.keys().isdisjoint(keys)


def _already(it: Rotation, journal: Journal) -> Result:
    """Under the lock: it is closed, and this run was asked for that one."""
    it.sweep(journal)
    return _as_it_ended(it, journal)


def _as_it_ended(it: Rotation, journal: Journal) -> Result:
    words = f"rotation {journal.rotation_id} of {', '.join(journal.keys)} is {journal.phase.replace('_', ' ')} already"
    if journal.phase != journals.FINISHED and not it.abort:
        raise failed(it, [words, journal.failure], "Rotate again, under another rotation_id if you give one.")
    it.run.step("S2", words)
    return _result(it, journal, changed=False)


def _nothing_to_do(it: Rotation, asked: _Asked, journal: Journal | None) -> Result:
    """journal: the newest, closed."""
    if journal and journal.rotation_id == asked.rotation_id:
        return _as_it_ended(it, journal)
    it.run.context.progress(f"{it.agent}: {'no rotation is open' if it.abort else 'nothing is due'}")
    return _result(it, None, changed=False)


def _foretell(it: Rotation, journal: Journal | None, keys: list[str]) -> Result:
    begun = journal is not None and not journal.closed
    what = "would take back" if it.abort else "would go on with" if begun else "would rotate"
    it.run.step("S3", f"{what} {', '.join(keys)}")
    return {**_result(it, journal if begun else None, changed=True), "keys": keys}


def _result(it: Rotation, journal: Journal | None, *, changed: bool) -> Result:
    return it.run.result(
        changed=changed,
        rotation_id=journal.rotation_id if journal else None,
        keys=list(journal.keys) if journal else [],
        phase=journal.phase if journal else None,
        base_version=journal.base_version if journal else None,
        promoted_version=(journal.promoted_version or None) if journal else None,
        secret_version=it.secret_version or None,
        pod=it.run.pod,
        release=it.release or None,
    )

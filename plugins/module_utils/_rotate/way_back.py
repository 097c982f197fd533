# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation that does not end as it should: taken back, aborted, or given up to what somebody else wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.scrub import Scrubber
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.sync import outlast
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import Journal
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import DEPLOYMENT
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.bring_up import Failed, SecretMoved
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.decisions import (
    Standing,
    edited_keys,
    kept_keys,
    old_values,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.pod import prove_secret, restart
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.state import Rotation, failed
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.values import inbox_keeps

_FAILURE_LENGTH = 600


def _whole_lines(words: str) -> str:
    """As many of them as the journal keeps; of the first at least its beginning."""
    kept = ""
    for line in words.splitlines():
        if kept and len(kept) + 1 + len(line) > _FAILURE_LENGTH:
            break
        kept = f"{kept}\n{line}" if kept else line[:_FAILURE_LENGTH]
    return kept


def turn_back(it: Rotation, journal: Journal, failure: str) -> Journal:
    """Written first: from here on no run goes forward with it any more."""
    words = Scrubber(it.run.context.secrets).text(failure)
    it.run.did("back", f"going back: {words.splitlines()[0][:200]}")
    return it.write(replace(journal, phase=journals.ROLLING_BACK, failure=_whole_lines(words)))


def restore(it: Rotation, journal: Journal) -> Journal:
    """The old values, under check-and-set: whoever writes first is looked at again."""
    if journal.phase != journals.ROLLING_BACK:
        return turn_back(it, journal, "it was taken back (abort)")
    base = it.base(journal)
    where, seen = it.standing(journal)
    if where is not Standing.NEW:
        return journal
    if base is None:
        raise failed(
            it,
            [journal.failure, f"Vault has destroyed version {journal.base_version}, which had the old values."],
            f"Put the values yourself, from standard input: vault kv patch -mount={it.live_entry.mount} "
            f"{it.live_entry.path} {journal.keys[0]}=-; then run again.",
        )
    version = it.patch(old_values(journal, base), seen)
    if version is None:
        return journal
    it.run.did("back", f"Vault's {it.live_entry} has the old values again (version {version})")
    # Vault keeps so many versions: from here on this is the one that has the old values.
    return it.write(replace(journal, base_version=version))


def _outlast(it: Rotation) -> str:
    """Once ESO has ended what it had under way ''; where that is not known, what a person has to look at."""
    it.run.context.progress(f"{it.agent}: asking ESO to sync now, and waiting for what it has under way")
    why = outlast(it.run.agent, it.run.kube, it.run.writer, it.run.params["sync_timeout"])
    if not why:
        return ""
    return (
        f"{why}. What it had under way could still bring the values that were taken back: "
        f"status.yml -e agent={it.agent} -e secrets=true"
    )


def prove_old(it: Rotation, journal: Journal) -> Journal:
    """Proved with the old values; ends in failure, with both stories, unless it was asked for."""
    try:
        doubt = _outlast(it)
        proof = prove_secret(it)
        if it.standing(journal).where is not Standing.OLD:
            return journal  # somebody wrote to it meanwhile
        # A pod that was never restarted runs the old values still.
        stamp = it.run.look(DEPLOYMENT).stamp
        kept = stamp == journal.stamp and it.containers() == journal.containers != ""
        restart(it, proof, journal.stamp if kept else proof.stamp)
    except SecretMoved:
        return journal
    except (AgentError, Failed) as error:
        if isinstance(error, AgentError) and error.kind is not ErrorKind.SECRET:
            raise
        words = error.diagnosis.line() if isinstance(error, Failed) else error.message.removeprefix(f"{it.agent}: ")
        raise failed(
            it,
            [journal.failure, f"Going back is not finished: {words}"],
            "The journal keeps it open. Mend that, then run the same command again: it goes on from here.",
        ) from None
    if it.standing(journal).where is not Standing.OLD:
        return journal
    journal = it.close(journal, journals.ROLLED_BACK)
    it.run.did("back", f"rotation {journal.rotation_id} is rolled back; {it.agent} runs with the old values, verified")
    if it.abort:
        if doubt:
            it.run.warnings.append(f"{it.agent}: {doubt}")
        return journal
    lines = [
        journal.failure,
        f"Everything is back: {it.agent} runs with the old values, verified.",
        doubt,
        inbox_keeps(it, journal),
    ]
    again = f"ansible-playbook playbooks/rotate.yml -e agent={it.agent} -e keys={','.join(journal.keys)}"
    raise failed(it, lines, f"Mend it, then rotate again: {again}")


def abort(it: Rotation, journal: Journal) -> Journal:
    """Nothing was promoted. A run that is thought dead may still be about to: it must then meet another version. Where
    it was faster the journal comes back open, for another look."""
    if it.adopted:
        where, seen = it.standing(journal)
        if where is Standing.NEW or it.patch({}, seen) is None:
            return journal
    journal = it.close(journal, journals.ABORTED)
    it.run.did("abort", f"rotation {journal.rotation_id} is aborted; its values are destroyed")
    return journal


def overwritten(it: Rotation, journal: Journal) -> Journal:
    """Somebody changed a key of ours before it was promoted; or wrote so often that what to go back to has gone."""
    base_is_gone = it.base(journal) is None
    journal = abort(it, journal)
    if it.abort or not journal.closed:
        return journal
    lines = [
        f"{', '.join(journal.keys)}: somebody wrote other values to Vault's {it.live_entry} meanwhile.",
        "Theirs stand; nothing of them was overwritten.",
        inbox_keeps(it, journal),
    ]
    if base_is_gone:
        lines[0] = f"Vault has destroyed version {journal.base_version} of {it.live_entry}, which had the old values."
        lines[1] = "What was written since stands; nothing of it was overwritten."
    raise failed(it, lines, f"Bring them into the pod: ansible-playbook rollout.yml -e agent={it.agent}")


def give_way(it: Rotation, journal: Journal) -> Journal:
    """Somebody changed a key of ours after it was promoted: their value stays. The other keys of ours, which nobody has
    proved, get their old values again."""
    found = it.live_entry.read()
    base = it.base(journal)
    if found is None:
        return journal
    ours = kept_keys(journal, found.values)
    if ours and base is not None:
        version = it.patch({key: base.get(key) for key in ours}, found.version)
        if version is None:
            return journal
        it.run.did("back", f"Vault's {it.live_entry} has the old {', '.join(ours)} again (version {version})")
    theirs = ", ".join(edited_keys(journal, found.values, base))
    unproved = f"{', '.join(ours)}: the new value stays, which nobody has proved." if ours and base is None else ""
    journal = it.close(journal, journals.SUPERSEDED)
    words = f"{theirs}: somebody wrote other values to Vault's {it.live_entry} after the promotion."
    if it.abort:
        it.run.warnings.append(
            f"{it.agent}: {words} Theirs stand; rollout.yml -e agent={it.agent} brings them into the pod."
        )
        return journal
    lines = [journal.failure, f"{words} Theirs stand; the rotation is closed.", unproved, inbox_keeps(it, journal)]
    raise failed(it, lines, f"Bring them into the pod: ansible-playbook rollout.yml -e agent={it.agent}")


def stop(it: Rotation, journal: Journal) -> NoReturn:
    found = it.live_entry.metadata()
    if found.last in found.remaining:
        hint = f"vault kv undelete -mount={it.live_entry.mount} -versions={found.last} {it.live_entry.path}"
        raise failed(it, [f"Vault's {it.live_entry} was deleted (version {found.last})."], f"{hint}; then run again.")
    words = f"Vault's {it.live_entry} was destroyed" + (f" (version {found.last})." if found.last else " as a whole.")
    path = f"-mount={it.live_entry.mount} {it.live_entry.path}"
    readable = max(found.readable, default=0)
    hint = f"vault kv rollback -version={readable} {path}" if readable else "Put the values there again (provision.yml)"
    raise failed(it, [words, f"Its rotation is open ({journal.phase})."], f"{hint}; then run again.")

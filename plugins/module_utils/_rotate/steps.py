# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The effects of a rotation, a function for each step of decisions.Step: the journal it was, the journal it is now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import version_of
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import (
    AgentError,
    ErrorKind,
    VolumeTroubled,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import other_volume
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import Journal
from ansible_collections.digitalsys.agents.plugins.module_utils._options.key_policy import KeyPolicy
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.bring_up import Failed, SecretMoved
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.diagnosis import SOMEBODY_ELSES
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import MEMORY
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.decisions import (
    Standing,
    Step,
    standing,
    tidings,
    vanished,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.pod import prove_secret, restart, verify_keys
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.preflight import gone
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.state import Rotation, failed
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.trial import refusal
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.values import empty_inbox, inbox_keeps
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.way_back import (
    abort,
    give_way,
    overwritten,
    prove_old,
    restore,
    stop,
    turn_back,
)


def promote(it: Rotation, journal: Journal) -> Journal:
    """Tried out, then promoted. Where somebody wrote first it comes back unpromoted, for another look."""
    found = it.live_entry.read()
    base = it.base(journal)
    if found is None or base is None or standing(journal, found.values, base) is not Standing.OLD:
        return journal
    if found.version != journal.base_version:
        # Another key was changed meanwhile: that edit is kept, and what to go back to is from now on.
        it.run.warnings += gone(it.run.agent, vanished(journal, found.values, base))
        journal = it.write(replace(journal, base_version=found.version))
    for key in journal.keys:
        policy = it.policies.get(key, KeyPolicy())
        if policy.test:
            if words := refusal(key, journal.new[key], policy.test):
                journal = abort(it, journal)
                if not journal.closed:
                    return journal
                raise failed(it, [f"{words}.", _untouched(it), inbox_keeps(it, journal)])
            it.run.step("S4", f"the new {key} passed its test")
    version = it.patch(journal.new, journal.base_version)
    if version is None:
        return journal
    it.run.did("S5", f"promoted: Vault's {it.live_entry} is version {version}")
    return it.write(replace(journal, phase=journals.PROMOTED, promoted_version=version))


def adopt(it: Rotation, journal: Journal) -> Journal:
    """The promotion was done, by a run that could not note it any more."""
    version = it.standing(journal).version
    it.run.did("S5", f"was promoted: Vault's {it.live_entry} is version {version}")
    return it.write(replace(journal, phase=journals.PROMOTED, promoted_version=version))


def prove_new(it: Rotation, journal: Journal) -> Journal:
    """In the Secret, in the pod, by the gateway; then finished, or turned back."""
    try:
        proof = prove_secret(it)
    except AgentError as error:
        if error.kind is not ErrorKind.SECRET:
            raise
        if it.standing(journal).where is not Standing.NEW:
            return journal
        return turn_back(it, journal, error.message.removeprefix(f"{it.agent}: "))
    found = it.live_entry.read()
    base = it.base(journal)
    if found is None or standing(journal, found.values, base) is not Standing.NEW:
        return journal
    it.run.step("S6", f"the Secret holds what Vault has (version {version_of(proof.stamp)})")
    it.run.warnings += gone(it.run.agent, vanished(journal, found.values, base or {}))
    try:
        restart(it, proof, proof.stamp)
        verify_keys(it, journal, base or {})
    except SecretMoved:
        return journal  # somebody wrote while the pod came up: once more, with what stands there now
    except Failed as failure:
        it.evidence = {"cause": failure.diagnosis.cause, "evidence": failure.diagnosis.evidence}
        if failure.diagnosis.cause in SOMEBODY_ELSES:
            hint = "Nothing was undone, for somebody else is at work. Then run the same command again: it goes on."
            raise failed(it, failure.diagnosis.lines(), hint) from None
        if failure.diagnosis.cause == MEMORY:
            hint = f"Nothing was undone: the old values would meet the same. {other_volume(it.run.agent, it.run.claim)}"
            again = "Then run the same command again: it goes on."
            raise failed(it, failure.diagnosis.lines(), f"{hint}\n{again}") from None
        return turn_back(it, journal, "\n".join(failure.diagnosis.lines()))
    except VolumeTroubled:
        raise
    except AgentError as error:
        if not error.is_refusal:
            raise
        return turn_back(it, journal, error.text().removeprefix(f"{it.agent}: "))
    if it.standing(journal).where is not Standing.NEW:
        return journal  # somebody wrote to it while the pod came up
    return _finish(it, journal)


def _untouched(it: Rotation) -> str:
    if it.adopted:
        return f"It was not promoted: Vault's {it.live_entry} has another version number, and the same values."
    return "It was not promoted: nothing outside the journal was touched."


def _finish(it: Rotation, journal: Journal) -> Journal:
    """S10. Audit without a value, the inbox emptied, then the journal closed."""
    told = tidings(journal, int(it.vault.now()))
    it.live_entry.tell(told)
    if journal.inbox_version:
        journal = empty_inbox(it, journal)
    journal = it.close(journal, journals.FINISHED)
    it.run.did("S10", f"rotation {journal.rotation_id} of {', '.join(journal.keys)} is finished")
    return journal


STEPS: dict[Step, Callable[[Rotation, Journal], Journal]] = {
    Step.PROMOTE: promote,
    Step.ADOPT: adopt,
    Step.PROVE: prove_new,
    Step.RESTORE: restore,
    Step.PROVE_OLD: prove_old,
    Step.ABORT: overwritten,
    Step.YIELD: give_way,
    Step.STOP: stop,
}

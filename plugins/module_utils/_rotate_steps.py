# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The effects of a rotation, a function for each step of _rotation.Step: the journal it was, the journal it is now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NoReturn

from ansible_collections.digitalsys.agents.plugins.module_utils import _journal, _names, _releases
from ansible_collections.digitalsys.agents.plugins.module_utils._bring_up import Failed, bring_up
from ansible_collections.digitalsys.agents.plugins.module_utils._diagnose import Diagnosis
from ansible_collections.digitalsys.agents.plugins.module_utils._errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import Journal
from ansible_collections.digitalsys.agents.plugins.module_utils._keys import KeyPolicy, try_out
from ansible_collections.digitalsys.agents.plugins.module_utils._resources import CONFIG_MAP, DEPLOYMENT
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate_preflight import gone
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate_state import Rotation, failed
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate_values import empty_inbox, inbox_keeps
from ansible_collections.digitalsys.agents.plugins.module_utils._rotation import (
    Standing,
    Step,
    edited_keys,
    kept_keys,
    old_values,
    standing,
    tidings,
    vanished,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._scrub import Scrubber
from ansible_collections.digitalsys.agents.plugins.module_utils._secret import Proof, prove
from ansible_collections.digitalsys.agents.plugins.module_utils._verify import keys_not_proved, require_refusal

_FAILURE_LENGTH = 600


def promote(it: Rotation, journal: Journal) -> Journal:
    """S4, S5. Where somebody wrote first it comes back unpromoted, for another look."""
    found, base = it.live_entry.read(), it.base(journal)
    if found is None or base is None or standing(journal, found[0], base) is not Standing.OLD:
        return journal
    if found[1] != journal.base_version:
        # Another key was changed meanwhile: that edit is kept, and what to go back to is from now on.
        it.run.warnings += gone(it.run.agent, vanished(journal, found[0], base))
        journal = it.write(replace(journal, base_version=found[1]))
    for key in journal.keys:
        policy = it.policies.get(key, KeyPolicy())
        if policy.test:
            try:
                try_out(key, journal.new[key], policy.test)
            except AgentError as error:
                journal = abort(it, journal)
                if not journal.closed:
                    return journal
                lines = [f"{error.message}.", _untouched(it), inbox_keeps(it, journal)]
                raise failed(it, lines) from None
            it.run.step("S4", f"the new {key} passed its test")
    it.run.writer.may_write()
    try:
        version = it.live_entry.patch(journal.new, expected_version=journal.base_version)
    except AgentError as error:
        if error.details.get("cas"):
            return journal
        raise
    it.note("S5", f"promoted: Vault's {it.live_entry} is version {version}")
    return it.write(replace(journal, phase=_journal.PROMOTED, promoted_version=version))


def _untouched(it: Rotation) -> str:
    if it.adopted:
        return f"It was not promoted: Vault's {it.live_entry} has another version number, and the same values."
    return "It was not promoted: nothing outside the journal was touched."


def adopt(it: Rotation, journal: Journal) -> Journal:
    """The promotion was done, by a run that could not note it any more."""
    _standing, version = it.standing(journal)
    it.note("S5", f"was promoted: Vault's {it.live_entry} is version {version}")
    return it.write(replace(journal, phase=_journal.PROMOTED, promoted_version=version))


def prove_new(it: Rotation, journal: Journal) -> Journal:
    """S6 to S10."""
    try:
        proof = _prove(it)
    except AgentError as error:
        if error.kind != "secret":
            raise
        if it.standing(journal)[0] is not Standing.NEW:
            return journal
        return turn_back(it, journal, error.message.removeprefix(f"{it.agent}: "))
    found, base = it.live_entry.read(), it.base(journal)
    if found is None or standing(journal, found[0], base) is not Standing.NEW:
        return journal
    it.run.step("S6", f"the Secret holds what Vault has (version {proof.version})")
    it.run.warnings += gone(it.run.agent, vanished(journal, found[0], base or {}))
    try:
        _restart(it, proof, proof.version)
        _verify(it, journal, base or {})
    except Failed as failure:
        it.evidence = {"cause": failure.diagnosis.cause, "evidence": failure.diagnosis.evidence}
        return turn_back(it, journal, "\n".join(failure.diagnosis.lines()))
    if it.standing(journal)[0] is not Standing.NEW:
        return journal  # somebody wrote to it while the pod came up
    return _finish(it, journal)


def _prove(it: Rotation) -> Proof:
    run = it.run
    return prove(run.agent, run.kube, it.vault, run.writer, run.context, run.params["sync_timeout"])


def _restart(it: Rotation, proof: Proof, stamp: str) -> None:
    """S7, S8: the release that was proved, with the stamp of the secret version that its pod will read."""
    live = it.look(DEPLOYMENT, CONFIG_MAP)
    release = _releases.last_good(live.releases)
    if release is None:
        raise AgentError("rollout", f"{it.agent}: its releases have gone", f"rollout.yml -e agent={it.agent}")
    wanted = _releases.revived(release, stamp)
    before = len(it.run.writer.changes)
    try:
        bring_up(it.run, wanted, live, proof)
    finally:
        if len(it.run.writer.changes) > before:
            it.changes.append("restarted")
    it.release = _releases.record(it.run.agent, it.run.writer, live.releases, wanted, stamp, it.run.by).id
    it.secret_version = stamp


def _verify(it: Rotation, journal: Journal, base: Mapping[str, str]) -> None:
    """S9, beyond what a rollout verifies: the old token is refused; where allowed, every key is asked for."""
    run, how = it.run, it.run.params["verify"]
    if how == "ready":
        return
    namespace = run.agent.namespace
    if _names.GATEWAY_TOKEN in journal.keys and base.get(_names.GATEWAY_TOKEN):
        try:
            require_refusal(run.kube, namespace, run.pod, base[_names.GATEWAY_TOKEN])
        except AgentError as error:
            if error.kind != "verify":
                raise
            raise Failed(Diagnosis("verify", error.message)) from None
        run.step("S9", "the gateway refuses the old token")
    if how == "exec":
        if wrong := keys_not_proved(run.kube, namespace, run.pod, journal.new):
            raise Failed(Diagnosis("verify", f"pod {run.pod} does not have the new value of {', '.join(wrong)}"))
        run.step("S9", f"the pod has the new {', '.join(journal.keys)}")


def _finish(it: Rotation, journal: Journal) -> Journal:
    """S10. Audit without a value, the inbox emptied, then the journal closed."""
    told = tidings(journal, int(it.vault.now()))
    it.run.writer.may_write()
    it.live_entry.tell(told)
    if journal.inbox_version:
        empty_inbox(it, journal)
    journal = it.close(journal, _journal.FINISHED)
    it.note("S10", f"rotation {journal.rotation_id} of {', '.join(journal.keys)} is finished")
    return journal


def turn_back(it: Rotation, journal: Journal, failure: str) -> Journal:
    """Written first: from here on no run goes forward with it any more."""
    words = Scrubber(it.run.context.secrets).text(failure)
    it.note("back", f"going back: {words.splitlines()[0][:200]}")
    return it.write(replace(journal, phase=_journal.ROLLING_BACK, failure=words[:_FAILURE_LENGTH]))


def restore(it: Rotation, journal: Journal) -> Journal:
    """The old values, under check-and-set: whoever writes first is looked at again."""
    if journal.phase != _journal.ROLLING_BACK:
        return turn_back(it, journal, "it was taken back (abort)")
    base, (where, version) = it.base(journal), it.standing(journal)
    if where is not Standing.NEW:
        return journal
    if base is None:
        raise failed(
            it,
            [journal.failure, f"Vault has destroyed version {journal.base_version}, which had the old values."],
            f"Put the values yourself, from standard input: vault kv patch -mount={it.live_entry.mount} "
            f"{it.live_entry.path} {journal.keys[0]}=-; then run again.",
        )
    it.run.writer.may_write()
    try:
        version = it.live_entry.patch(old_values(journal, base), expected_version=version)
    except AgentError as error:
        if error.details.get("cas"):
            return journal
        raise
    it.note("back", f"Vault's {it.live_entry} has the old values again (version {version})")
    return journal


def prove_old(it: Rotation, journal: Journal) -> Journal:
    """S6 to S9 with the old values; ends in failure, with both stories, unless it was asked for."""
    try:
        proof = _prove(it)
        # A pod that was never restarted runs the old values still.
        stamp = it.look(DEPLOYMENT).template_annotation(_names.SECRET_VERSION)
        kept = stamp == journal.stamp and it.containers() == journal.containers != ""
        _restart(it, proof, journal.stamp if kept else proof.version)
    except (AgentError, Failed) as error:
        if isinstance(error, AgentError) and error.kind != "secret":
            raise
        words = error.diagnosis.line() if isinstance(error, Failed) else error.message.removeprefix(f"{it.agent}: ")
        raise failed(
            it,
            [journal.failure, f"Going back is not finished: {words}"],
            "The journal keeps it open. Mend that, then run the same command again: it goes on from here.",
        ) from None
    journal = it.close(journal, _journal.ROLLED_BACK)
    it.note("back", f"rotation {journal.rotation_id} is rolled back; {it.agent} runs with the old values, verified")
    if it.abort:
        return journal
    lines = [
        journal.failure,
        f"Everything is back: {it.agent} runs with the old values, verified.",
        inbox_keeps(it, journal),
    ]
    again = f"ansible-playbook playbooks/rotate.yml -e agent={it.agent} -e keys={','.join(journal.keys)}"
    raise failed(it, lines, f"Mend it, then rotate again: {again}")


def abort(it: Rotation, journal: Journal) -> Journal:
    """Nothing was promoted. A run that is thought dead may still be about to: it must then meet another version. Where
    it was faster the journal comes back open, for another look."""
    if it.adopted:
        where, version = it.standing(journal)
        if where is Standing.NEW:
            return journal
        it.run.writer.may_write()
        try:
            it.live_entry.patch({}, expected_version=version)
        except AgentError as error:
            if error.details.get("cas"):
                return journal
            raise
    journal = it.close(journal, _journal.ABORTED)
    it.note("abort", f"rotation {journal.rotation_id} is aborted; its values are destroyed")
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
    found, base = it.live_entry.read(), it.base(journal)
    if found is None:
        return journal
    ours = kept_keys(journal, found[0])
    if ours and base is not None:
        it.run.writer.may_write()
        try:
            version = it.live_entry.patch({key: base.get(key) for key in ours}, expected_version=found[1])
        except AgentError as error:
            if error.details.get("cas"):
                return journal
            raise
        it.note("back", f"Vault's {it.live_entry} has the old {', '.join(ours)} again (version {version})")
    theirs = ", ".join(edited_keys(journal, found[0], base))
    journal = it.close(journal, _journal.SUPERSEDED)
    words = f"{theirs}: somebody wrote other values to Vault's {it.live_entry} after the promotion."
    if it.abort:
        it.run.warnings.append(
            f"{it.agent}: {words} Theirs stand; rollout.yml -e agent={it.agent} brings them into the pod."
        )
        return journal
    lines = [journal.failure, f"{words} Theirs stand; the rotation is closed.", inbox_keeps(it, journal)]
    raise failed(it, lines, f"Bring them into the pod: ansible-playbook rollout.yml -e agent={it.agent}")


def stop(it: Rotation, _journal_: Journal) -> NoReturn:
    last = it.live_entry.metadata().last
    raise failed(
        it,
        [f"Vault's {it.live_entry} was deleted (version {last})."],
        f"vault kv undelete -mount={it.live_entry.mount} -versions={last} {it.live_entry.path}; then run again.",
    )


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

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release that does not run: the last good one is brought up again, and both stories are told."""

from __future__ import annotations

import copy
from typing import Any, NoReturn

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import Proof
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import other_volume
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import gateway_of
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout import due
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.bring_up import Failed, bring_up
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.diagnosis import (
    RUNS,
    SOMEBODY_ELSES,
    TOKEN,
    Diagnosis,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import MEMORY
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session


def go_back(run: Session[Agent], failure: Diagnosis, wanted: Object, live: Live, proof: Proof) -> NoReturn:
    """Applies the last good release and proves it; always raises, the first cause first."""
    release = releases.last_good(live.releases)
    story = [f"{run.agent.name}: {failure.line()}", *failure.lines()[1:]]
    evidence: dict[str, Any] = {"cause": failure.cause, "evidence": failure.evidence}
    again = f"Mend it, then: ansible-playbook rollout.yml -e agent={run.agent.name}"
    if failure.cause in SOMEBODY_ELSES:
        raise _told(story, f"Nothing was undone, for somebody else is at work. {again}", evidence)
    if failure.cause == MEMORY:
        # Any release meets the same volume.
        raise _told(story, f"No gateway was started. {other_volume(run.agent, live.facts.mount.claim)}", evidence)
    if release is None:
        raise _told([*story, "There is no release to go back to: none was proved yet."], again, evidence)
    previous = releases.revived(release, proof.stamp, live.facts, run.agent.name)
    if _is_the_same(previous, wanted):
        raise _told([*story, f"This is the last good release itself, {release.shown()}."], again, evidence)
    old, new = (gateway_of(manifest["spec"]["template"]["spec"]) for manifest in (previous, wanted))
    if failure.cause == TOKEN and old == new:
        words = f"{run.agent.name} runs, and release {release.shown()} would meet the same file and the same token."
        raise _told(story, f"{words} Nothing was undone. {again}", evidence)
    run.step("back", f"going back to release {release.shown()}: {failure.line()[:200]}")
    evidence["went_back"] = False
    try:
        bring_up(run, previous, run.look(), proof, is_last_resort=True)
    except Failed as second:
        evidence["evidence_back"] = second.diagnosis.evidence
        state = "runs, but was not verified" if second.diagnosis.cause in RUNS else "is down"
        story.append(_failed_too(release, second.diagnosis.line()))
        raise _told(story, f"{run.agent.name} {state}. {again}", evidence) from None
    except AgentError as second:
        # A policy, a lock that was lost, a server out of reach: whatever it is, it is not why all this began.
        evidence["error_back"] = second.as_data()
        story.append(_failed_too(release, second.message))
        look = f"What runs now: ansible-playbook playbooks/status.yml -e agent={run.agent.name}. {again}"
        raise _told(story, f"{second.hint}\n{look}".strip(), evidence) from None
    story.append(f"Release {release.shown()} runs again, verified.")
    raise _told(story, again, {**evidence, "went_back": True, "release": release.id})


def _is_the_same(previous: Object, wanted: Object) -> bool:
    """But for a restart that nobody asked for: it brought up what had been there."""
    specs = [copy.deepcopy(manifest["spec"]) for manifest in (previous, wanted)]
    annotations = [spec["template"]["metadata"].get("annotations") or {} for spec in specs]
    if due.why(str(annotations[1].get(names.RESTART_ID) or "")):
        for one in annotations:
            one.pop(names.RESTART_ID, None)
    return bool(specs[0] == specs[1])


def _failed_too(release: releases.Release, words: str) -> str:
    return f"Going back to release {release.shown()} failed too: {words[:200]}"


def _told(story: list[str], hint: str, evidence: dict[str, Any]) -> AgentError:
    return AgentError(ErrorKind.ROLLOUT, "\n".join(story), hint, evidence)

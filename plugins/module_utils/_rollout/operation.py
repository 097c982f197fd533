# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollout of one agent, R0-R8 and the way back: lock, look, apply, secret proved, wait, verify, record."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import (
    deployment,
    network_policy,
    sealed,
    supporting,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import Proof, check_vault, prove
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.cluster import (
    require_cluster,
    require_external_secrets,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.freeze import require_not_frozen
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.ownership import require_ours
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import (
    PROBE_NEEDS,
    ROLLOUT_NEEDS,
    require_permissions,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import NETWORK_POLICY
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.live import Live, look
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.holder import holder
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent, of_params
from ansible_collections.digitalsys.agents.plugins.module_utils._options.names import check_run_id
from ansible_collections.digitalsys.agents.plugins.module_utils._registry.digest import resolve
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.bring_up import (
    Failed,
    Run,
    after_takeover,
    bring_up,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import (
    decide,
    refuse_what_cannot_be,
    stamps_for,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.diagnosis import SOMEBODY_ELSES, Diagnosis
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault


@dataclass
class _Rollout(Run):
    agent: Agent


def rollout(params: Params, context: Context) -> Result:
    """The whole operation for one agent. AgentError for every failure; its details carry the evidence."""
    agent = of_params(params)
    restart_id = check_run_id(params["restart_id"], "restart_id")
    kube = Kube(params, context)
    try:
        require_cluster(kube, params["cluster_uid"])
        # A plan is wanted during a freeze above all.
        overridden = "" if context.check_mode else require_not_frozen(kube, agent.namespace, params["override_freeze"])
        require_permissions(kube, agent.namespace, ROLLOUT_NEEDS + (PROBE_NEEDS if params["verify"] != "ready" else ()))
        vault = Vault(params, context) if params["secret_proof"] == "vault" else None
        by = holder(params, context) + (f" (although {overridden})" if overridden else "")
        writer = Writer(kube, params["take_ownership"], context.check_mode, progress=context.progress)
        run = _Rollout(agent, params, context, kube, vault, writer, by)
        run.agent = replace(agent, image=resolve(agent.image, context.environ))
        live = _look(run)
        version = check_vault(agent, vault) if vault else None
        if context.check_mode:
            return _foretell(run, live, version, restart_id)
        require_external_secrets(kube)
        with Lock(
            kube, agent.namespace, agent.name, holder(params, context), context, force=params["force_unlock"]
        ) as lock:
            writer.may_write = lock.require
            writer.fence = lock.fence
            after_takeover(run, lock, "R2")
            return _locked(run, restart_id)
    finally:
        kube.close()


def _look(run: _Rollout) -> Live:
    live = look(run.kube, run.agent.namespace, run.agent.name)
    require_ours(live)
    refuse_what_cannot_be(run.agent, live)
    return live


def _locked(run: _Rollout, restart_id: str) -> Result:
    # Whatever the plan saw is from before the lock: look again.
    live = _look(run)
    _apply_supporting(run, live)
    proof = prove(run.agent, run.kube, run.vault, run.writer, run.context, run.params["sync_timeout"])
    version = int(proof.version) if proof.version.isdigit() else None
    run.step(
        "R4",
        f"the Secret holds what Vault has (version {version})"
        if version
        else "the Secret holds every required key (not compared with Vault)",
    )
    stamps = stamps_for(run.agent, live, version, restart_id)
    if run.params["to_release"]:
        wanted = releases.revived(releases.find(live.releases, run.params["to_release"]), stamps.secret_version)
    else:
        wanted = sealed(deployment(run.agent, stamps))
    try:
        bring_up(run, wanted, live, proof)
    except Failed as failure:
        _go_back(run, failure.diagnosis, wanted, live, proof)
    release = releases.record(run.agent, run.writer, live.releases, wanted, stamps.secret_version, run.by)
    run.step("R8", f"release {release.id} is recorded")
    return _result(run, release, stamps.secret_version)


def _apply_supporting(run: _Rollout, live: Live) -> None:
    before = len(run.writer.changes)
    for wanted in supporting(run.agent):
        run.writer.apply(wanted, live.objects.get(wanted["kind"]))
    _remove_unwanted(run, live)
    changed = [change["kind"] for change in run.writer.changes[before:]]
    if changed:
        run.step("R3", f"applied {', '.join(changed)}")


def _remove_unwanted(run: _Rollout, live: Live) -> None:
    """The one object of an agent that its options can make unwanted."""
    policy = live.objects.get(NETWORK_POLICY.name)
    if network_policy(run.agent) is None and policy:
        run.writer.remove(policy)


def _go_back(run: _Rollout, failure: Diagnosis, wanted: Object, live: Live, proof: Proof) -> None:
    """Applies the last good release and proves it; always raises, with both stories."""
    name = run.agent.name
    release = releases.last_good(live.releases)
    story = [f"{name}: {failure.line()}", *failure.lines()[1:]]
    details = {"cause": failure.cause, "evidence": failure.evidence, "steps": run.steps, "changes": run.writer.changes}
    again = f"Mend it, then: ansible-playbook rollout.yml -e agent={name}"
    if failure.cause in SOMEBODY_ELSES:
        raise AgentError(
            ErrorKind.ROLLOUT, "\n".join(story), f"Nothing was undone, for somebody else is at work. {again}", details
        )
    if release is None:
        raise AgentError(
            ErrorKind.ROLLOUT,
            "\n".join([*story, "There is no release to go back to: none was proved yet."]),
            again,
            details,
        )
    previous = releases.revived(release, proof.version)
    if previous["spec"] == wanted["spec"]:
        raise AgentError(
            ErrorKind.ROLLOUT,
            "\n".join([*story, f"This is the last good release itself, {release.shown()}."]),
            again,
            details,
        )
    run.step("back", f"going back to release {release.shown()}: {failure.line()[:200]}")
    try:
        bring_up(run, previous, look(run.kube, run.agent.namespace, name), proof)
    except Failed as second:
        details["evidence_back"] = second.diagnosis.evidence
        story.append(f"Going back to release {release.shown()} failed too: {second.diagnosis.line()[:200]}")
        state = "runs, but was not verified" if second.diagnosis.cause == "verify" else "is down"
        raise AgentError(
            ErrorKind.ROLLOUT, "\n".join(story), f"{name} {state}. {again}", {**details, "went_back": False}
        ) from None
    story.append(f"Release {release.shown()} runs again, verified.")
    raise AgentError(ErrorKind.ROLLOUT, "\n".join(story), again, {**details, "went_back": True, "release": release.id})


def _foretell(run: _Rollout, live: Live, version: int | None, restart_id: str) -> Result:
    """Check mode: every apply as a dry run, so that the server's own admission speaks; nothing is written."""
    plan = decide(run.agent, live, stamps_for(run.agent, live, version, restart_id))
    wanted = [*supporting(run.agent), sealed(deployment(run.agent, plan.stamps))]
    for manifest in wanted:
        run.writer.apply(manifest, live.objects.get(manifest["kind"]))
    if run.writer.unseen:
        unseen = ", ".join(run.writer.unseen)
        run.warnings.append(f"{run.agent.name}: no namespace or no CRD yet, so the server has not seen: {unseen}")
    _remove_unwanted(run, live)
    return {**_result(run, None, plan.stamps.secret_version), "reasons": plan.reasons, "restarts": plan.restarts}


def _result(run: _Rollout, release: releases.Release | None, secret_version: str) -> Result:
    result: Result = {
        "changed": run.writer.changed,
        "agent": run.agent.name,
        "image": run.agent.image.pinned,
        "secret_version": secret_version,
        "pod": run.pod,
        "release": release.id if release else None,
        "steps": run.steps,
        "changes": run.writer.changes,
        "retries": run.kube.retries,
        "warnings": run.warnings,
    }
    if run.context.diff:
        result["diff"] = run.writer.diffs
    return result

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollout of one agent: lock (R2), look, supporting objects (R3), secret proved (R4), brought up (R5 to R7),
recorded (R8). The steps of its result bear these names."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import of_word
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import (
    Stamps,
    deployment,
    network_policy,
    sealed,
    supporting,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import version_of
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind, never_still
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import check_vault
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.sync import outlast
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.values import stamp_of
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.cluster import (
    require_external_secrets,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import (
    PROBE_NEEDS,
    ROLLOUT_NEEDS,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import compare
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import is_available, is_going
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    APPLIED,
    CONFIG_MAP,
    DEPLOYMENT,
    EXTERNAL_SECRET,
    NETWORK_POLICY,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import UNPROVED
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import variables_of
from ansible_collections.digitalsys.agents.plugins.module_utils._options import image as images
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent, of_params
from ansible_collections.digitalsys.agents.plugins.module_utils._options.image import Image
from ansible_collections.digitalsys.agents.plugins.module_utils._options.names import check_run_id
from ansible_collections.digitalsys.agents.plugins.module_utils._registry.digest import resolve
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.admission import decided, stamps_as_admitted
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.bring_up import (
    Failed,
    SecretMoved,
    bring_up,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import (
    NO_POD,
    back_to,
    decide,
    generations,
    refuse_what_cannot_be,
    stamps_for,
    unproved_access,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.due import due_restart, why
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.memory import expect, remember
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.secret import (
    entry,
    journal,
    prove_secret,
    require_synced,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.way_back import go_back
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session, session
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Refused
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.home import is_marked, mark, require_own

#: All that a rollout may patch or delete.
_FENCED = (*APPLIED, CONFIG_MAP)
#: How often a pod is made because its secret was changed while it came up.
_TURNS = 3


def rollout(params: Params, context: Context) -> Result:
    """The whole operation for one agent. AgentError for every failure; its details carry the evidence."""
    agent = of_params(params)
    of_word(params["accept_volume"] or "")
    restart_id = check_run_id(params["restart_id"], "restart_id")
    with session(agent, params, context, in_words=False) as run:
        run.require_not_frozen()
        run.require(ROLLOUT_NEEDS + (PROBE_NEEDS if params["verify"] != "ready" else ()))
        if params["secret_proof"] == "vault":
            run.log_in()
        # And what is fenced after a take-over, of a run that cannot be idle.
        seen = run.look(DEPLOYMENT, *((CONFIG_MAP,) if params["to_release"] or params["accept_volume"] else ()))
        run.agent = replace(agent, image=_image_of(run, seen))
        foretold = params["foretold_keys"] if context.check_mode else []
        release = _release_of(run, seen)
        variables = variables_of(release.deployment) if release else agent.env
        kept = check_vault(agent, run.vault, variables, foretold=foretold) if run.vault else None
        if kept:
            require_own(entry(run), kept.told, _mark(run), agent.name)
        vault = stamp_of(kept, entry(run), journals.digest_key(journal(run))) if kept and kept.version else None
        idle = None
        if context.check_mode or _may_be_idle(run, seen, vault, restart_id):
            live = _look(run)
            due = restart_id or _restart_of(run, live)
            if context.check_mode:
                return _foretell(run, live, vault, due)
            plan = decide(run.agent, live, stamps_for(run.agent, live, vault, due))
            if not plan.todo:
                run.require_alone(live)
                idle = _result(run, version_of(plan.stamps.secret_version), releases.last_good(live.releases))
                if not run.is_held():
                    return _nothing_to_do(run, idle)
        try:
            with run.locked("R2", *_FENCED):
                marks = kept is not None and not is_marked(kept.told)
                return _locked(run, vault, restart_id, marks=marks, was_idle=idle is not None)
        except AgentError as error:
            if idle and error.kind is ErrorKind.LOCKED:
                return _nothing_to_do(run, idle)  # whoever works on the agent is none of this run's business
            raise


def _image_of(run: Session[Agent], seen: Live) -> Image:
    """With its digest. What runs is there: no registry is needed to keep it, nor to go back to a release."""
    if release := _release_of(run, seen):
        return replace(images.parse(release.image), tag=release.tag)
    meant = run.agent.image
    return meant if meant.digest and seen.image == meant.pinned else resolve(meant, run.context.environ)


def _release_of(run: Session[Agent], live: Live) -> releases.Release | None:
    """The one that a person goes back to."""
    return releases.find(live.releases, run.params["to_release"]) if run.params["to_release"] else None


def _wanted(run: Session[Agent], live: Live, stamps: Stamps) -> Object:
    if release := _release_of(run, live):
        # A pod that ends again and again begins afresh, as in a rollout: the recorded template alone makes no new one.
        restart_id = stamps.restart_id if why(stamps.restart_id) else ""
        return releases.revived(release, stamps.secret_version, live.facts, run.agent.name, restart_id)
    return sealed(deployment(run.agent, stamps, live.facts))


def _stamps(run: Session[Agent], live: Live, vault: str | None, restart_id: str) -> Stamps:
    if run.params["to_release"]:
        return stamps_for(run.agent, live, vault, restart_id, lambda stamps: _wanted(run, live, stamps))
    return stamps_as_admitted(run.kube, run.agent, live, vault, restart_id)


def _may_be_idle(run: Session[Agent], live: Live, vault: str | None, restart_id: str) -> bool:
    """One read tells of most runs that there is something to do: the rest is looked at under the lock."""
    if run.params["to_release"] or run.params["accept_volume"]:
        return False
    stamps = stamps_for(run.agent, live, vault, restart_id)
    standing = live.deployment
    if standing is None or is_going(standing):
        return False
    return not compare(_wanted(run, live, stamps), standing)


def _look(run: Session[Agent]) -> Live:
    live = run.look()
    refuse_what_cannot_be(run.agent, live)
    return live


def _mark(run: Session[Agent]) -> dict[str, str]:
    return mark(run.cluster_uid, run.agent.namespace, run.agent.name)


def _locked(run: Session[Agent], vault: str | None, restart_id: str, *, marks: bool, was_idle: bool) -> Result:
    """vault: the stamp of what stood there before the lock. marks: whether the entry does not say yet whose it is.
    was_idle: nothing was to be done then but to free a dead run's lock.
    """
    # Whatever the plan saw is from before the lock: look again.
    live = _look(run)
    require_external_secrets(live)
    due = restart_id or _restart_of(run, live)
    # A fence that was raised is a new generation, which the Deployment's controller sees a moment later.
    plan = decide(run.agent, live, stamps_for(run.agent, live, vault, due)) if was_idle else None
    if plan is None or set(plan.reasons) - {NO_POD}:
        _require_no_rotation(run)
    written = _apply_supporting(run, live)
    # What was made a moment ago is synced by itself.
    is_new = EXTERNAL_SECRET.name not in live.objects
    require_synced(run, unproved_access(live, generations(written)))
    if run.took_over and not is_new:
        # ESO copies the fence that was raised to the Secret: another version of it, with the same in it.
        outlast(run.agent, run.kube, run.writer, run.params["sync_timeout"])
    release = _release_of(run, live)
    variables = variables_of(release.deployment) if release else run.agent.env
    for _turn in range(_TURNS):
        proof = prove_secret(run, variables, asks=not is_new)
        vault = None if proof.stamp == UNPROVED else proof.stamp
        stamps = _stamps(run, live, vault, due)
        wanted = _wanted(run, live, stamps)
        config_map = expect(run, live, wanted)
        try:
            pod = bring_up(run, wanted, live, proof)
            break
        except SecretMoved:
            run.step("R6", "the Secret was changed while the pod came up: once more, with what it holds now")
            live, is_new = _look(run), False
            due = restart_id or _restart_of(run, live)
        except Failed as failure:
            go_back(run, failure.diagnosis, wanted, live, proof)
    else:
        place = f"{run.agent.vault_mount}/{run.agent.vault_path}"
        secret = f"{run.agent.name}: Secret {names.env_secret(run.agent.name)}"
        raise never_still(secret, f"or to {place} in Vault: vault kv metadata get")
    version = version_of(stamps.secret_version)
    if pod is None:
        return _result(run, version)  # nothing was proved
    if marks:
        try:
            entry(run).tell(_mark(run))
        except Refused as error:
            run.warnings.append(f"{run.agent.name}: {error.message}: Vault's {entry(run)} does not say whose it is")
    recorded = remember(run, config_map, wanted, proof, pod, generations(written))
    run.step("R8", f"release {recorded.id} is recorded")
    return _result(run, version, recorded)


def _require_no_rotation(run: Session[Agent]) -> None:
    """Under the lock, which a rotation takes, too."""
    if run.vault is None:
        run.context.progress(f"{run.agent.name}: whether a rotation is open was not asked (secret_proof: none)")
        return
    if words := journals.require_none_open(journal(run), run.agent.name, despite=run.params["despite_rotation"]):
        run.warnings.append(f"{run.agent.name}: {words}")
        run.by += f" (although {words})"


def _restart_of(run: Session[Agent], live: Live) -> str:
    """The key of a restart that is due anyway; '' where none is."""
    if live.deployment is None or (is_available(live.deployment) and not (live.record and live.record.proved.secret)):
        return ""
    return due_restart(run.kube, run.agent.namespace, live, run.pods())


def _apply_supporting(run: Session[Agent], live: Live) -> dict[str, Object]:
    """Kind -> as it stands then."""
    before = len(run.changes)
    written = {
        wanted["kind"]: run.writer.apply(wanted, live.objects.get(wanted["kind"]))
        for wanted in supporting(run.agent, live.facts, live.claim)
    }
    _remove_unwanted(run, live)
    if changed := [change["kind"] for change in run.changes[before:]]:
        run.step("R3", f"applied {', '.join(changed)}")
    return written


def _remove_unwanted(run: Session[Agent], live: Live) -> None:
    """The one object of an agent that its options can make unwanted."""
    policy = live.objects.get(NETWORK_POLICY.name)
    if network_policy(run.agent) is None and policy:
        run.writer.remove(policy)


def _foretell(run: Session[Agent], live: Live, vault: str | None, restart_id: str) -> Result:
    """Check mode: every apply as a dry run, so that the server's own admission speaks; nothing is written."""
    if release := _release_of(run, live):
        stamps = _stamps(run, live, vault, restart_id)
        plan = back_to(release.id, run.agent, _wanted(run, live, stamps), live, stamps)
    else:
        plan = decided(run.kube, run.agent, live, vault, restart_id)
    wanted = _wanted(run, live, plan.stamps)
    expect(run, live, wanted)
    for manifest in (*supporting(run.agent, live.facts, live.claim), wanted):
        run.writer.apply(manifest, live.objects.get(manifest["kind"]))
    if run.writer.unseen:
        unseen = ", ".join(run.writer.unseen)
        run.warnings.append(f"{run.agent.name}: no namespace or no CRD yet, so the server has not seen: {unseen}")
    _remove_unwanted(run, live)
    return {**_result(run, version_of(plan.stamps.secret_version)), "reasons": plan.reasons, "restarts": plan.restarts}


def _nothing_to_do(run: Session[Agent], result: Result) -> Result:
    run.context.progress(f"{run.agent.name}: nothing to do")
    return result


def _result(run: Session[Agent], secret_version: str, release: releases.Release | None = None) -> Result:
    return run.result(
        image=run.agent.image.pinned,
        secret_version=secret_version,
        pod=run.pod,
        release=release.id if release else None,
    )

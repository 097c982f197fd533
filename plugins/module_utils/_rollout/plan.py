# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a run: all its agents looked at in one task, the images' digests settled once for all waves."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import stamp
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import of_word
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live, look_at_fleet
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.values import stamp_of
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.cluster import require_cluster
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.freeze import require_not_frozen
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.occupants import require_alone
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.ownership import require_ours
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import POD
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import lease
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.holder import holders
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent, checked_params, of_params
from ansible_collections.digitalsys.agents.plugins.module_utils._options.image import Image
from ansible_collections.digitalsys.agents.plugins.module_utils._options.names import check_agent_name, check_run_id
from ansible_collections.digitalsys.agents.plugins.module_utils._registry.digest import resolve
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import (
    AgentPlan,
    decide,
    refuse_what_cannot_be,
    settled_image,
    stamps_for,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.due import due_restart
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.home import (
    mark,
    require_an_entry_each,
    require_own,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry, Metadata, no_values, require_kv2

_REASONS_SHOWN = 4


def _checked(params: Params) -> tuple[dict[str, Agent], dict[str, dict[str, Any]]]:
    """Every agent of the run, validated before the first request to any server."""
    given = params["agents"]
    if not given:
        raise AgentError(
            ErrorKind.INVALID,
            "there is no agent in this run",
            "Look at -e agent, --limit and the inventory's group 'agents'.",
        )
    options = {}
    for name, wanted in given.items():
        check_agent_name(name)
        if not isinstance(wanted, Mapping):
            raise AgentError(ErrorKind.INVALID, f"{name}: its options are no mapping")
        options[name] = checked_params(name, wanted)
    agents = {}
    for name, checked in options.items():
        try:
            agents[name] = of_params(checked)
            if params["image"] or params["tag"]:
                settled_image(
                    agents[name],
                    Live(name),
                    "" if params["image"] == "current" else params["image"] or "",
                    params["tag"] or "",
                )
        except AgentError as error:
            raise error.of(name) from None
    require_an_entry_each(agents.values())
    if params["image"] and params["tag"]:
        raise AgentError(ErrorKind.INVALID, "image and tag are both given", "Give one of them.")
    check_run_id(params["restart_id"], "restart_id")
    if of_word(params["accept_volume"] or "") and len(agents) > 1:
        raise AgentError(
            ErrorKind.INVALID, f"accept_volume is for one agent, and this run has {len(agents)}", "Give -e agent=NAME."
        )
    return agents, options


def _one(options: Mapping[str, dict[str, Any]], option: str) -> Any:
    """An option that must be the same for all agents of a run."""
    values = {options[name][option]: name for name in options}
    if len(values) > 1:
        shown = ", ".join(f"{name}: {value}" for value, name in values.items())
        raise AgentError(
            ErrorKind.INVALID, f"{option} differs between the agents of this run ({shown})", "Run them one by one."
        )
    return next(iter(values))


def plan(params: Params, context: Context) -> Result:
    """Result: todo (names, in the order of the run), agents {name: {image, reasons, restarts}}, cluster_uid.

    AgentError before any write for what no agent of the run may have.
    """
    agents, options = _checked(params)
    # Generated once per run, so that a retried job with the same id does not restart twice.
    params = {**params, "restart_id": params["restart_id"] or f"run-{secrets.token_hex(6)}"}
    namespace = _one(options, "namespace")
    provisioning = params["operation"] == "provision"
    if params["operation"] == "rotation":
        # It looks for itself what is to be done, once its own words are checked: nobody is asked before that.
        return _result({}, list(agents), params["cluster_uid"] or _one(options, "cluster_uid") or "", params, context)
    kube = Kube({**params, "allow_insecure": params["allow_insecure"] or _one(options, "allow_insecure")}, context)
    vault = None
    try:
        pinned = params["cluster_uid"] or _one(options, "cluster_uid")
        uid = kube.cluster_uid() if provisioning and not pinned else require_cluster(kube, pinned)
        vault = Vault(params, context) if any(one["secret_proof"] == "vault" for one in options.values()) else None
        if provisioning:
            # There may be no namespace yet, and no right to look into it: the operation itself looks then.
            return _result({}, list(agents), uid, params, context)
        pods = kube.list_objects(POD, namespace)[0]
        lives = look_at_fleet(kube, namespace, agents, of_word(params["accept_volume"] or ""))
        digests: dict[str, Image] = {}
        plans = {}
        held = holders(kube, namespace)
        for name, agent in agents.items():
            live = lives[name]
            require_ours(live)
            refuse_what_cannot_be(agent, live)
            restart = due_restart(kube, namespace, live, pods)
            plans[name] = _plan_of(kube, agent, live, params, options[name], vault, digests, context, restart, uid)
            if plans[name].todo and vault and options[name]["secret_proof"] == "vault":
                place = journals.entry(vault, agent.vault_mount, name)
                journals.require_none_open(place, name, despite=params["despite_rotation"])
            holder = held.get(lease(name))
            if holder and not plans[name].todo:
                # The last write of a killed run may be all but the release of its lock: the next run frees it.
                plans[name] = replace(plans[name], reasons=[f"it is locked by {holder}, who is at work or was killed"])
        require_alone(kube, namespace, agents, lives, pods)
        todo = [name for name, one in plans.items() if one.todo]
        # Where nothing is to be done a freeze keeps nobody from anything; a plan is wanted during one above all.
        if todo and not context.check_mode:
            require_not_frozen(kube, namespace, params["override_freeze"])
        return _result(plans, todo, uid, params, context)
    finally:
        if vault:
            vault.close()
        kube.close()


def _plan_of(
    kube: Kube,
    agent: Agent,
    live: Live,
    params: Params,
    options: Mapping[str, Any],
    vault: Vault | None,
    digests: dict[str, Image],
    context: Context,
    restart: str,
    cluster_uid: str,
) -> AgentPlan:
    """restart: a key for one that is due anyway."""
    asked = params["image"] or ("current" if params["operation"] == "restart" and live.image else "")
    meant = settled_image(agent, live, asked, params["tag"] or "")
    if meant.digest and asked == "current":
        # It runs, so it is there; the registry is not needed to keep it running.
        digests.setdefault(str(meant), meant)
    if str(meant) not in digests:
        digests[str(meant)] = resolve(meant, context.environ)
    settled = replace(agent, image=digests[str(meant)])
    there = None
    if vault and options["secret_proof"] == "vault":
        entry = Entry(vault, agent.vault_mount, agent.vault_path)
        found = entry.metadata()
        require_own(entry, found.told, mark(cluster_uid, agent.namespace, agent.name), agent.name)
        # In check mode a provision before it may only have foretold what it makes: the rollout itself knows.
        if found.current is None and (found.last or not context.check_mode):
            require_kv2(vault, agent.vault_mount)
            raise no_values(entry, found, agent.name)
        if found.current is not None:
            there = _stamp(entry, found, live.stamp, agent.name)
    restart_id = params["restart_id"] if params["operation"] == "restart" else ""
    due = restart_id or restart
    plan = decide(settled, live, stamps_for(settled, live, there, due))
    if not plan.todo or live.deployment is None:
        return plan
    # What writes is loaded where there is something to do: a plan with nothing of it consists of little but imports.
    from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.admission import decided

    return decided(kube, settled, live, there, due)


def _stamp(entry: Entry, found: Metadata, there: str, agent: str) -> str:
    """Of what stands in Vault: told from the metadata alone, unless only the values can tell whether it is another
    content than the one that the pod was started with."""
    now = stamp.stamp(found.last, str(entry), found.written)
    if stamp.is_same(there, now) or not stamp.has_digest(there):
        return now
    kept = entry.read()
    key = journals.digest_key(journals.entry(entry.vault, entry.mount, agent))
    return stamp_of(kept, entry, key) if kept else now


def _result(plans: Mapping[str, AgentPlan], todo: list[str], uid: str, params: Params, context: Context) -> Result:
    for name, one in plans.items():
        for note in one.notes:
            context.progress(f"{name}: {note}")
    for name in todo:
        if name in plans:
            reasons = plans[name].reasons
            count = len(reasons) if context.diff else _REASONS_SHOWN
            more = f" (+{len(reasons) - count} more)" if len(reasons) > count else ""
            verb = "new pod" if plans[name].restarts else "no restart"
            context.progress(f"{name}: {verb}: {'; '.join(reasons[:count])}{more}")
    idle = len(plans) - len(todo) if plans else 0
    if idle > 0:
        context.progress(
            f"nothing to do for {idle} of {len(plans)} agents"
            if idle > 1
            else f"nothing to do for {next(n for n in plans if n not in todo)}"
        )
    return {
        "changed": False,
        "todo": todo,
        "cluster_uid": uid,
        "restart_id": params["restart_id"] if params["operation"] == "restart" else "",
        "agents": {
            # Only what the next task needs and a person asks for: results are kept small (awx.md).
            name: {"image": str(one.agent.image), "reasons": one.reasons, "restarts": one.restarts}
            for name, one in plans.items()
            if one.todo
        },
    }

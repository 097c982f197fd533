# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module `agent`: the objects of one agent made, removed or printed. Nothing is proved: `agent_rollout` does that."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps, network_policy, rendered
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import require_lasting_claim
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import compare
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    APPLIED,
    CONFIG_MAP,
    DEPLOYMENT,
    EXTERNAL_SECRET,
    NETWORK_POLICY,
    SECRET_STORE,
    SERVICE_ACCOUNT,
    Kind,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent, of_params
from ansible_collections.digitalsys.agents.plugins.module_utils._registry.digest import resolve
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import refuse_what_cannot_be
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.memory import expect
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session, session
from ansible_collections.digitalsys.agents.plugins.module_utils._session.volume import free

#: What `absent` takes, the user of the others first. Never the claim, never a SecretID, nothing in Vault.
_REMOVABLE = (DEPLOYMENT, EXTERNAL_SECRET, SECRET_STORE, NETWORK_POLICY, SERVICE_ACCOUNT)


def manage(params: Params, context: Context) -> Result:
    """The objects of one agent as the options say, without a word on whether they work."""
    agent = of_params(params)
    if params["state"] == "rendered":
        return {"changed": False, "objects": rendered(agent, Stamps(params["secret_version"] or ""))}
    with session(agent, params, context, in_words=False) as run:
        run.require_not_frozen()
        if params["state"] == "present" and not agent.image.digest:
            run.agent = replace(agent, image=resolve(agent.image, context.environ))
        act = _remove if params["state"] == "absent" else _apply
        live = run.look()
        if context.check_mode:
            act(run, live)
        elif not _differs(run.agent, params, live):
            if run.is_held():
                run.free_dead_lock("lock", *APPLIED, CONFIG_MAP)
        else:
            with run.locked("lock", *APPLIED, CONFIG_MAP):
                act(run, run.look())
        return run.result()


def _wanted(agent: Agent, params: Params, live: Live) -> list[Object]:
    stamps = Stamps(
        params["secret_version"] or live.stamp,
        live.template_annotation(names.RESTART_ID),
        live.seed,
    )
    return rendered(agent, stamps, live.facts, live.claim)


def _unwanted(agent: Agent, params: Params, live: Live) -> list[Object]:
    """What is there and is to go."""
    kinds: tuple[Kind, ...] = ()
    if params["state"] == "absent":
        kinds = _REMOVABLE
    elif network_policy(agent) is None:
        kinds = (NETWORK_POLICY,)
    return [live.objects[kind.name] for kind in kinds if kind.name in live.objects]


def _differs(agent: Agent, params: Params, live: Live) -> bool:
    if _unwanted(agent, params, live):
        return True
    if params["state"] == "absent":
        return False
    found = live.objects
    return any(
        wanted["kind"] not in found or compare(wanted, found[wanted["kind"]]) for wanted in _wanted(agent, params, live)
    )


def _apply(run: Session[Agent], live: Live) -> None:
    refuse_what_cannot_be(run.agent, live)
    objects = _wanted(run.agent, run.params, live)
    expect(run, live, objects[-1])
    for wanted in objects:
        settle = partial(_freed, run, wanted, live) if wanted["kind"] == DEPLOYMENT.name else None
        run.writer.apply(wanted, live.objects.get(wanted["kind"]), settle)
    _clear(run, live)


def _freed(run: Session[Agent], wanted: Object, live: Live, found: Object | None) -> Object | None:
    return free(run, wanted, found, live.record).deployment


def _remove(run: Session[Agent], live: Live) -> None:
    require_lasting_claim(live.claim, run.agent)
    _clear(run, live)


def _clear(run: Session[Agent], live: Live) -> None:
    for found in _unwanted(run.agent, run.params, live):
        run.writer.remove(found)

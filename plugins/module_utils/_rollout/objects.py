# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module `agent`: the objects of one agent made, removed or printed. No waiting, no lock: `agent_rollout` has both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps, network_policy, rendered
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.cluster import require_cluster
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.ownership import require_ours
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    DEPLOYMENT,
    EXTERNAL_SECRET,
    NETWORK_POLICY,
    SECRET_STORE,
    SERVICE_ACCOUNT,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.live import Live, look
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import of_params
from ansible_collections.digitalsys.agents.plugins.module_utils._registry.digest import resolve
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import refuse_what_cannot_be

#: What `absent` takes, the user of the others first. Never the claim, never a SecretID, nothing in Vault.
_REMOVABLE = (DEPLOYMENT, EXTERNAL_SECRET, SECRET_STORE, NETWORK_POLICY, SERVICE_ACCOUNT)


def manage(params: Params, context: Context) -> Result:
    agent = of_params(params)
    if params["state"] == "rendered":
        return {"changed": False, "objects": rendered(agent, Stamps(params["secret_version"] or ""))}
    kube = Kube(params, context)
    try:
        require_cluster(kube, params["cluster_uid"])
        if params["state"] == "present" and not agent.image.digest:
            agent = replace(agent, image=resolve(agent.image, context.environ))
        live = look(kube, agent.namespace, agent.name)
        require_ours(live)
        writer = Writer(kube, params["take_ownership"], context.check_mode, progress=context.progress)
        if params["state"] == "absent":
            _remove(writer, live)
        else:
            refuse_what_cannot_be(agent, live)
            stamps = Stamps(
                params["secret_version"] or live.template_annotation(names.SECRET_VERSION),
                live.template_annotation(names.RESTART_ID),
                live.seed,
            )
            for wanted in rendered(agent, stamps):
                writer.apply(wanted, live.objects.get(wanted["kind"]))
            policy = live.objects.get(NETWORK_POLICY.name)
            if network_policy(agent) is None and policy:
                writer.remove(policy)
    finally:
        kube.close()
    result: dict[str, Any] = {"changed": writer.changed, "changes": writer.changes}
    if context.diff:
        result["diff"] = writer.diffs
    return result


def _remove(writer: Writer, live: Live) -> None:
    for kind in _REMOVABLE:
        found = live.objects.get(kind.name)
        if found:
            writer.remove(found)

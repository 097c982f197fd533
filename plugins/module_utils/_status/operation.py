# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is, for one agent or all: one LIST per kind; no values. Vault is read only where secrets are asked for."""

from __future__ import annotations

from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import version_of
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, NotFound
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import Budget
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import GATEWAY_LOOK
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.sync import is_ready
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.cluster import require_cluster
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import require_volume
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import compare, is_our_last_word, shown
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    EXTERNAL_SECRET,
    LEASE,
    POD,
    SECRET_STORE,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import (
    CRASH_LOOP,
    claims_of,
    gateway_of,
    gateway_status,
    is_ended,
    refused_volume,
    waits_for,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.holder import told
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._options.names import check_agent_name, check_namespace
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.due import begun_again
from ansible_collections.digitalsys.agents.plugins.module_utils._status import secrets
from ansible_collections.digitalsys.agents.plugins.module_utils._status.table import table

RUNNING = "running"


def _by_name(items: list[Object]) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in items}


def info(params: Params, context: Context) -> Result:
    """Result: agents (a list of mappings), table (text lines of the same, aligned). Vault is asked only for secrets."""
    namespace = check_namespace(params["namespace"])
    asked = [check_agent_name(name) for name in params["names"] or []]
    places = {
        check_agent_name(name): secrets.place_of(name, namespace, options) for name, options in params["places"].items()
    }
    kube = Kube(params, context)
    servers = None
    try:
        require_cluster(kube, params["cluster_uid"])
        found = {}
        for kind in (DEPLOYMENT, CLAIM, EXTERNAL_SECRET, SECRET_STORE, CONFIG_MAP, LEASE):
            # Claims by the record: one that a person made need not bear our label.
            found[kind.name] = _by_name(_listed(kube, kind, namespace, ours=kind != CLAIM))
        # By claim: one that was cut loose from its Deployment has lost its label.
        pods = kube.list_objects(POD, namespace)[0]
        known = {
            item["metadata"]["labels"].get("app.kubernetes.io/instance") or item["metadata"]["name"]
            for item in found[DEPLOYMENT.name].values()
        }
        now = kube.server_time()
        agents = [_describe(name, namespace, found, pods, now) for name in asked or sorted(known)]
        if params["secrets"]:
            servers = secrets.ask_vault(kube, params, context)
            for agent in agents:
                name = agent["agent"]
                place = places.get(name) or secrets.place_of(name, namespace, {})
                agent["secrets"] = secrets.secret_facts(agent, place, servers)
        if params["gateway"]:
            for agent in agents:
                agent["gateway"] = _of_gateway(kube, namespace, agent, pods)
    finally:
        if servers:
            servers.vault.close()
        kube.close()
    lines = table(agents, secrets=params["secrets"])
    for line in lines:
        context.progress(line)
    return {"changed": False, "agents": agents, "table": lines}


def _listed(kube: Kube, kind: Any, namespace: str, *, ours: bool) -> list[Object]:
    try:
        return kube.list_objects(kind, namespace, labels=names.SELECTOR if ours else "")[0]
    except NotFound:
        return []


def _describe(name: str, namespace: str, found: dict[str, dict[str, Object]], pods: list[Object], now: float) -> Object:
    """now: by the API server's clock."""
    live = found[DEPLOYMENT.name].get(name)
    known = _known(name, found)
    of_agent = [pod for pod in pods if not known.claims.isdisjoint(claims_of(pod["spec"]))]
    claim = known.claim or {}
    running = [pod for pod in of_agent if not is_ended(pod)]
    trouble = _of_volume(known, namespace, of_agent)
    external = found[EXTERNAL_SECRET.name].get(names.external_secret(name)) or {}
    store = found[SECRET_STORE.name].get(names.secret_store(name))
    newest = releases.last_good(known.releases)
    lock = found[LEASE.name].get(names.lease(name))
    return {
        "agent": name,
        "health": health(live, of_agent),
        "image": next((str(gateway_of(pod["spec"]).get("image")) for pod in running), known.image),
        "tag": ((live or {}).get("metadata", {}).get("annotations") or {}).get(names.IMAGE_TAG, ""),
        "secret_version": version_of(known.stamp),
        "secret_stamp": known.stamp,
        "secret_of_container": known.record.proved.secret if begun_again(known, running) and known.record else "",
        "secret_ready": is_ready(external) and store is not None and is_ready(store),
        "secret_refreshed": (external.get("status") or {}).get("refreshTime", ""),
        "volume": ((claim.get("status") or {}).get("capacity") or {}).get("storage", ""),
        "volume_trouble": trouble,
        "volume_phase": (claim.get("status") or {}).get("phase", ""),
        "drift": _drift(known),
        "gateway": [],
        "restarts": sum(int(gateway_status(pod).get("restartCount") or 0) for pod in of_agent),
        "pods": [pod["metadata"]["name"] for pod in of_agent],
        "node": next((pod["spec"].get("nodeName", "") for pod in running), ""),
        "release": newest.id if newest else "",
        "released_at": newest.at if newest else "",
        "locked_by": told(lock, now) if lock else "",
    }


def _known(name: str, found: dict[str, dict[str, Object]]) -> Live:
    by_name = {DEPLOYMENT.name: name, CONFIG_MAP.name: names.releases(name)}
    there = {kind: found[kind][called] for kind, called in by_name.items() if called in found[kind]}
    claim = found[CLAIM.name].get(Live(name, there).facts.mount.claim)
    return Live(name, {**there, CLAIM.name: claim} if claim else there)


def _of_volume(known: Live, namespace: str, pods: list[Object]) -> str:
    """What keeps the agent from its memory; '' where nothing does."""
    try:
        require_volume(known, Home(known.agent, namespace, [], "", ""))
    except AgentError as error:
        return error.message
    refused = next((words for pod in pods if (words := refused_volume(pod)) is not None), "")
    return f"{known.agent}: {refused}" if refused else ""


def _of_gateway(kube: Kube, namespace: str, agent: Object, pods: list[Object]) -> list[str]:
    """What it says of itself, where a pod runs."""
    # What asks a gateway is loaded where one is asked: most looks at a fleet consist of little but imports.
    from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.gateway import readiness_warnings

    own = {pod["metadata"]["name"] for pod in pods if not is_ended(pod)} & set(agent["pods"])
    if agent["health"] != RUNNING or len(own) != 1:
        return []
    return readiness_warnings(kube, namespace, own.pop(), Budget(GATEWAY_LOOK))


def _drift(known: Live) -> list[str]:
    """What other hands have changed since the release that was recorded."""
    release = releases.last_good(known.releases)
    if release is None or known.deployment is None:
        return []
    stamp = known.stamp
    wanted = releases.of_running(release, stamp, known.facts, known.deployment)
    changes = compare(wanted, known.deployment)
    return shown(change for change in changes if change.manager or is_our_last_word(wanted, known.deployment))


def health(live: Object | None, pods: list[Object]) -> str:
    """One or two words: running, starting, crashing, no image, no memory, stopped, paused, two pods, missing."""
    if live is None:
        return "missing"
    if live["spec"].get("paused"):
        return "paused"
    if not live["spec"].get("replicas"):
        return "stopped"
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp") and not is_ended(pod)]
    if len(alive) > 1:
        return "two pods"
    if (live.get("status") or {}).get("availableReplicas"):
        return RUNNING
    if any(refused_volume(pod) is not None for pod in alive):
        return "no memory"
    words = {CRASH_LOOP: "crashing", "ImagePullBackOff": "no image", "ErrImagePull": "no image"}
    return next((words[reason] for pod in alive if (reason := waits_for(pod)) in words), "starting")

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which volume holds an agent's memory: told to its pod before it may start, recorded of the one that was proved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import (
    FOUND,
    Proved,
    Record,
    of_deployment,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.releases import Release
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import Proof
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import accepts, expected
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import compare
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import is_available
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CLAIM
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import (
    container_of,
    identity_of,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session


def expect(run: Session[Any], live: Live, wanted: Object) -> Object | None:
    """Before a pod may start: what it has to find on its volume. The releases' ConfigMap as it is then.

    A volume from before there were identities has to hold a configuration; so has that of an agent which runs, where
    nothing was recorded of it. One that a person has accepted may be any: what stands on it, or nothing, is the agent's
    from here on.
    """
    record = live.record
    if accepts(live) and expected(live) is None:
        claim = live.claim
        if claim is None and not run.writer.dry_run:  # it was made a moment ago
            claim = run.kube.get(CLAIM, run.agent.namespace, live.facts.mount.claim)
        new = _with_claim(Record(live.facts), claim)
        words = f"{live.facts.mount.shown()} is the agent's volume from here on, as accepted"
    elif record is not None and record.identity == releases.told_identity(live.releases):
        return live.releases
    elif record is not None or _is_replaced(live, wanted):
        new = record or _with_claim(Record(live.facts, identity=FOUND), live.claim)
        words = "the volume must hold a configuration: it has no identity yet"
    else:
        return live.releases  # a new agent: nothing is expected
    if new == record and new.identity == releases.told_identity(live.releases):
        return live.releases
    kept = run.writer.apply(releases.manifest(run.agent, releases.read(live.releases), new), live.releases)
    run.step("volume", words)
    return kept


def _is_replaced(live: Live, wanted: Object) -> bool:
    """A gateway runs, and makes room for another pod."""
    return live.deployment is not None and is_available(live.deployment) and bool(compare(wanted, live.deployment))


def remember(
    run: Session[Any],
    config_map: Object | None,
    deployment: Object,
    proof: Proof,
    pod: Object,
    access: tuple[str, str] | None = None,
) -> Release:
    """Records the release, its facts, and the volume and the container of the pod that was proved. config_map: as it is
    now. access: generations of SecretStore and ExternalSecret by which the Secret was made; None as recorded before.
    """
    mount = of_deployment(deployment).mount
    before = releases.recorded(config_map)
    known = before is not None and before.facts.mount == mount and before.claim_uid and before.volume_name
    claim = None if known else run.kube.get(CLAIM, run.agent.namespace, mount.claim)
    identity = identity_of(pod) or (before.identity if before else "") or FOUND
    facts = replace(of_deployment(deployment), replicas=1)
    record = replace(before or Record(facts), facts=facts, identity=identity)
    store, external = access or (record.proved.store, record.proved.external)
    record = replace(record, proved=Proved(container_of(pod), proof.secret, store, external))
    record = record if known else _with_claim(record, claim)
    version = deployment["spec"]["template"]["metadata"]["annotations"][names.SECRET_VERSION]
    return releases.record(run.agent, run.writer, config_map, deployment, version, run.by, record)


def _with_claim(record: Record, claim: Object | None) -> Record:
    if claim is None:
        return replace(record, claim_uid="", volume_name="")
    return replace(record, claim_uid=claim["metadata"]["uid"], volume_name=claim["spec"].get("volumeName") or "")

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volume with the agent's memory, before anything that stops or starts a pod: it lasts, and it is the same one.

A green agent without its memory is the worst of all ends, and neither a pod nor a claim's name tells one volume from
another. What a person may say about it, and nobody else: -e accept_volume=CLAIM.
"""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import Mount, Record
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import (
    AgentError,
    ErrorKind,
    VolumeTroubled,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import is_available
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CLAIM
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home

_NOTHING = "No pod was started or stopped."


def accepts(live: Live) -> bool:
    """Whether what a person says of the volume (accept_volume) changes anything: another one is recorded or mounted, or
    no gateway runs, as where its volume was refused."""
    if live.accepted is None or live.record is None:
        return False
    mounts = {live.facts.mount, live.record.facts.mount, live.mounted or live.facts.mount}
    runs = live.deployment is not None and is_available(live.deployment)
    return len(mounts) > 1 or not runs or not is_same_claim(live.claim, live.record)


def expected(live: Live) -> Record | None:
    """What the volume is compared with before a pod may start: the record, unless a person has named another one. To
    name the recorded one where the Deployment mounts another is no new word: that is put back."""
    record = live.record
    if record is None or live.accepted is None:
        return record
    recorded = record.facts.mount
    is_named_before = live.facts.mount == recorded != (live.mounted or recorded) and bool(record.identity)
    is_put_back = is_named_before and is_same_claim(live.claim, record)
    return record if is_put_back else None


def require_volume(live: Live, agent: Home) -> None:
    """Of a look with Deployment, record and claim."""
    require_lasting_claim(live.claim, agent)
    if live.accepted is None:
        _require_recorded_mount(live, agent)
        require_same_claim(live.claim, live.record, agent)
    else:
        _require_one_meaning(live, live.accepted, agent)
        _require_what_is_named(live, live.accepted, agent)


def require_lasting_claim(claim: Object | None, agent: Home) -> None:
    """Asked before anything that would stop the pod. Kubernetes lets a claim that was deleted go when no pod mounts
    it any more, and on this platform the disk goes with it."""
    since = claim["metadata"].get("deletionTimestamp") if claim else None
    if claim and since:
        raise VolumeTroubled(
            ErrorKind.CONFLICT,
            f"{agent.name}: {CLAIM.name} {claim['metadata']['name']} was deleted at {since} and goes, with its disk, "
            "as soon as the pod that runs stops: that pod is all that keeps the agent's memory",
            f"Copy the memory first: kubectl cp -n {agent.namespace} -c openclaw <pod>:/root/.openclaw ./{agent.name}. "
            "A claim cannot be undeleted. The pod was not stopped.",
        )


def require_same_claim(claim: Object | None, record: Record | None, agent: Home) -> None:
    """The claim is the one, and bound to the volume, that the last proved pod had."""
    if record is None or is_same_claim(claim, record):
        return
    name = record.facts.mount.claim
    if claim is None:
        words = f"claim {name} (uid {record.claim_uid}), which holds its memory, is not there any more"
        raise VolumeTroubled(
            ErrorKind.CONFLICT,
            f"{agent.name}: {words}",
            f"Bring it back, with the memory on it; then, or to begin with a new and empty one: "
            f"{_accept(agent, Mount(name, ''))}\n{_NOTHING}",
        )
    uid = claim["metadata"]["uid"]
    if uid != record.claim_uid:
        since = claim["metadata"].get("creationTimestamp")
        words = f"claim {name} was made anew at {since}: its uid was {record.claim_uid}, and is {uid}"
        raise _other(agent, name, words)
    volume = claim["spec"].get("volumeName") or "none"
    raise _other(
        agent, name, f"claim {name} is bound to volume {volume}, and the agent's memory is on {record.volume_name}"
    )


def is_same_claim(claim: Object | None, record: Record) -> bool:
    if not record.claim_uid:
        return True
    if claim is None or claim["metadata"]["uid"] != record.claim_uid:
        return False
    return not record.volume_name or claim["spec"].get("volumeName") == record.volume_name


def _require_recorded_mount(live: Live, agent: Home) -> None:
    """Where the Deployment mounts another volume than the proved one, or mounts it elsewhere, a person has to say which
    of the two holds the memory."""
    if live.record is None or live.mounted is None:
        return
    recorded = live.record.facts.mount
    standing = live.mounted
    if standing != recorded:
        raise VolumeTroubled(
            ErrorKind.CONFLICT,
            f"{agent.name}: the Deployment mounts {standing.shown()}, and the record says "
            f"{recorded.shown()}. Which of the two holds its memory is yours to say",
            "\n".join([*_choices(live, recorded, standing, agent), _NOTHING]),
        )


def _choices(live: Live, recorded: Mount, standing: Mount, agent: Home) -> list[str]:
    """Which of the two is there to be chosen, and how."""
    lines = []
    if live.record and is_same_claim(live.claim, live.record) and live.claim is not None:
        lines.append(f"As recorded, {recorded.shown()}: {_accept(agent, recorded)}")
    else:
        lines.append(f"Claim {recorded.claim} is not there any more, or was made anew: it does not hold the memory.")
    if standing.claim:
        lines.append(f"As it is mounted now, {standing.shown()}: {_accept(agent, standing)}")
    return lines


def _require_what_is_named(live: Live, accepted: Mount, agent: Home) -> None:
    """A claim that is there, and no other agent's; one of this agent's own may be made anew."""
    own = {names.claim(agent.name)}
    own |= {live.record.facts.mount.claim} if live.record else set()
    own |= {live.mounted.claim} if live.mounted else set()
    if live.claim is None and accepted.claim not in own:
        raise AgentError(
            ErrorKind.INVALID,
            f"{agent.name}: accept_volume: there is no claim {accepted.claim} in namespace {agent.namespace}",
            f"Look which there are: kubectl get pvc -n {agent.namespace}",
        )
    owner = (
        live.claim["metadata"]["labels"].get(names.INSTANCE_LABEL) if live.claim and names.is_ours(live.claim) else ""
    )
    if owner and owner != agent.name:
        raise AgentError(
            ErrorKind.NOT_OURS,
            f"{agent.name}: accept_volume: claim {accepted.claim} holds the memory of {owner}",
            "Two agents on one volume would write over each other. Name a claim of its own.",
        )


def _require_one_meaning(live: Live, accepted: Mount, agent: Home) -> None:
    """The one named claim, mounted in two ways: which one is meant?"""
    if accepted.path or live.record is None or live.mounted is None:
        return
    standing = live.mounted
    recorded = live.record.facts.mount
    if standing.claim == recorded.claim == accepted.claim and standing != recorded:
        raise AgentError(
            ErrorKind.INVALID,
            f"{agent.name}: accept_volume={accepted.claim} can mean two: it is recorded at {recorded.path}, and the "
            f"Deployment mounts it at {standing.path}",
            f"{_accept(agent, recorded)}, or {_accept(agent, standing)}",
        )


def _other(agent: Home, claim: str, words: str) -> VolumeTroubled:
    hint = f"{other_volume(agent, claim)}\n{_NOTHING}"
    return VolumeTroubled(ErrorKind.CONFLICT, f"{agent.name}: {words}. It is not the recorded volume", hint)


def other_volume(agent: Home, claim: str) -> str:
    """What a person can do whose agent's volume is not the recorded one."""
    return (
        f"Bring the memory back onto claim {claim} first. Then, or to start the agent with whatever it holds: "
        f"{_accept(agent, Mount(claim, ''))}"
    )


def _accept(agent: Home, mount: Mount) -> str:
    return f"ansible-playbook rollout.yml -e agent={agent.name} -e accept_volume={mount.word()}"

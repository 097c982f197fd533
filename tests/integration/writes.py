"""The writes of a recorded run, as places for faults: a write that is new in the code cannot be forgotten."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.standing import DURATION_VARIABLE
from tests.integration.fleet import NAMESPACE, Fleet, Object, get, kubectl
from tests.sandbox.kill import AfterWrite
from tests.sandbox.proxy import Armed, FaultProxy, Match, Request, Rule, Through, proxied

#: So many rollouts at a time: two cores are busy with them, and pods that start slowly are not the fault looked for.
AT_ONCE = 4
PATIENT = {
    "agent_secret_refresh": "1h",
    "agent_sync_timeout": 120,
    "agent_startup_seconds": 120,
    "agent_timeout": 240,
}
#: For those who die by the dozen, and who come after them. What the lock itself promises is tested with the real one.
SHORT_LOCK = {DURATION_VARIABLE: "5"}
#: In the path of the list that a first lease is posted to, and of each lease.
LEASE = "/leases"
#: Stands for the agent's name in a place that was recorded with another agent.
_AGENT = "AGENT"


#: All objects of an agent that a rollout may patch or delete.
FENCED = {
    "serviceaccount": "{}",
    "persistentvolumeclaim": "{}-state",
    "networkpolicy": "{}",
    "secretstore": "{}-vault",
    "externalsecret": "{}-env-secret",
    "deployment": "{}",
    "configmap": "{}-releases",
}


@dataclass(frozen=True)
class Record:
    """A run: its writes in order, and how long it took in seconds."""

    agent: str
    writes: list[Request]
    seconds: float


def servers(through: Through) -> dict[str, str]:
    """Where the proxy's clients go."""
    return {name: through.environment[name] for name in ("KUBECONFIG", "VAULT_ADDR")}


def record(fleet: Fleet, agent: str, folder: Path, playbook: str, *words: str, code: int = 0) -> Record:
    """The writes of one run of a playbook that ends with `code`."""
    folder.mkdir()
    with proxied(folder) as through:
        # Whoever strikes by the clock strikes the real program.
        run = fleet.play(playbook, "-e", f"agent={agent}", *words, env=servers(through), real=True)
        assert run.rc == code, run.output
        return Record(agent, through.proxy.writes(), run.seconds)


def record_good(fleet: Fleet, agent: str, folder: Path) -> Record:
    """Of a rollout."""
    return record(fleet, agent, folder, "rollout.yml")


def places(run: Record) -> Iterator[tuple[str, AfterWrite]]:
    """(words, place) for each write of the run. Renewals of the lock come by the clock, so they are no places.

    A place is the n-th write to objects of its kind, not of the run: how many writes of others come before it is not
    ours to say (a Secret that ESO brought in time need not be asked for).
    """
    others = [write for write in run.writes if LEASE not in write.path]
    assert LEASE in run.writes[0].path, "a run begins with its lock"
    assert LEASE in run.writes[-1].path, "a run ends with releasing its lock"
    yield "the lock", AfterWrite(1)
    counted = Counter[str]()
    for write in others:
        kind = write.path if _creates(write) else write.path.rpartition("/")[0]
        counted[kind] += 1
        words = f"{write.method} {' '.join(kind.split('/')[-2:])}, {counted[kind]}"
        yield words, AfterWrite(counted[kind], path=rf"{re.escape(kind)}[/?]")
    last = re.escape(others[-1].path).replace(re.escape(run.agent), _AGENT)
    yield "the lock's release", AfterWrite(1, path=LEASE, start=last)


def _creates(write: Request) -> bool:
    """A POST to the list of a kind: the object's name is in its body."""
    return write.method == "POST" and write.path.startswith("/api")


def came(place: AfterWrite, writes: list[Request]) -> bool:
    """Whether the run had this write at all."""
    return sum(re.search(place.path, write.target) is not None for write in writes) >= place.n


def meet(fault: Callable[[Match], Rule], place: AfterWrite, proxy: FaultProxy, armed: list[Armed]) -> None:
    """This fault at this write; the rule is in `armed` once it is armed."""
    rule = fault(Match(writes_only=True, path=place.path, first=place.n))
    if not place.start:
        armed.append(proxy.add(rule))
    else:
        proxy.after_write(1, lambda _request: armed.append(proxy.add(rule)), path=place.start)


def of_agent(place: AfterWrite, agent: str) -> AfterWrite:
    """The same place in the run of another agent."""
    return replace(place, start=place.start.replace(_AGENT, agent))


def alone(fleet: Fleet, agent: str, folder: Path) -> Fleet:
    """One agent as the only one of an inventory: runs at the same time share no files."""
    folder.mkdir(parents=True)
    return Fleet(folder, [agent], dict(fleet.variables), dict(fleet.host_variables))


def roll_all(fleet: Fleet, agents: list[str], folder: Path) -> None:
    """A good rollout of them in one run."""
    folder.mkdir()
    together = Fleet(folder, agents, dict(fleet.variables), dict(fleet.host_variables), canaries=agents)
    together.play("rollout.yml", "--forks", str(AT_ONCE), timeout=300 + 30 * len(agents)).ok()


def running_image(agent: str) -> str:
    """By its digest: a tag may move while a long test runs."""
    live = get("deployment", agent)
    assert live
    return str(live["spec"]["template"]["spec"]["containers"][0]["image"])


def new_values(fleet: Fleet, agent: str) -> None:
    """A hand edit in Vault: the next rollout has something to do."""
    fleet.put(agent, {**fleet.values(agent), "OPENCLAW_GATEWAY_TOKEN": f"new-token-for-{agent}"})


def leave_a_lock(agent: str) -> None:
    """As a run that was killed leaves it."""
    spec = {"holderIdentity": "dead@elsewhere #00000000", "leaseDurationSeconds": int(SHORT_LOCK[DURATION_VARIABLE])}
    patch = json.dumps({"spec": spec})
    kubectl("patch", "lease", f"fleet-{agent}", "-n", NAMESPACE, "--type=merge", "-p", patch)


def lease(agent: str) -> Object:
    found = get("lease", names.lease(agent))
    assert found
    return found


def holder(agent: str) -> str:
    """Who holds the agent's lock; '' when it is free."""
    found = get("lease", names.lease(agent))
    return str(((found or {}).get("spec") or {}).get("holderIdentity") or "")


def fences(agent: str) -> dict[str, str]:
    """Kind -> the fence on what is there of FENCED; '' where there is none."""
    found = {kind: get(kind, name.format(agent)) or {} for kind, name in FENCED.items()}
    return {kind: one["metadata"].get("annotations", {}).get(names.FENCE, "") for kind, one in found.items() if one}


def releases(agent: str) -> list[str]:
    """The ids of the agent's recorded releases."""
    kept = get("configmap", f"{agent}-releases")
    return [entry["id"] for entry in json.loads(kept["data"]["releases.json"])] if kept else []

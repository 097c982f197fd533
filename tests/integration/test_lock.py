"""The lock of an agent on the real API server: two runs, dead runs, zombies, stolen locks."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import sealed
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.standing import DURATION_VARIABLE
from tests.integration.failing import error_of
from tests.integration.fleet import NAMESPACE, Fleet, Object, apply, get, kubectl, pods
from tests.integration.writes import lease, servers
from tests.sandbox.existing import Existing
from tests.sandbox.paths import CHECKOUT
from tests.sandbox.proxy import ALWAYS, Match, Request, Through, answer, hold, lose_answer, proxied

Make = Callable[..., Fleet]
DEAD = "dead@elsewhere"
_LEASE = "/leases/"


def leave_a_lock(agent: str, holder: str = DEAD) -> None:
    """As a killed run leaves it; its clock was an hour ahead of ours, which must make no difference."""
    ahead = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() + 3600))
    spec = {"holderIdentity": f"{holder} #0000", "leaseTransitions": 7, "acquireTime": ahead, "renewTime": ahead}
    name = names.lease(agent)
    meta = {"name": name, "namespace": NAMESPACE, "labels": names.labels(agent)}
    if get("lease", name):
        kubectl("patch", "lease", name, "-n", NAMESPACE, "--type=merge", "-p", json.dumps({"spec": spec}))
    else:
        apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec})


def fences(agent: str) -> list[str]:
    """The fence on the Deployment and on the ExternalSecret; '' where there is none."""
    found = [get("deployment", agent), get("externalsecret", names.external_secret(agent))]
    return [((one or {}).get("metadata", {}).get("annotations") or {}).get(names.FENCE, "") for one in found]


def at_the_lock(requests: list[Request]) -> float:
    """Seconds from the first look at the lease to the last request about it (or to its being taken)."""
    times = [request.time for request in requests if _LEASE in request.path and request.path.count("/fleet-")]
    taken = [request.time for request in requests if _LEASE in request.path and request.is_write]
    return (taken or times)[-1 if not taken else 0] - times[0]


@pytest.fixture
def context(sandbox: Existing, tmp_path: Path) -> Context:
    folder = tmp_path / "private"
    folder.mkdir()
    return Context(dict(os.environ), str(folder))


@pytest.fixture
def kube(proxy: Through, context: Context) -> Kube:
    """The operator, through the proxy."""
    return Kube({"kubeconfig": str(proxy.kubeconfig)}, context)


def test_of_two_rollouts_one_works_and_the_other_names_it(make_fleet: Make, proxy: Through, tmp_path: Path) -> None:
    fleet = make_fleet("tranca-dois")
    # The first one stands before its Deployment, lock in hand, until the second has given up.
    standing = proxy.proxy.add(hold(Match(methods={"POST"}, path="/deployments")))
    words = ["-e", "agent=tranca-dois", "-e", "awx_job_id=812", "-e", "awx_user_name=alice"]
    other = Fleet(tmp_path / "other", ["tranca-dois"])
    folder = tmp_path / "second"
    folder.mkdir()
    with (tmp_path / "first").open("w+") as output, proxied(folder) as second:
        first = subprocess.Popen(
            fleet.command("rollout.yml", *words), cwd=CHECKOUT, env=fleet.environment(**servers(proxy)),
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            standing.wait_fired(timeout=60)
            run = other.rollout("tranca-dois", env=servers(second)).failed("job 812 (alice)")
            assert error_of(run, "tranca-dois")["kind"] == "locked"
            assert at_the_lock(second.proxy.requests()) < 5
            assert not second.proxy.writes()
            standing.release()
            assert first.wait(120) == 0, Path(output.name).read_text()
        finally:
            first.kill()
            first.wait()
    assert len(pods("tranca-dois")) == 1
    assert not lease("tranca-dois")["spec"]["holderIdentity"]


def test_the_lock_of_a_dead_run_is_taken_over_and_its_fence_raised(make_fleet: Make, proxy: Through) -> None:
    fleet = make_fleet("tranca-morta")
    fleet.rollout("tranca-morta").ok()
    assert fences("tranca-morta") == ["", ""]
    leave_a_lock("tranca-morta")
    run = fleet.rollout("tranca-morta", env=servers(proxy)).ok()
    # Nothing else was to be done, yet the plan sees the lock: the next run must find it free.
    assert f"locked by {DEAD}" in run.output
    assert f"lock of {DEAD} has not moved for 15 s; taking it over" in run.output
    assert 15 <= at_the_lock(proxy.proxy.requests()) < 20
    assert lease("tranca-morta")["spec"]["leaseTransitions"] == 8
    assert not lease("tranca-morta")["spec"]["holderIdentity"]
    assert fences("tranca-morta") == ["8", "8"]
    assert len(pods("tranca-morta")) == 1
    assert "nothing to do for tranca-morta" in fleet.rollout("tranca-morta").ok().output


def test_a_run_with_a_short_lock_does_not_break_a_long_one(make_fleet: Make, proxy: Through) -> None:
    """As the tests of kills run: their own dead are taken over soon, nobody else's."""
    agent = "tranca-curta"
    fleet = make_fleet(agent)
    leave_a_lock(agent)
    kubectl(
        "patch", "lease", f"fleet-{agent}", "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"leaseDurationSeconds":9}}'
    )
    run = fleet.rollout(agent, env={**servers(proxy), DURATION_VARIABLE: "5"}).ok()
    assert f"lock of {DEAD} has not moved for 9 s; taking it over" in run.output
    assert 9 <= at_the_lock(proxy.proxy.requests()) < 14
    assert lease(agent)["spec"]["leaseDurationSeconds"] == 5


def test_a_zombie_writes_nothing_after_its_lock_was_broken(
    make_fleet: Make, proxy: Through, kube: Kube, context: Context
) -> None:
    fleet, agent = make_fleet("tranca-zumbi"), "tranca-zumbi"
    fleet.rollout(agent).ok()
    leave_a_lock(agent)
    # What the zombie read before it froze.
    seen = {kind: get(kind, name) for kind, name in (("deployment", agent), ("externalsecret", f"{agent}-env-secret"))}
    wanted = copy.deepcopy(releases.read(get("configmap", f"{agent}-releases"))[-1].deployment)
    wanted["spec"]["template"]["metadata"]["annotations"][names.RESTART_ID] = "zombie"
    external = copy.deepcopy(seen["externalsecret"])
    assert external
    external = {
        **{part: external[part] for part in ("apiVersion", "kind")},
        "metadata": {part: external["metadata"][part] for part in ("name", "namespace", "labels")},
        "spec": {**external["spec"], "refreshInterval": "13m"},
    }
    # Its lock is broken by a run that has nothing to change: the fence alone must stop the zombie.
    run = fleet.rollout(agent, "-e", "force_unlock=true", env=servers(proxy)).ok()
    assert f"breaking the lock of {DEAD}" in run.output
    assert f"took the lock over from {DEAD}; fence 8" in run.output
    assert at_the_lock(proxy.proxy.requests()) < 5
    kinds = ("deployment", agent), ("externalsecret", f"{agent}-env-secret")
    before = [get(kind, name) for kind, name in kinds]
    zombie = Writer(kube, fence=7)
    for body, kind in ((sealed(wanted), "deployment"), (external, "externalsecret")):
        with pytest.raises(AgentError) as caught:
            zombie.apply(body, seen[kind])
        assert caught.value.kind is ErrorKind.LOCK_LOST
    assert [get(kind, name) for kind, name in kinds] == before
    assert not zombie.changes


def test_a_run_whose_lock_is_stolen_stops_writing(make_fleet: Make, proxy: Through) -> None:
    fleet, agent = make_fleet("tranca-roubada"), "tranca-roubada"
    # It stands before the proof of its Secret, and goes on when its renewal is refused and it has not yet read by whom.
    standing = proxy.proxy.add(hold(Match(methods={"GET"}, path=r"/secrets\?")))
    look = hold(Match(methods={"GET"}, path=_LEASE))

    def steal() -> None:
        standing.wait_fired(timeout=60)
        looking = proxy.proxy.add(look)
        leave_a_lock(agent, "thief@elsewhere")
        stolen.append(proxy.proxy.mark().number)
        looking.wait_fired(timeout=20)
        standing.release()
        proxy.proxy.wait_for(lambda request: "/secrets" in request.path and request.status == 200, timeout=20)
        time.sleep(1)  # it must not write in that time, and has nothing else to do
        looking.release()

    stolen: list[int] = []
    thread = threading.Thread(target=steal)
    thread.start()
    run = fleet.rollout(agent, env=servers(proxy)).failed("taken over by another run")
    thread.join()
    assert error_of(run, agent)["kind"] == "lock_lost"
    after = [request for request in proxy.proxy.writes() if request.number > stolen[0]]
    assert {(request.method, request.status) for request in after} == {("PUT", 409)}, after
    assert get("deployment", agent) is None
    assert lease(agent)["spec"]["holderIdentity"].startswith("thief@elsewhere")


def test_a_takeover_whose_answer_is_lost_is_a_takeover_all_the_same(
    make_fleet: Make, proxy: Through, kube: Kube, context: Context
) -> None:
    make_fleet("tranca-calada", provide=False)
    leave_a_lock("tranca-calada")
    lost = proxy.proxy.add(lose_answer(Match(methods={"PUT"}, path=_LEASE)))
    with Lock(kube, NAMESPACE, "tranca-calada", "me", context, force=True) as lock:
        assert lost.fired
        assert lock.taken_over_from == DEAD
        assert lock.fence == lease("tranca-calada")["spec"]["leaseTransitions"] > 7
        lock.require()
    assert not lease("tranca-calada")["spec"]["holderIdentity"]


def test_a_renewal_whose_answer_is_lost_is_made_again_at_once(
    make_fleet: Make, proxy: Through, kube: Kube, context: Context
) -> None:
    make_fleet("tranca-muda", provide=False)
    with Lock(kube, NAMESPACE, "tranca-muda", "me", context) as lock:
        mark = proxy.proxy.mark()
        lost = proxy.proxy.add(lose_answer(Match(methods={"PUT"}, path=_LEASE)))
        lost.wait_fired(timeout=10)
        proxy.proxy.wait_for(
            lambda request: (request.method, request.status, request.fault) == ("PUT", 200, ""), since=mark, timeout=10
        )
        lock.require()
    done = [(request.method, request.status) for request in proxy.proxy.requests(since=mark)]
    assert done[:4] == [("PUT", 200), ("PUT", 409), ("GET", 200), ("PUT", 200)], done
    assert not lease("tranca-muda")["spec"]["holderIdentity"]


def test_an_outage_longer_than_the_lock_loses_it_only_to_somebody_else(
    make_fleet: Make, proxy: Through, kube: Kube, context: Context
) -> None:
    make_fleet("tranca-longa", provide=False)
    with Lock(kube, NAMESPACE, "tranca-longa", "me", context) as lock:
        lock.require()
        outage = proxy.proxy.add(answer(503, ALWAYS))
        begun = time.monotonic()
        threading.Timer(14, outage.release).start()
        while time.monotonic() - begun < 13:
            lock.require()  # returns at once at first; from 12 s on it waits for the lock to be sure again
        assert outage.released.done(), "a write was allowed while nobody knew whose lock it was"
        lock.require()
    assert not lease("tranca-longa")["spec"]["holderIdentity"]


def test_a_run_that_only_believes_in_its_lock_does_not_write_over_what_another_made_meanwhile(
    make_fleet: Make, kube: Kube, context: Context
) -> None:
    """Trials G1, without an outage: the lock was edited by hand, and what is made after that bears no fence."""
    agent = "tranca-crente"
    make_fleet(agent, provide=False)

    def account(by: str) -> Object:
        meta = {"name": agent, "namespace": NAMESPACE, "labels": names.labels(agent), "annotations": {"by": by}}
        return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}

    with Lock(kube, NAMESPACE, agent, "first", context) as first:
        patch = json.dumps({"spec": {"holderIdentity": "second #00000000"}})
        kubectl("patch", "lease", names.lease(agent), "-n", NAMESPACE, "--type=merge", "-p", patch)
        Writer(kube, fence=first.fence + 1).apply(account("second"), None)
        writer = Writer(kube, fence=first.fence, may_write=first.require, doubt=first.doubt)
        with pytest.raises(AgentError) as refused:
            writer.apply(account("first"), None)
    assert refused.value.kind is ErrorKind.LOCK_LOST
    kept = get("serviceaccount", agent)
    assert kept
    assert kept["metadata"]["annotations"]["by"] == "second"


def test_whoever_breaks_a_lock_that_lives_begins_when_its_holder_knows(kube: Kube, context: Context) -> None:
    """Trials G1: for up to twelve seconds the first one believed in it, and made what the second one then met."""
    agent, told = "tranca-viva", list[str]()
    with Lock(kube, NAMESPACE, agent, "first", context) as first:
        first.require()
        listening = replace(context, progress=told.append)
        with Lock(kube, NAMESPACE, agent, "second", listening, force=True) as second:
            with pytest.raises(AgentError) as refused:
                first.require()
            assert refused.value.kind is ErrorKind.LOCK_LOST
            second.require()
    assert "for as long as whoever had it may be writing" in told[-1]

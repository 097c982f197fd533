"""Leases that other hands have had: deleted, emptied, edited, made by another tool, stamped by a clock that is wrong.

Whatever stands there, never two runs are sure of one agent at once, nobody waits for ever, and what cannot be settled
by waiting is told by the Lease's name, with what to do next.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from tests.integration.failing import error_of
from tests.integration.fleet import KWOK, NAMESPACE, Fleet, Object, apply, get, kubectl, until
from tests.integration.writes import SHORT_LOCK, lease, servers
from tests.sandbox.existing import Existing
from tests.sandbox.proxy import Match, Through, answer, hold

Make = Callable[..., Fleet]
AGENT = "arrendo"
OTHER = "dead@elsewhere"
SHORT = 5
HUGE = 2**31 - 1
#: From the first look to the end of what may be waited for: longer than two locks of ours last.
PATIENCE = 45.0


def stamp(hours: float = 0) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() + 3600 * hours))


def spec(**other: Any) -> Object:
    """As a run of ours that was killed leaves it; None takes a field out."""
    usual = {
        "holderIdentity": f"{OTHER} #0000",
        "leaseDurationSeconds": SHORT,
        "leaseTransitions": 7,
        "acquireTime": stamp(),
        "renewTime": stamp(),
    }
    return {key: value for key, value in {**usual, **other}.items() if value is not None}


def put(agent: str, wanted: Object, *, ours: bool = True) -> None:
    meta = {"name": names.lease(agent), "namespace": NAMESPACE, "labels": names.labels(agent) if ours else {"app": "x"}}
    apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": wanted})


def edit(agent: str, *operations: Object) -> None:
    """By a person's hand."""
    words = ("patch", "lease", names.lease(agent), "-n", NAMESPACE, "--type=json", "-p", json.dumps(operations))
    kubectl(*words)


def replace(path: str, value: object) -> Object:
    """Of a JSON patch; `add` puts it there, whether or not there is one."""
    return {"op": "add", "path": f"/spec{path}", "value": value}


def delete(agent: str) -> None:
    kubectl("delete", "lease", names.lease(agent), "-n", NAMESPACE, "--ignore-not-found")


@contextmanager
def moving(agent: str, hours: float) -> Iterator[None]:
    """Somebody renews it twice a second, by a clock of his own."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(0.5):
            with suppress(AssertionError):
                edit(agent, replace("/renewTime", stamp(hours)))

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Attempt:
    """Somebody who wants the lock: whether he had it, when, and what it was then."""

    def __init__(self, agent: str, folder: Path, *, force: bool = False, above: int = 0) -> None:
        self.agent = agent
        self.seconds = 0.0
        self.lock: Lock | None = None
        self.error: BaseException | None = None
        self._context = Context({**os.environ, **SHORT_LOCK}, str(folder))
        self._kube = Kube({"kubeconfig": os.environ["KUBECONFIG"]}, self._context)
        self._words: dict[str, Any] = {"force": force, "above": above, "is_new": False}
        # Nobody waits at the end for one that waits for ever.
        self._thread = threading.Thread(target=self._try, daemon=True)
        self._begun = time.monotonic()
        self._thread.start()

    def _try(self) -> None:
        try:
            with Lock(self._kube, NAMESPACE, self.agent, "me", self._context, **self._words) as lock:
                self.seconds = time.monotonic() - self._begun
                lock.require()
                self.lock = lock
        except BaseException as error:
            self.seconds = self.seconds or time.monotonic() - self._begun
            self.error = error

    def ended(self) -> Attempt:
        self._thread.join(max(0.0, self._begun + PATIENCE - time.monotonic()))
        if self._thread.is_alive():
            delete(self.agent)
            raise AssertionError(f"{self.agent}: neither had nor refused after {PATIENCE:.0f} s")
        return self

    def had(self) -> Lock:
        lock = self.ended().lock
        assert lock, f"{type(self.error).__name__}: {self.error}"
        return lock

    def refused(self) -> AgentError:
        error = self.ended().error
        assert isinstance(error, AgentError), f"{type(error).__name__}: {error}"
        assert error.kind is not ErrorKind.INTERNAL
        return error

    def told(self) -> AgentError:
        """Refused by words with which a person can go on."""
        error = self.refused()
        assert names.lease(self.agent) in error.message, error.message
        assert error.hint, error.message
        return error


@pytest.fixture
def attempt(sandbox: Existing, tmp_path: Path) -> Callable[..., Attempt]:
    def begin(agent: str, **words: Any) -> Attempt:
        return Attempt(agent, tmp_path, **words)

    return begin


#: Name -> what stands there, for nobody who lives.
DEAD = {
    "ahead": spec(acquireTime=stamp(1), renewTime=stamp(1)),
    "behind": spec(acquireTime=stamp(-1), renewTime=stamp(-1)),
    "years": spec(acquireTime=stamp(-1), renewTime=stamp(24 * 3650)),
    "never": spec(renewTime=None),
    "times": spec(acquireTime=None, renewTime=None),
    "duration": spec(leaseDurationSeconds=None),
    "plain": {"holderIdentity": "somebody"},
}
FREE = {
    "emptied": spec(holderIdentity=""),
    "nobody": spec(holderIdentity=None),
    "nothing": {},
}
#: What no run of ours ever writes.
BEYOND = {
    "long": spec(leaseDurationSeconds=HUGE),
    "forced": spec(leaseDurationSeconds=HUGE),
    "often": spec(leaseTransitions=HUGE),
    "often-free": spec(holderIdentity="", leaseTransitions=HUGE),
}


@pytest.fixture(scope="module")
def attempts(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Attempt]]:
    """All at once: most of it is waiting."""
    folder = tmp_path_factory.mktemp("leases")
    left = {**DEAD, **FREE, **BEYOND}
    agents = {name: f"{AGENT}-{name}" for name in left}
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: put(agents[name], left[name]), left))
        yield {name: Attempt(agent, folder, force=name == "forced") for name, agent in agents.items()}
    finally:
        kubectl("delete", "lease", "-n", NAMESPACE, "--ignore-not-found", *map(names.lease, agents.values()))


@pytest.mark.parametrize("name", DEAD)
def test_one_that_stands_still_for_its_duration_is_taken_over_whatever_its_times_say(
    attempts: dict[str, Attempt], name: str
) -> None:
    tried = attempts[name]
    lock = tried.had()
    assert SHORT <= tried.seconds < SHORT + 6
    assert lock.taken_over_from in (OTHER, "somebody")
    assert lock.fence == DEAD[name].get("leaseTransitions", 0) + 1
    after = lease(tried.agent)["spec"]
    assert (after["holderIdentity"], after["leaseTransitions"]) == ("", lock.fence)


@pytest.mark.parametrize("name", FREE)
def test_one_that_is_nobodys_is_had_in_the_end(attempts: dict[str, Attempt], name: str) -> None:
    assert attempts[name].had().fence == FREE[name].get("leaseTransitions", 0) + 1


@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "behind"])
def test_one_that_moves_is_respected_by_whatever_clock(
    make_fleet: Make, attempt: Callable[..., Attempt], hours: float
) -> None:
    agent = f"{AGENT}-move"
    make_fleet(agent, provide=False)
    put(agent, spec(renewTime=stamp(hours)))
    with moving(agent, hours):
        tried = attempt(agent)
        error = tried.refused()
    assert error.kind is ErrorKind.LOCKED
    assert OTHER in error.message
    assert tried.seconds < 5
    after = lease(agent)["spec"]
    assert (after["holderIdentity"], after["leaseTransitions"]) == (f"{OTHER} #0000", 7)


@pytest.mark.parametrize("renewed", [True, False], ids=["renewed", "still"])
def test_one_of_another_tool_is_named_and_left_alone(
    sandbox: Existing, attempt: Callable[..., Attempt], renewed: bool
) -> None:
    agent = f"{AGENT}-alheio"
    put(agent, spec(holderIdentity="controller-7f"), ours=False)
    try:
        before = lease(agent)
        if renewed:
            with moving(agent, 0):
                tried = attempt(agent).ended()
        else:
            tried = attempt(agent, force=True)
        error = tried.told()
        after = lease(agent)
    finally:
        delete(agent)
    assert error.kind is ErrorKind.NOT_OURS
    assert tried.seconds < 5
    assert {**after["spec"], "renewTime": ""} == {**before["spec"], "renewTime": ""}
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_lease_can_say_that_it_lasts_for_no_time(make_fleet: Make, seconds: int) -> None:
    """What stands on the server's own word needs no word of ours."""
    agent = f"{AGENT}-zero"
    make_fleet(agent, provide=False)
    put(agent, spec())
    with pytest.raises(AssertionError, match="must be greater than 0"):
        edit(agent, replace("/leaseDurationSeconds", seconds))


#: Hands at the Lease of a run that lives, after which nobody holds it.
LOOSENED: dict[str, Callable[[str], None]] = {
    "deleted": delete,
    "holder": lambda agent: edit(agent, replace("/holderIdentity", "")),
    "spec": lambda agent: edit(agent, replace("", {})),
}


@pytest.fixture
def living(sandbox: Existing, tmp_path: Path) -> Iterator[Callable[[str], Lock]]:
    """living(agent): the lock of a run that goes on."""
    context = Context({**os.environ, **SHORT_LOCK}, str(tmp_path))
    kube = Kube({"kubeconfig": os.environ["KUBECONFIG"]}, context)
    locks: list[Lock] = []

    def begin(agent: str) -> Lock:
        locks.append(Lock(kube, NAMESPACE, agent, "first", context))
        return locks[-1].__enter__()

    yield begin
    for lock in locks:
        lock.__exit__()


@pytest.mark.parametrize("how", LOOSENED)
def test_whoever_comes_after_a_hand_begins_when_the_run_before_knows(
    make_fleet: Make, living: Callable[[str], Lock], attempt: Callable[..., Attempt], how: str
) -> None:
    """For up to three seconds the first one believed in it, beside the second one."""
    agent = f"{AGENT}-solto"
    make_fleet(agent, provide=False)
    first = living(agent)
    first.require()
    before = lease(agent)["metadata"]["resourceVersion"]
    until(lambda: lease(agent)["metadata"]["resourceVersion"] != before, "it is renewed", 5)
    LOOSENED[how](agent)
    tried = attempt(agent)
    second = tried.had()
    assert _is_lost(first), "two runs were sure of the lock at once"
    assert second.fence > 0 or how == "deleted"


def _is_lost(lock: Lock) -> bool:
    try:
        lock.require()
    except AgentError as error:
        return error.kind is ErrorKind.LOCK_LOST
    return False


@pytest.mark.parametrize("how", LOOSENED)
def test_a_run_whose_lease_was_loosened_stops_although_nobody_else_came(
    make_fleet: Make, living: Callable[[str], Lock], how: str
) -> None:
    agent = f"{AGENT}-so"
    make_fleet(agent, provide=False)
    first = living(agent)
    LOOSENED[how](agent)
    until(lambda: _is_lost(first), "it knows", SHORT)
    with suppress(AssertionError):  # it may be gone
        assert not lease(agent)["spec"].get("holderIdentity")


#: What a hand may write beside the holder of a run that lives.
BESIDE = {
    "duration": [replace("/leaseDurationSeconds", HUGE)],
    "transitions": [replace("/leaseTransitions", 0)],
    "never-renewed": [{"op": "remove", "path": "/spec/renewTime"}],
    "clock": [replace("/renewTime", stamp(-1))],
}


@pytest.mark.parametrize("how", BESIDE)
def test_a_run_that_lives_puts_back_what_a_hand_wrote_beside_its_name(
    make_fleet: Make, living: Callable[[str], Lock], attempt: Callable[..., Attempt], how: str
) -> None:
    """Else whoever takes over from it, once it is dead, waits for ever, or under a lower fence."""
    agent = f"{AGENT}-ao-lado"
    make_fleet(agent, provide=False)
    put(agent, spec(holderIdentity=""))
    first = living(agent)
    assert first.fence == 8
    edit(agent, *BESIDE[how])
    assert attempt(agent).refused().kind is ErrorKind.LOCKED
    first.require()

    def is_back() -> bool:
        now = lease(agent)["spec"]
        return bool(now.get("renewTime")) and (now["leaseDurationSeconds"], now["leaseTransitions"]) == (SHORT, 8)

    until(is_back, "it is as the run that lives had it", SHORT)
    assert lease(agent)["spec"]["holderIdentity"] == first.identity


def test_a_renewal_that_is_refused_for_good_is_not_asked_for_without_end(
    make_fleet: Make, proxy: Through, tmp_path: Path
) -> None:
    """As by a policy's webhook: it is no conflict that a new look would settle."""
    agent = f"{AGENT}-recusa"
    make_fleet(agent, provide=False)
    context = Context({**os.environ, **SHORT_LOCK}, str(tmp_path))
    lock = Lock(Kube({"kubeconfig": str(proxy.kubeconfig)}, context), NAMESPACE, agent, "me", context)
    lock.__enter__()
    refusing = proxy.proxy.add(answer(400, Match(methods={"PUT"}, path="/leases/", times=None)))
    refusing.wait_fired(timeout=10)
    mark = proxy.proxy.mark()
    time.sleep(3)
    asked = len(proxy.proxy.requests(since=mark))
    ends = threading.Thread(target=lock.__exit__, daemon=True)
    ends.start()
    ends.join(10)
    is_over = not ends.is_alive()
    refusing.release()
    delete(agent)
    assert asked < 20, f"{asked} requests in three seconds"
    assert is_over, "the run does not end"


@pytest.mark.usefixtures("fake_nodes")
def test_a_rollout_whose_lease_is_deleted_writes_nothing_more_and_the_next_one_ends_it(
    make_fleet: Make, proxy: Through
) -> None:
    agent = f"{AGENT}-meio"
    fleet = make_fleet(agent, host_variables={agent: KWOK}, environ=SHORT_LOCK)
    standing_at = proxy.proxy.add(hold(Match(methods={"GET"}, path=r"/secrets\?")))
    gone: list[int] = []

    def remove() -> None:
        standing_at.wait_fired(timeout=60)
        delete(agent)
        gone.append(proxy.proxy.mark().number)
        proxy.proxy.wait_for(lambda one: (one.method, one.status) == ("PUT", 409), timeout=20)
        standing_at.release()

    thread = threading.Thread(target=remove)
    thread.start()
    run = fleet.rollout(agent, env=servers(proxy)).failed(agent)
    thread.join()
    assert error_of(run, agent)["kind"] == "lock_lost"
    after = [one for one in proxy.proxy.writes() if one.number > gone[0]]
    assert {(one.method, one.status) for one in after} == {("PUT", 409)}, after
    assert get("deployment", agent) is None
    assert get("lease", names.lease(agent)) is None
    fleet.rollout(agent).ok()


@pytest.mark.usefixtures("fake_nodes")
def test_a_fence_stays_above_what_stands_although_the_spec_was_emptied(make_fleet: Make) -> None:
    """Trials G2, by another hand: then each object said that another run had taken over."""
    agent = f"{AGENT}-cerca"
    fleet = make_fleet(agent, host_variables={agent: KWOK}, environ=SHORT_LOCK)
    put(agent, spec())
    fleet.rollout(agent, "-e", "force_unlock=true").ok()
    put(agent, spec(leaseTransitions=20))
    fleet.variables["agent_env"] = {"MARK": "2"}
    fleet.rollout(agent, "-e", "force_unlock=true").ok()
    live = get("deployment", agent)
    assert live
    assert live["metadata"]["annotations"][names.FENCE] == "21"
    edit(agent, replace("", {}))
    fleet.variables["agent_env"] = {"MARK": "3"}
    fleet.rollout(agent).ok()
    assert lease(agent)["spec"]["leaseTransitions"] > 21
    assert "nothing to do" in fleet.rollout(agent).ok().output


def test_the_table_bears_whatever_stands_there(make_fleet: Make) -> None:
    left = {**DEAD, **FREE, **BEYOND}
    agents = {f"{AGENT}-t-{name}": wanted for name, wanted in left.items()}
    fleet = make_fleet(*agents, f"{AGENT}-t-alheio", provide=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: put(*one), agents.items()))
    put(f"{AGENT}-t-alheio", spec(holderIdentity="controller-7f"), ours=False)
    try:
        run = fleet.play("playbooks/status.yml").ok()
    finally:
        delete(f"{AGENT}-t-alheio")
    for agent in fleet.names:
        assert agent in run.output


@pytest.mark.parametrize("name", BEYOND)
def test_what_a_hand_wrote_blocks_nobody_for_ever(attempts: dict[str, Attempt], name: str) -> None:
    """It is taken over, or told. Last in this file: they have waited meanwhile."""
    tried = attempts[name].ended()
    if tried.error:
        tried.told()
    else:
        assert tried.had().fence > 7

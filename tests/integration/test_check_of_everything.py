"""`--check` of every operation, on agents that are not well: it tells what would be done, or why not and what to do
next. It writes to nobody, and neither takes a lock nor minds one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hvac
import pytest
import yaml

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from tests.integration.failing import error_of
from tests.integration.fleet import NAMESPACE, Fleet, Object, Run, as_identity, get, pods, until, vault_admin, versions
from tests.integration.rotating import TOKEN
from tests.integration.test_memory import FOLDER, in_pod
from tests.integration.writes import PATIENT
from tests.sandbox.existing import Existing
from tests.sandbox.proxy.clients import proxied

ABSENT, NEW, FALLEN, LOOPING, HELD = (f"espelho-{word}" for word in ("nada", "novo", "caido", "laco", "preso"))
NEVER_STARTS: Object = {"agent_env": {"TESTGATEWAY_EXIT": 78}}
_UNTIL_BROKEN = f"if [ -e {FOLDER}/broken ]; then exit 3; fi; exec openclaw gateway run --bind lan --port 18789"
STARTS_UNTIL_BROKEN: Object = {"agent_command": ["sh", "-c"], "agent_args": [_UNTIL_BROKEN]}
#: What keeps an agent's values, its journal and what people bring for it.
_PATHS = ("agents", "agents-rotation", "agents-inbox")
#: No short word goes back to a release: that is the module's alone.
_GOING_BACK = {
    "hosts": "{{ agent }}",
    "gather_facts": False,
    "connection": "local",
    "tasks": [
        {
            "digitalsys.agents.agent_rollout": {
                "name": "{{ inventory_hostname }}",
                "to_release": "{{ release }}",
                **{
                    option: f"{{{{ agent_{option} | default(omit) }}}}"
                    for option in ("image", "namespace", "cluster_uid", "vault_server", "node_selector", "requests",
                                   "secret_refresh", "command", "args", "env", "grace_seconds", "startup_seconds")
                },
            }
        }
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """A playbook and its words."""

    playbook: str
    words: tuple[str, ...] = ()
    #: As whom, where not as the operator.
    identity: str = ""


OPERATIONS = {
    "rollout": Operation("rollout.yml"),
    "restart": Operation("playbooks/restart.yml"),
    "provision": Operation("playbooks/provision.yml", identity="PROVISIONER"),
    "rotate": Operation("playbooks/rotate.yml", ("-e", f"keys={TOKEN}")),
    "rotate_access": Operation("playbooks/rotate_access.yml"),
    "to_release": Operation("", ("-e", "release=r1")),
}


@dataclass(frozen=True)
class Told:
    """What it must say. kind: of the error; '' where it ends well."""

    words: tuple[str, ...]
    kind: str = ""


_ROLLOUT, _PROVISION = "ansible-playbook rollout.yml -e agent=", "provision.yml -e agent="
_AFRESH = "new pod: its gateway ends again and again: a new pod begins afresh"
_MADE = "Deployment is to be made"
_NO_VALUES = Told(("Vault has no values at kv/agents/", "nothing was written there yet", _PROVISION), "secret")
_NO_RELEASE = Told(("there is no release 'r1'", "Recorded: none"), "not_found")
_NEVER = Told(("was never rolled out", _ROLLOUT), "rollout")
_RENEWS = Told(("would make a second SecretID",))
_ROTATES = Told((f"would rotate {TOKEN}",))
CASES: dict[tuple[str, str], Told] = {
    (ABSENT, "rollout"): _NO_VALUES,
    (ABSENT, "restart"): _NO_VALUES,
    (ABSENT, "provision"): Told(
        (f"{TOKEN} generated (would)", f"AppRole {ABSENT}-role written (would)", "lacks GITHUB_TOKEN"), "secret"
    ),
    (ABSENT, "rotate"): Told(("there is no place for the journal", _PROVISION), "vault"),
    (ABSENT, "rotate_access"): Told((f"{ABSENT}-role", _PROVISION), "vault"),
    (ABSENT, "to_release"): _NO_RELEASE,
    (NEW, "rollout"): Told((_MADE,)),
    (NEW, "restart"): Told((_MADE,)),
    (NEW, "provision"): Told((f"AppRole {NEW}-role written (would)", _MADE)),
    (NEW, "rotate"): _NEVER,
    (NEW, "rotate_access"): Told((f"ExternalSecret {NEW}-env-secret is not there", _ROLLOUT), "secret"),
    (NEW, "to_release"): _NO_RELEASE,
    (FALLEN, "rollout"): Told(("new pod: ", "TESTGATEWAY_EXIT")),
    (FALLEN, "restart"): Told(("new pod: ", "TESTGATEWAY_EXIT")),
    (FALLEN, "provision"): Told((f"AppRole {FALLEN}-role written (would)", "TESTGATEWAY_EXIT")),
    (FALLEN, "rotate"): _NEVER,
    (FALLEN, "rotate_access"): _RENEWS,
    (FALLEN, "to_release"): _NO_RELEASE,
    (LOOPING, "rollout"): Told((_AFRESH,)),
    (LOOPING, "restart"): Told(("new pod: ",)),
    (LOOPING, "provision"): Told((f"AppRole {LOOPING}-role written (would)", _AFRESH)),
    (LOOPING, "rotate"): Told(("no pod of it is available", _ROLLOUT), "rollout"),
    (LOOPING, "rotate_access"): _RENEWS,
    (LOOPING, "to_release"): Told(()),
    (HELD, "rollout"): Told(("new pod: ", "MARK")),
    (HELD, "restart"): Told(("new pod: ", "MARK")),
    (HELD, "provision"): Told((f"AppRole {HELD}-role written (would)", "MARK")),
    (HELD, "rotate"): _ROTATES,
    (HELD, "rotate_access"): _RENEWS,
    (HELD, "to_release"): Told(()),
}


@dataclass(frozen=True)
class Glass:
    """The agents as they stand: one that is nowhere, one that was only provided for, one whose first release never
    ran, one whose gateway ends again and again, and one that a living run has its hands on."""

    fleet: Fleet
    lock: Lock

    def check(self, agent: str, operation: Operation, env: Mapping[str, str]) -> Run:
        playbook = operation.playbook or str(self.fleet.folder / "back.yml")
        return self.fleet.play(playbook, "-e", f"agent={agent}", *operation.words, "--check", "--diff", env=env)


@pytest.fixture(scope="module")
def glass(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glass]:
    if lacking := {"kubelet", "admin", "vault-admin"} - sandbox.capabilities:
        pytest.skip(f"this backend lacks: {', '.join(sorted(lacking))}")
    agents = [FALLEN, LOOPING, HELD]
    its_own: dict[str, Object] = {FALLEN: NEVER_STARTS, LOOPING: STARTS_UNTIL_BROKEN}
    fleet = Fleet(tmp_path_factory.mktemp("glass"), [NEW, *agents], PATIENT, dict(its_own), canaries=agents)
    with ExitStack() as stack:
        stack.callback(fleet.remove)
        fleet.provide()
        fleet.play("rollout.yml", "--limit", ",".join(agents), "--forks=3").failed("(exit 78)")
        in_pod(LOOPING, f"touch {FOLDER}/broken; kill 1")
        until(lambda: _waits(LOOPING), "its gateway ends again and again", 120)
        fleet.names.append(ABSENT)
        fleet.host_variables = {**its_own, FALLEN: {}, HELD: {"agent_env": {"MARK": "two"}}}
        (fleet.folder / "back.yml").write_text(yaml.safe_dump([_GOING_BACK]))
        context = Context(dict(os.environ), str(fleet.folder))
        kube = Kube({"kubeconfig": os.environ["KUBECONFIG"]}, context)
        yield Glass(fleet, stack.enter_context(Lock(kube, NAMESPACE, HELD, "somebody@elsewhere", context)))


def _waits(agent: str) -> bool:
    (pod,) = pods(agent)
    status = pod["status"]["containerStatuses"][0]
    return bool(status["restartCount"] > 1 and "waiting" in status["state"])


def _known_to_vault(agent: str) -> Object:
    """All that Vault would tell of an agent, values and what is alive included; None for what is not there."""
    client = vault_admin()
    approle = client.auth.approle
    entry = partial(client.secrets.kv.v2.read_secret_metadata, mount_point="kv")
    asked: dict[str, Callable[[], Any]] = {path: partial(entry, f"{path}/{agent}") for path in _PATHS}
    asked["policy"] = partial(client.sys.read_policy, f"agents-{agent}")
    asked["role"] = partial(approle.read_role, f"{agent}-role")
    asked["SecretIDs"] = partial(approle.list_secret_id_accessors, f"{agent}-role")
    return {what: _answer(ask) for what, ask in asked.items()}


def _answer(ask: Callable[[], Any]) -> Any:
    try:
        return ask()["data"]
    except (hvac.exceptions.InvalidPath, hvac.exceptions.InvalidRequest):  # the latter of a role's SecretIDs
        return None


def _known_to_the_cluster(agent: str) -> dict[str, Object]:
    """Without what controllers say by themselves, and the hour at which the lock's holder was last seen alive."""
    found = {}
    for name in versions(agent):
        kind, _, rest = name.partition("/")
        one = get(kind, rest) or {"metadata": {}}
        kept = {key: one["metadata"].get(key) for key in ("uid", "generation", "labels", "annotations")}
        spec = {key: value for key, value in (one.get("spec") or {}).items() if key != "renewTime"}
        found[name] = {"metadata": kept, "spec": spec, "data": one.get("data")}
    return found


@pytest.mark.parametrize(("agent", "name"), CASES, ids=["-".join(case).removeprefix("espelho-") for case in CASES])
def test_check_tells_all_and_touches_nothing(glass: Glass, tmp_path: Path, agent: str, name: str) -> None:
    operation, told = OPERATIONS[name], CASES[agent, name]
    if agent == LOOPING:
        until(lambda: _waits(agent), "it waits for its next try", 60)
    before = _known_to_the_cluster(agent), _known_to_vault(agent)
    identity = as_identity(operation.identity) if operation.identity else {}
    with proxied(tmp_path, {**os.environ, **identity}) as through:
        run = glass.check(agent, operation, through.environment)
        assert through.proxy.requests()
        assert through.proxy.writes() == []
    assert (_known_to_the_cluster(agent), _known_to_vault(agent)) == before
    glass.lock.require()

    assert run.rc == (2 if told.kind else 0), run.output
    for words in told.words:
        assert words in run.output, f"{words!r} is not in:\n{run.output}"
    if told.kind:
        assert error_of(run, agent)["kind"] == told.kind, run.output
        assert error_of(run, agent).get("hint") or len(run.message(agent).splitlines()) > 1, run.output
    assert "internal error" not in run.output
    if agent != ABSENT:
        for key, value in glass.fleet.values(agent).items():
            assert value not in run.output, f"{key} is shown"


def test_with_nothing_to_do_a_held_agent_is_named_with_its_holder(glass: Glass, tmp_path: Path) -> None:
    mine = glass.fleet.host_variables
    glass.fleet.host_variables = {**mine, HELD: {}}
    try:
        with proxied(tmp_path) as through:
            run = glass.check(HELD, OPERATIONS["rollout"], through.environment).ok()
            assert through.proxy.writes() == []
    finally:
        glass.fleet.host_variables = mine
    assert "it is locked by somebody@elsewhere" in run.output
    assert not run.changed(HELD)


def test_going_back_to_the_release_that_loops_is_foretold_as_a_new_pod(glass: Glass, tmp_path: Path) -> None:
    """Trials C7, of a release that a person names: the check was silent and ended well, and the run failed at once for
    what had ended before it, whatever was mended meanwhile."""
    until(lambda: _waits(LOOPING), "it waits for its next try", 60)
    with proxied(tmp_path) as through:
        run = glass.check(LOOPING, OPERATIONS["to_release"], through.environment).ok()
        assert through.proxy.writes() == []
    assert run.changed(LOOPING)
    assert run.results[LOOPING]["restarts"]

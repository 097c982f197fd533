"""Vault as somebody else keeps it: nothing that is theirs is lost to a provision, or it is refused before any write."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac
import pytest

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import KWOK, NAMESPACE, Fleet, as_identity, until, vault_admin
from tests.integration.rotating import TOKEN, inbox, journal, secret, told, vault_version
from tests.integration.test_provision_lasts import entry
from tests.sandbox.paths import CHECKOUT
from tests.sandbox.proxy import Match, Through, hold, proxied

Make = Callable[..., Fleet]
PERSONS = {"GITHUB_TOKEN": "of-a-person", "LINEAR_API_KEY": "of-a-person-too", "OLD_KEY": "what nobody asks for"}
THEIRS = {"owner": "financeiro", "agents": "not what you think"}
#: Vault's limit of custom metadata.
MOST_TOLD = 64
pytestmark = pytest.mark.usefixtures("fake_nodes")


@pytest.fixture
def provisioner(sandbox: object, tmp_path: Path) -> Iterator[Through]:
    """The fault proxy in front of both servers, for the provisioner."""
    folder = tmp_path / "provisioner"
    folder.mkdir()
    with proxied(folder, {**os.environ, **as_identity("PROVISIONER")}) as through:
        yield through


def settle(agent: str, **settings: Any) -> None:
    vault_admin().secrets.kv.v2.update_metadata(f"agents/{agent}", mount_point="kv", **settings)


def metadata(agent: str, mount: str = "kv") -> Any:
    return vault_admin().secrets.kv.v2.read_secret_metadata(f"agents/{agent}", mount_point=mount)["data"]


def values_at(agent: str, version: int | None = None, mount: str = "kv") -> Any:
    answer = vault_admin().secrets.kv.v2.read_secret_version(
        f"agents/{agent}", version, mount_point=mount, raise_on_deleted_version=True
    )
    return answer["data"]["data"]


def home(agent: str) -> dict[str, str]:
    return {"agents_home": f"{os.environ['AGENTS_SANDBOX_CLUSTER_UID']}/{NAMESPACE}/{agent}"}


def methods(through: Through, agent: str) -> list[str]:
    """Of the writes to its entry, in order."""
    return [one.method for one in through.proxy.writes() if one.path == f"/v1/kv/data/agents/{agent}"]


@pytest.mark.parametrize(
    ("name", "settings", "older"),
    [
        ("tudo", {}, {1: {"OLD_KEY": "older"}, 2: PERSONS}),
        ("uma", {"max_versions": 1}, {}),
        ("cas", {"cas_required": True}, {1: {"OLD_KEY": "older"}, 2: PERSONS}),
    ],
    ids=["all-versions", "one-version", "cas-required"],
)
def test_what_is_a_persons_stays_through_provision_rollout_and_rotation(
    make_fleet: Make, provisioner: Through, name: str, settings: dict[str, Any], older: dict[int, dict[str, str]]
) -> None:
    agent = f"cofre-{name}"
    fleet = make_fleet(agent, provide=False, host_variables={agent: KWOK}, variables={"agent_secret_refresh": "1h"})
    settle(agent, custom_metadata=THEIRS, **settings)
    kv = vault_admin().secrets.kv.v2
    for version, values in enumerate(({"OLD_KEY": "older"}, PERSONS)):
        kv.create_or_update_secret(f"agents/{agent}", values, cas=version, mount_point="kv")
    fleet.provision(agent, env=provisioner.environment).ok()
    assert methods(provisioner, agent) == ["PATCH"]
    values, version = entry(agent)
    assert version == 3
    assert {**PERSONS, TOKEN: values[TOKEN]} == values == secret(agent)
    assert told(agent) == {**THEIRS, **home(agent)}
    kept = {"max_versions": 0, "cas_required": False, **settings}
    assert {name: metadata(agent)[name] for name in kept} == kept
    assert {number: values_at(agent, number) for number in older} == older

    if settings.get("max_versions"):
        # What it would go back to would be gone: told, with what to do, and no write to Vault or the cluster.
        before = journal(agent)
        run = fleet.rotate(agent, "-e", f"keys={TOKEN}")
        message = message_of(run, agent)
        assert "Vault keeps 1 versions of kv/agents/cofre-uma" in message
        assert "vault kv metadata put -mount=kv -max-versions=10 agents/cofre-uma" in message
        assert not run.changed(agent)
        assert (vault_version(agent), journal(agent)) == (3, before)
        settle(agent, max_versions=10)
    vault_admin().secrets.kv.v2.update_metadata(f"agents-inbox/{agent}", cas_required=True, mount_point="kv")
    kv.create_or_update_secret(f"agents-inbox/{agent}", {"LINEAR_API_KEY": "newer", "LATER": "x"}, 0, mount_point="kv")
    fleet.rotate(agent, "-e", f"keys={TOKEN},LINEAR_API_KEY").ok()
    rotated, version = entry(agent)
    assert version == 4
    assert {**values, "LINEAR_API_KEY": "newer", TOKEN: rotated[TOKEN]} == rotated == secret(agent)
    assert rotated[TOKEN] != values[TOKEN]
    assert inbox(agent) == {"LATER": "x"}
    assert THEIRS.items() <= told(agent).items()
    assert values_at(agent, 3) == values


def test_only_the_first_version_is_a_write_of_the_whole_entry(make_fleet: Make, provisioner: Through) -> None:
    """Of an entry that a person has only settled: how it is to be kept stays."""
    agent = "cofre-primeira"
    fleet = make_fleet(agent, provide=False, host_variables={agent: KWOK})
    settle(agent, custom_metadata=THEIRS, max_versions=2, cas_required=True)
    fleet.provision(agent, env=provisioner.environment).failed("a person must supply GITHUB_TOKEN, LINEAR_API_KEY")
    fleet.variables["agent_key_policy"] = {key: {"generated": 32} for key in ("GITHUB_TOKEN", "LINEAR_API_KEY", TOKEN)}
    first = values_at(agent)
    fleet.provision(agent, env=provisioner.environment).ok()
    assert methods(provisioner, agent) == ["POST", "PATCH"]
    assert first.items() <= values_at(agent).items()
    assert values_at(agent, 1) == first
    found = metadata(agent)
    assert (found["max_versions"], found["cas_required"]) == (2, True)
    assert told(agent) == {**THEIRS, **home(agent)}


@pytest.mark.parametrize("there", [False, True], ids=["first", "later"])
def test_what_a_person_writes_meanwhile_is_never_written_over(
    make_fleet: Make, provisioner: Through, there: bool
) -> None:
    agent = f"cofre-junto-{'d' if there else 'p'}"
    fleet = make_fleet(agent, provide=False, host_variables={agent: KWOK})
    kv, path = vault_admin().secrets.kv.v2, f"agents/{agent}"
    if there:
        kv.create_or_update_secret(path, {"OLD_KEY": "before"}, mount_point="kv")
    standing = provisioner.proxy.add(hold(Match(path=f"/v1/kv/data/{path}$", writes_only=True)))

    def write() -> None:
        try:
            standing.wait_fired(timeout=30)
            kv.create_or_update_secret(path, PERSONS, mount_point="kv")
        finally:
            standing.release()

    thread = threading.Thread(target=write)
    thread.start()
    run = fleet.provision(agent, env=provisioner.environment)
    thread.join()
    # Whether it looks again by itself or says what to do, nothing of theirs is lost, and the end is the same.
    if run.rc:
        message = message_of(run, agent)
        assert "meanwhile" in message
        assert "again" in message
        assert values_at(agent) == PERSONS
        run = fleet.provision(agent, env=provisioner.environment)
    run.ok()
    values = values_at(agent)
    assert {**PERSONS, TOKEN: values[TOKEN]} == values


def test_custom_metadata_of_a_person_stay_however_many_there_are(make_fleet: Make) -> None:
    """The mark of whose the entry is finds its place beside them; what a rotation tells besides does not, and is
    refused."""
    agent = "cofre-cheio"
    fleet = make_fleet(agent, provide=False, host_variables={agent: KWOK})
    vault_admin().secrets.kv.v2.create_or_update_secret(f"agents/{agent}", PERSONS, mount_point="kv")
    theirs = {f"note-{number}": "x" for number in range(MOST_TOLD)}
    settle(agent, custom_metadata=theirs)
    fleet.provision(agent).ok()
    values = entry(agent)
    assert told(agent) == {**theirs, **home(agent)}
    run = fleet.rotate(agent, "-e", f"keys={TOKEN}")
    assert f"more than Vault's custom metadata hold ({MOST_TOLD} entries)" in message_of(run, agent)
    assert not journal(agent)
    assert entry(agent) == values


@contextmanager
def mounted(mount: str, version: int, **config: Any) -> Iterator[dict[str, dict[str, str]]]:
    """A KV engine there; by identity, the environment of one whose policy is for it what docs/permissions are for
    kv/."""
    admin, made = vault_admin(), {}
    admin.sys.enable_secrets_engine(backend_type="kv", path=mount, options={"version": str(version)})
    try:
        for identity in ("OPERATOR", "PROVISIONER"):
            text = (CHECKOUT / "docs/permissions" / f"{identity.lower()}.hcl").read_text()
            policy = f"test-cofre-{identity.lower()}"
            admin.sys.create_or_update_policy(policy, text.replace('"kv/', f'"{mount}/'))
            token = admin.auth.token.create(policies=[policy], ttl="10m", no_parent=True)["auth"]["client_token"]
            made[identity] = {**({} if identity == "OPERATOR" else as_identity(identity)), "VAULT_TOKEN": token}

        def is_settled() -> bool:
            try:
                admin.secrets.kv.v2.configure(**config, mount_point=mount)
            except hvac.exceptions.InvalidRequest:
                return False
            return True

        if version == 2:
            until(is_settled, f"{mount} is upgraded")
        yield made
    finally:
        admin.sys.disable_secrets_engine(mount)
        for identity in made:
            admin.sys.delete_policy(f"test-cofre-{identity.lower()}")


def test_an_agent_lives_at_another_mount(make_fleet: Make) -> None:
    """One with a slash in its name, that takes no write without check-and-set."""
    agent, mount = "cofre-longe", "equipe/kv"
    variables = {"agent_vault_mount": mount, "agent_secret_refresh": "1h"}
    fleet = make_fleet(agent, provide=False, host_variables={agent: KWOK}, variables=variables)
    with mounted(mount, 2, cas_required=True) as identities:
        kv = vault_admin().secrets.kv.v2
        kv.create_or_update_secret(f"agents/{agent}", PERSONS, 0, mount_point=mount)
        fleet.provision(agent, env=identities["PROVISIONER"]).ok()
        values = values_at(agent, mount=mount)
        assert {**PERSONS, TOKEN: values[TOKEN]} == values == secret(agent)
        assert metadata(agent, mount)["custom_metadata"] == home(agent)
        assert "nothing to do" in fleet.rollout(agent, env=identities["OPERATOR"]).ok().output
        fleet.rotate(agent, "-e", f"keys={TOKEN}", env=identities["OPERATOR"]).ok()
        rotated = values_at(agent, mount=mount)
        assert {**PERSONS, TOKEN: rotated[TOKEN]} == rotated == secret(agent)
        assert rotated[TOKEN] != values[TOKEN]
    for path in (f"agents/{agent}", f"agents-rotation/{agent}"):
        with pytest.raises(hvac.exceptions.InvalidPath):
            vault_admin().secrets.kv.v2.read_secret_metadata(path, mount_point="kv")


def test_a_kv_engine_of_version_1_is_refused_in_one_sentence(make_fleet: Make, provisioner: Through) -> None:
    """There check-and-set is silently ignored, and each write is of a whole entry."""
    agent, mount = "cofre-antigo", "kv-antigo"
    fleet = make_fleet(agent, provide=False, host_variables={agent: KWOK}, variables={"agent_vault_mount": mount})
    with mounted(mount, 1) as identities:
        kv = vault_admin().secrets.kv.v1
        kv.create_or_update_secret(f"agents/{agent}", PERSONS, mount_point=mount)
        env = {**provisioner.environment, "VAULT_TOKEN": identities["PROVISIONER"]["VAULT_TOKEN"]}
        for run in (fleet.provision(agent, env=env), fleet.rollout(agent, env=env)):
            message = message_of(run, agent)
            assert message.splitlines()[0].endswith(f"mount {mount} is not a KV engine of version 2"), message
            assert "agent_vault_mount" in message
            assert error_of(run, agent)["kind"] == "vault"
            assert not run.changed(agent)
        assert kv.read_secret(f"agents/{agent}", mount_point=mount)["data"] == PERSONS
    assert not provisioner.proxy.writes()

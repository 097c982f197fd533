"""How an operation is hosted: the play's environment, defaults, async, the ordinary module, surprises, credentials."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.failing import error_of
from tests.integration.fleet import NAMESPACE, Fleet, Run, gateway
from tests.integration.renewing import access, lock_out

Make = Callable[..., Fleet]
#: Executes like `local`, yet is another connection: the task runs as an ordinary module.
CONNECTION = """\
DOCUMENTATION = '''
name: elsewhere
short_description: this machine, as if it were another
description: [For tests.]
'''
from ansible.plugins.connection.local import Connection as Local


class Connection(Local):
    transport = "elsewhere"
"""
#: Where Vault's values and the Secret's are compared: both are in its words and in the frames around it.
THROWS = """\
import hmac


def thrown(one, other):
    raise RuntimeError(f"did not expect {one!r} beside {other!r}")


hmac.compare_digest = thrown
"""


def play(fleet: Fleet, task: dict[str, Any], *words: str, env: dict[str, str] | None = None, **play: Any) -> Run:
    """A playbook of one play and one task, run on the fleet's first agent."""
    book = fleet.folder / "book.yml"
    plugins = fleet.folder / "connection_plugins"
    plugins.mkdir(exist_ok=True)
    (plugins / "elsewhere.py").write_text(CONNECTION)
    whole = {"hosts": fleet.names[0], "gather_facts": False, "connection": "local", **play, "tasks": [task]}
    book.write_text(yaml.safe_dump([whole]))
    return fleet.play(str(book), *words, env=env)


def _look(**options: Any) -> dict[str, Any]:
    uid = os.environ["AGENTS_SANDBOX_CLUSTER_UID"]
    return {
        "digitalsys.agents.agent_info": {
            "names": ["{{ inventory_hostname }}"], "namespace": NAMESPACE, "cluster_uid": uid, **options,
        }
    }  # fmt: skip


def _rollout() -> dict[str, Any]:
    return {"ansible.builtin.import_role": {"name": "digitalsys.agents.agent"}}


@pytest.mark.parametrize("connection", ["local", "elsewhere"])
def test_the_environment_of_a_play_is_obeyed(make_fleet: Make, tmp_path: Path, connection: str) -> None:
    fleet = make_fleet("casa-ambiente", provide=False)
    right, wrong = os.environ["KUBECONFIG"], {"KUBECONFIG": str(tmp_path / "not-there")}
    lost = play(fleet, _look(), env=wrong, connection=connection)
    lost.failed("no usable access to a cluster")
    found = play(fleet, _look(), env=wrong, connection=connection, environment={"KUBECONFIG": right}).ok()
    assert found.results["casa-ambiente"]["agents"][0]["health"] == "missing"
    # The other way round: the right one in the process does not save a play that names a wrong one.
    misled = play(fleet, _look(), connection=connection, environment=wrong)
    misled.failed("no usable access to a cluster")
    # A task's own beats the play's, as everywhere in ansible.
    play(fleet, {**_look(), "environment": {"KUBECONFIG": right}}, connection=connection, environment=wrong).ok()


def test_defaults_of_the_action_group_are_obeyed(make_fleet: Make) -> None:
    fleet = make_fleet("casa-padrao", provide=False)
    task = {"digitalsys.agents.agent_info": {"names": ["casa-padrao"], "namespace": NAMESPACE}}
    defaults = {"group/digitalsys.agents.agents": {"cluster_uid": os.environ["AGENTS_SANDBOX_CLUSTER_UID"]}}
    play(fleet, task).failed("the inventory does not say which cluster is meant")
    play(fleet, task, module_defaults=defaults).ok()


def test_async_is_refused(make_fleet: Make) -> None:
    fleet = make_fleet("casa-depois", provide=False)
    for poll in (0, 5):
        play(fleet, {**_look(), "async": 30, "poll": poll}).failed("does not support async")


def test_the_ordinary_module_gives_the_same_result(make_fleet: Make, needs: Callable[..., None]) -> None:
    needs("kubelet")
    fleet = make_fleet("casa-modulo", variables={"agent_secret_refresh": "1h"})
    rendered = {"digitalsys.agents.agent": {
        "name": "casa-modulo", "state": "rendered", "image": "example.com/a/b@sha256:" + "0" * 64,
        "vault_server": "https://vault.example.com:8200",
    }}  # fmt: skip
    both = [play(fleet, rendered, connection=one).ok().results["casa-modulo"] for one in ("local", "elsewhere")]
    assert both[0]["objects"]
    assert both[0] == {name: value for name, value in both[1].items() if name not in ("invocation", "ansible_facts")}

    # A whole rollout as a module, and the same in ansible's process finds nothing to do.
    run = play(fleet, _rollout(), connection="elsewhere").ok()
    result = run.results["casa-modulo"]
    assert result["changed"]
    assert [step["step"] for step in result["steps"]] == ["R3", "R4", "R5", "R6", "R7", "R8"]
    for value in fleet.values("casa-modulo").values():
        assert value not in run.output + json.dumps(result)
    assert gateway("casa-modulo", fleet.values("casa-modulo")["OPENCLAW_GATEWAY_TOKEN"]) == 200
    assert not fleet.rollout("casa-modulo").ok().changed("casa-modulo")


@pytest.mark.parametrize("connection", ["local", "elsewhere"])
def test_an_exception_nobody_foresaw_shows_no_value(make_fleet: Make, tmp_path: Path, connection: str) -> None:
    fleet = make_fleet("casa-susto")
    (tmp_path / "sitecustomize.py").write_text(THROWS)
    value = "Um susto às três da manhã: <&> \"'\\"
    fleet.put("casa-susto", {**fleet.values("casa-susto"), "GITHUB_TOKEN": value})
    run = play(fleet, _rollout(), "-vvv", "--diff", env={"PYTHONPATH": str(tmp_path)}, connection=connection)
    run.failed("internal error: RuntimeError", "Please report it")
    error = error_of(run, "casa-susto")
    assert error["kind"] == "internal"
    assert any(" thrown" in where for where in error["where"])
    everything = run.output + json.dumps(run.results, ensure_ascii=False)
    for secret in (value, "susto às", *fleet.values("casa-susto").values(), os.environ["VAULT_TOKEN"]):
        assert secret not in everything
    assert "Traceback" not in run.output


def test_a_client_certificate_and_an_app_role_do_as_well(
    make_fleet: Make, needs: Callable[..., None], tmp_path: Path
) -> None:
    needs("kubelet", "admin")
    fleet = make_fleet("casa-chave")
    folder = tmp_path / "tmp"
    folder.mkdir()
    by_certificate = yaml.safe_load(Path(os.environ["AGENTS_SANDBOX_ADMIN_KUBECONFIG"]).read_text())
    assert {"client-certificate-data", "client-key-data"} <= set(by_certificate["users"][0]["user"])
    identity = {
        "KUBECONFIG": os.environ["AGENTS_SANDBOX_ADMIN_KUBECONFIG"],
        "VAULT_TOKEN": "",
        "VAULT_ROLE_ID": os.environ["AGENTS_SANDBOX_OPERATOR_ROLE_ID"],
        "VAULT_SECRET_ID": os.environ["AGENTS_SANDBOX_OPERATOR_SECRET_ID"],
        "TMPDIR": str(folder),
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible"),
    }
    for connection in ("elsewhere", "local"):
        run = play(fleet, _rollout(), env=identity, connection=connection).ok()
        assert identity["VAULT_SECRET_ID"] not in run.output
        assert [str(path) for path in folder.rglob("*") if path.is_file()] == []
    # Without any of Vault's credentials it says what to set.
    bare = {**identity, "VAULT_SECRET_ID": ""}
    play(fleet, _rollout(), env=bare).failed("Set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID")
    # A SecretID that is wrong is told from an AppRole that Vault has locked out, where a new one would not help.
    role = access("casa-chave")
    wrong = {**identity, "VAULT_ROLE_ID": role["role-id"], "VAULT_SECRET_ID": "no-longer"}
    play(fleet, _rollout(), env=wrong).failed("refuses the AppRole login", "Renew VAULT_SECRET_ID")
    lock_out(role)
    locked = play(fleet, _rollout(), env={**wrong, "VAULT_SECRET_ID": role["secret-id"]})
    locked.failed("has locked an AppRole out at auth/approle", "15 minutes after the last failed login")
    assert role["secret-id"] not in locked.output

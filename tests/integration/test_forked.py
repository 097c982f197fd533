"""A run by a fork and one by the real program cannot be told apart; what could make a difference is looked at."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.fleet import PROGRAMS, Fleet, until
from tests.integration.forked import READ_LATE, SERVER, Command, Server, run_real
from tests.sandbox.existing import Existing
from tests.sandbox.paths import CHECKOUT

Make = Callable[..., Fleet]
ANSIBLE_PLAYBOOK = str(PROGRAMS / "ansible-playbook")
#: `become` reads these anew.
READ_AGAIN = {"KUBECONFIG", "TMPDIR"}
#: Imports what a server does, and prints what of the environment was asked for meanwhile.
RECORDER = """\
import os, sys
asked, get = set(), os._Environ.__getitem__
def noting(self, name):
    asked.add(name)
    return get(self, name)
os._Environ.__getitem__ = noting
sys.path[0] = sys.argv[2]
import forkserver
forkserver.load(sys.argv[1])
print(*asked)
"""
#: What a playbook can see of the process that it runs in.
SEEN = (
    "{{ [ansible_playbook_python, ansible_version, ansible_config_file, playbook_dir, ansible_forks,"
    " hostvars['garfo-um'].agent_requests,"
    " lookup('ansible.builtin.pipe', 'pwd; umask; cat; ulimit -a; ls -l /proc/self/fd | wc -l'),"
    " lookup('ansible.builtin.pipe', 'env') | split('\n') | sort] }}"
)


def _book(folder: Path, *tasks: dict[str, Any], **play: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "book.yml").write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": list(tasks), **play}])
    )
    return str(folder / "book.yml")


@pytest.fixture(scope="module")
def server(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(ANSIBLE_PLAYBOOK, Fleet(tmp_path_factory.mktemp("any"), []).environment())
    yield server
    server.close()


def _same(server: Server, fleet: Fleet, playbook: str, *words: str, **env: str) -> tuple[int, str]:
    """The two have the same exit code, print the same and leave the same results."""
    command = Command(fleet.command(playbook, *words), fleet.environment(**env))
    assert server.serves(command)
    both = []
    for run in (server.run, run_real):
        for old in (fleet.folder / "results").glob("*"):
            old.unlink()
        # Its steps say after how many seconds they came.
        both.append((run(command), re.sub(r'"at": [0-9.]+', "", json.dumps(fleet.results(), sort_keys=True))))
    assert both[0] == both[1]
    return both[0][0]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("rollout.yml", "-e", "agent=dulcinea"), 4),
        (("rollout.yml", "--limit", "nobody"), 1),
        (("rollout.yml", "--list-tasks", "-vvv"), 0),
        (("not-there.yml",), 1),
        (("rollout.yml", "--no-such-option"), 2),
        (("--version",), 0),
    ],
)
def test_they_say_the_same_without_a_cluster(tmp_path: Path, server: Server, words: tuple[str, ...], code: int) -> None:
    assert _same(server, Fleet(tmp_path, ["garfo-um"]), *words)[0] == code


def test_they_see_and_do_the_same(tmp_path: Path, server: Server) -> None:
    fleet = Fleet(tmp_path, ["garfo-um"])
    look = {"ansible.builtin.debug": {"msg": SEEN}}
    warn = {"ansible.builtin.set_fact": {"a": "{{ lookup('ansible.builtin.env', 'NOT_THERE') }}"}, "when": "'{{ 1 }}'"}
    module = {"ansible.builtin.stat": {"path": "/"}, "loop": [1, 2]}
    fail = {"ansible.builtin.fail": {"msg": "on purpose"}}
    book = _book(tmp_path, look, {**warn, "ignore_errors": True}, fail)
    code, output = _same(server, fleet, book, "-vvv", "--diff", KUBECONFIG="/not/there", TMPDIR="/var/tmp")
    assert code == 2
    for word in ("memory: 32Mi", "on purpose", "KUBECONFIG=/not/there", "TMPDIR=/var/tmp", "PYTEST_CURRENT_TEST="):
        assert word in output
    # With so many words a module's temporary folder would be named.
    assert _same(server, fleet, _book(tmp_path, module))[0] == 0
    (tmp_path / "bad.yml").write_text("- hosts: localhost\n  tasks: [}\n")
    assert _same(server, fleet, str(tmp_path / "bad.yml"))[0] == 4


def test_they_roll_out_alike(make_fleet: Make, server: Server) -> None:
    name = "garfo-dois"
    fleet = make_fleet(name, variables={"agent_secret_refresh": "1h"})
    fleet.rollout(name).ok()
    words = ("-e", f"agent={name}")
    code, output = _same(server, fleet, "rollout.yml", *words)
    assert code == 0
    assert f"nothing to do for {name}" in output
    assert _same(server, fleet, "rollout.yml", *words, "--check", "--diff", "-e", "tag=second")[0] == 0
    assert _same(server, fleet, "playbooks/rotate.yml", *words, "-e", "keys=OPENCLAW_GATEWAY_TOKEN", "--check")[0] == 0
    assert _same(server, fleet, "playbooks/status.yml", *words)[0] == 0
    assert _same(server, fleet, "rollout.yml", *words, VAULT_TOKEN="no-longer")[0] == 2
    assert _same(server, fleet, "rollout.yml", *words, KUBECONFIG="/not/there")[0] == 2


def test_no_variable_that_is_read_late_is_read_early() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in READ_LATE}
    words = [str(PROGRAMS / "python"), "-c", RECORDER, ANSIBLE_PLAYBOOK, str(SERVER.parent)]
    done = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    asked = set(done.stdout.split())
    assert {"HOME", "ANSIBLE_CONFIG", "ANSIBLE_FORKS"} <= asked, "the recorder sees what is asked for"
    assert asked & READ_LATE <= READ_AGAIN


def test_other_runs_are_left_to_the_real_program(tmp_path: Path, server: Server) -> None:
    env = Fleet(tmp_path, []).environment()
    assert server.serves(Command([ANSIBLE_PLAYBOOK, "rollout.yml"], {**env, "VAULT_ADDR": "http://127.0.0.1:1"}))
    for other in ({"HOME": "/"}, {"ANSIBLE_CONFIG": "/x"}, {"PYTHONPATH": "/x"}, {"ANSIBLE_FORKS": "1"}, {"NEW": "1"}):
        assert not server.serves(Command([ANSIBLE_PLAYBOOK, "rollout.yml"], {**env, **other}))
    assert not server.serves(Command([ANSIBLE_PLAYBOOK, "rollout.yml"], env, tmp_path))
    assert not server.serves(Command([ANSIBLE_PLAYBOOK, "rollout.yml", "-vvvv"], env))
    assert not server.serves(Command(["/usr/bin/ansible-playbook", "rollout.yml"], env))


def test_each_has_a_temporary_folder_of_its_own(tmp_path: Path) -> None:
    """One that ends while another goes on takes nothing away from it; at the end nothing is left."""
    temporary = tmp_path / "tmp"
    env = {**Fleet(tmp_path, []).environment(), "ANSIBLE_LOCAL_TEMP": str(temporary)}
    server = Server(ANSIBLE_PLAYBOOK, env)
    wait = {"ansible.builtin.wait_for": {"path": str(tmp_path / "go"), "sleep": 1}}
    copy = {"ansible.builtin.copy": {"content": "x", "dest": str(tmp_path / "copied"), "mode": "0600"}}
    slow, quick = (
        Command([ANSIBLE_PLAYBOOK, _book(tmp_path / name, {"ansible.builtin.debug": {}}, *tasks)], env)
        for name, tasks in (("slow", (wait, copy)), ("quick", (copy,)))
    )
    ends: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: ends.append(server.run(slow)))
    thread.start()
    until(lambda: len(list(temporary.iterdir())) == 2, "a folder of the server and one of the run")
    assert server.run(quick)[0] == 0
    assert thread.is_alive()
    assert len(list(temporary.iterdir())) == 2
    (tmp_path / "go").touch()
    thread.join()
    assert ends[0][0] == 0, ends[0][1]
    server.close()
    assert not list(temporary.iterdir())


def test_a_run_that_takes_too_long_is_killed(tmp_path: Path, server: Server) -> None:
    book = _book(tmp_path, {"ansible.builtin.wait_for": {"timeout": 20}})
    with pytest.raises(subprocess.TimeoutExpired):
        server.run(Command([ANSIBLE_PLAYBOOK, book], Fleet(tmp_path, []).environment(), timeout=3))
    assert not Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    # It goes on serving.
    assert server.run(Command([ANSIBLE_PLAYBOOK, "--version"], Fleet(tmp_path, []).environment()))[0] == 0

"""ansible-playbook run by a fork of a process that has imported everything: most of a short run are its imports.

One server for each process of pytest. It serves what it can serve truly: runs of the same program in the same folder
and environment, but for the variables that are read late. All others are run by the real program, as is the first of
each file of tests.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.sandbox.paths import CHECKOUT

#: Read by a run when it needs them, not while ansible is imported: tests/integration/test_forked.py.
READ_LATE = frozenset(
    {
        "AGENTS_TEST_LOCK_SECONDS",
        "ANSIBLE_CALLBACK_TREE_DIR",
        "KUBECONFIG",
        "PYTEST_CURRENT_TEST",
        "TMPDIR",
        "VAULT_ADDR",
        "VAULT_ROLE_ID",
        "VAULT_SECRET_ID",
        "VAULT_TOKEN",
    }
)
SERVER = Path(__file__).with_name("forkserver.py")
_one_at_a_time = threading.Lock()
_servers: list[Server] = []
_files: set[str] = set()


@dataclass(frozen=True)
class Command:
    """One ansible-playbook."""

    words: Sequence[str]
    env: Mapping[str, str]
    cwd: Path = CHECKOUT
    timeout: float = 300


def early(env: Mapping[str, str]) -> dict[str, str]:
    """What ansible may read once, when it is imported."""
    return {name: value for name, value in env.items() if name not in READ_LATE}


def run_real(command: Command) -> tuple[int, str]:
    """(exit code, all that was printed); subprocess.TimeoutExpired."""
    done = subprocess.run(
        command.words, cwd=command.cwd, env=command.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=command.timeout,
    )  # fmt: skip
    return done.returncode, done.stdout


def run(command: Command, usual: Mapping[str, str]) -> tuple[int, str]:
    """As run_real does. `usual`: the environment of the runs that a server is for."""
    # Of pytest, "FILE::TEST (PHASE)". Elsewhere, in a benchmark for one, there is nothing to be saved.
    file = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
    with _one_at_a_time:
        first = not file or file not in _files
        _files.add(file)
        if not first and not _servers:
            _servers.append(Server(command.words[0], usual))
    if first or not _servers[0].serves(command):
        return run_real(command)
    return _servers[0].run(command)


class Server:
    """See forkserver.py. It ends with this process, and its runs with it."""

    def __init__(self, program: str, usual: Mapping[str, str]) -> None:
        self.program, self.env = program, early(usual)
        self._control, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile("w+") as printed:
            self._process = subprocess.Popen(
                [Path(program).with_name("python"), SERVER, program, str(theirs.fileno())],
                cwd=CHECKOUT, env=self.env, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT,
            )  # fmt: skip
            theirs.close()
            ready = self._control.recv(1)
            printed.seek(0)
            told = printed.read()
        atexit.register(self.close)
        assert ready, told
        assert not told, f"what is printed while ansible is imported would be missing in each run: {told}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def serves(self, command: Command) -> bool:
        return (
            (command.words[0], command.cwd, early(command.env)) == (self.program, CHECKOUT, self.env)
            # It would tell of each collection that it loads: here they are.
            and not any(word.startswith("-vvvv") for word in command.words)
        )

    def run(self, command: Command) -> tuple[int, str]:
        mine, theirs = socket.socketpair()
        with tempfile.TemporaryFile("w+") as output, mine:
            with theirs, _one_at_a_time:
                socket.send_fds(self._control, [b"!"], [theirs.fileno(), output.fileno()])
            mine.settimeout(command.timeout)
            mine.sendall(json.dumps({"argv": command.words, "env": dict(command.env)}).encode() + b"\n")
            told = b""
            try:
                while more := mine.recv(64):
                    told += more
            except BaseException as error:
                with suppress(ValueError, ProcessLookupError):
                    os.killpg(int(told), signal.SIGKILL)
                mine.settimeout(10)
                while mine.recv(64):  # until it has ended
                    pass
                if isinstance(error, TimeoutError):
                    output.seek(0)
                    raise subprocess.TimeoutExpired(command.words, command.timeout, output.read()) from None
                raise
            output.seek(0)
            _group, status = told.split()
            return os.waitstatus_to_exitcode(int(status)), output.read()

    def close(self) -> None:
        self._control.close()
        self._process.wait(10)

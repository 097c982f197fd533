"""Runs a command and kills it the hard way, and looks for what outlived it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from .proxy.journal import Mark, Request, When
from .proxy.server import FaultProxy

#: Inherited by everything the command starts, wherever it moves to.
MARKER = "AGENTS_TEST_RUN"
#: How long a process that its parent's death takes along may need to be gone, in seconds.
_TAKEN_ALONG = 0.5


@dataclass(frozen=True)
class AfterWrite:
    """Kill at the n-th write that an upstream answered, before or after the answer is passed on."""

    n: int
    when: When = "before"
    front: str = ""  # one of the proxy's fronts; "" counts over all
    path: str = ""  # a regular expression: only writes whose "path?query" holds it are counted
    start: str = ""  # another one: counting begins after the first write that holds it


@dataclass(frozen=True)
class Process:
    """A live process and its command line."""

    pid: int
    command: str


@dataclass(frozen=True)
class Killed:
    """What became of the command.

    `killed` is False when it ended by itself before its time came. `mark` is the moment at which nobody was left of
    its process group (None without a proxy). `survivors` are processes of it in other groups that went on living
    after it; they have been killed since.
    """

    output: str
    returncode: int
    killed: bool
    mark: Mark | None
    survivors: tuple[Process, ...]
    seconds: float


def run_and_kill(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    cwd: Path,
    when: AfterWrite | float,
    proxy: FaultProxy | None = None,
    timeout: float = 300.0,
) -> Killed:
    """Runs `command` in a session of its own; SIGKILL to its process group at `when` (a write, or seconds from now).

    Returns when the group is gone. TimeoutError with the output's tail when the command neither ended nor was killed
    within `timeout` seconds. `output` is stdout and stderr as they came.
    """
    marker = uuid.uuid4().hex
    started = Event()
    struck: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def strike(_request: Request | None = None) -> None:
        started.wait(10)
        assert process is not None
        if process.returncode is None:  # not reaped: the number is still its own
            struck.append(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
            # Until then one that dies with its parent could still act on an answer that is passed on.
            _wait_all_gone(lambda: _marked(marker), _TAKEN_ALONG)

    hook = None
    if isinstance(when, AfterWrite):
        if proxy is None:
            raise ValueError("a kill at a write needs the proxy")
        hook = proxy.after_write(when.n, strike, when=when.when, front=when.front, path=when.path, start=when.start)
    begun = time.monotonic()
    # A file, not a pipe: a survivor would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(map(str, command)), env={**env, MARKER: marker}, cwd=cwd, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
            started.set()
            in_time = _wait_gone([process.pid], timeout if hook else float(when))  # type: ignore[arg-type]
            if not in_time:
                strike()
            _wait_all_gone(lambda: _group(process.pid), 10.0)
            # A process that dies with its parent has its own SIGKILL pending by now: nothing of it follows the mark.
            mark = proxy.mark() if proxy else None
            _wait_all_gone(lambda: _marked(marker), _TAKEN_ALONG)
            survivors = tuple(processes_with_env_marker(marker))
        finally:
            if hook and proxy:
                proxy.drop(hook)
            _end_all(marker)
            returncode = process.wait() if process else 0
        output.seek(0)
        text = output.read().decode(errors="replace")
    if hook and not in_time:
        raise TimeoutError(f"{command[0]}: neither ended nor reached {when} within {timeout} s:\n{text[-2000:]}")
    killed = bool(struck) and returncode == -signal.SIGKILL
    return Killed(text, returncode, killed, mark, survivors, time.monotonic() - begun)


def _end_all(marker: str) -> None:
    while found := processes_with_env_marker(marker):
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        _wait_gone([process.pid for process in found], 10.0)


def processes_with_env_marker(marker: str, name: str = MARKER) -> list[Process]:
    """Live processes that were started with NAME=marker in their environment, in any session or group."""
    wanted = f"{name}={marker}".encode()
    found = []
    for pid in _pids():
        with suppress(OSError):  # it ended meanwhile, or is not ours to look into
            folder = Path("/proc", str(pid))
            if wanted in (folder / "environ").read_bytes().split(b"\0") and pid != os.getpid():
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found.append(Process(pid, line))
    return found


def _marked(marker: str) -> list[int]:
    return [found.pid for found in processes_with_env_marker(marker)]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _group(group: int) -> list[int]:
    """Live members of a process group; those that only wait to be reaped are dead."""
    members = []
    for pid in _pids():
        with suppress(OSError):
            # "pid (name) state ppid pgrp …"; the name may hold anything, so count from its last parenthesis.
            fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in "ZX":
                members.append(pid)
    return members


def _wait_all_gone(alive: Callable[[], list[int]], timeout: float) -> bool:
    """Whether nobody is left within `timeout` seconds; asks again after each wait, since the dying may have forked."""
    end = time.monotonic() + timeout
    while pids := alive():
        if not _wait_gone(pids, end - time.monotonic()):
            return False
    return True


def _wait_gone(pids: list[int], timeout: float) -> bool:
    """Whether all of these processes ended within `timeout` seconds. They need not be our children."""
    end = time.monotonic() + timeout
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            poller = select.poll()
            poller.register(handle, select.POLLIN)
            if not poller.poll(max(0.0, end - time.monotonic()) * 1000):
                return False
        finally:
            os.close(handle)
    return True

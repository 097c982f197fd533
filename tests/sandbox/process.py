"""The sandbox's processes: started in groups of their own, remembered by pid and start time, stopped by pid.

A pid alone may belong to somebody else by the time it is used; with its start time it cannot. What was started but not
yet written down when "up" was killed is found by a mark in its environment, which children inherit.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import PartDied, SandboxError
from .paths import LOGS, PROCESSES, RUN

#: In the environment of every part, its value the part's name.
MARK = "DIGITALSYS_AGENTS_SANDBOX_PART"
_LOG_TAIL_LINES = 15
#: All that a part sees of the caller's environment: no proxies, no KUBECONFIG or VAULT_* of a shell.
_ENVIRONMENT = {
    "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]),
    "HOME": str(RUN),
    "LANG": "C.UTF-8",
}


@dataclass(frozen=True)
class Process:
    """A started part: `started` is the kernel's start time in clock ticks since boot, `order` grows with each start."""

    name: str
    pid: int
    started: int
    order: int


def start_time(pid: int) -> int | None:
    """The start time of a live process in clock ticks since boot; None when it is gone or only waits to be reaped."""
    try:
        # "pid (name) state …": the name may hold anything, so count from its last parenthesis.
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def alive(process: Process) -> bool:
    return start_time(process.pid) == process.started


def recorded() -> list[Process]:
    """Every part that was started and not stopped since, in the order of their starts."""
    found = []
    for path in PROCESSES.glob("*.json") if PROCESSES.is_dir() else ():
        with suppress(ValueError, TypeError):  # half written when its writer was killed: the mark finds the process
            found.append(Process(**json.loads(path.read_text())))
    return sorted(found, key=lambda process: process.order)


def find(name: str) -> Process | None:
    return next((process for process in recorded() if process.name == name), None)


def log_file(name: str) -> Path:
    return LOGS / f"{name}.log"


def start(name: str, command: Sequence[str | Path], environment: dict[str, str] | None = None) -> Process:
    """Starts a part in its own session, its output appended to its log. SandboxError when it runs already."""
    if (running := find(name)) and alive(running):
        raise SandboxError(f"{name} runs already (pid {running.pid})")
    PROCESSES.mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(log_file(name), "ab") as log:
        child = subprocess.Popen(
            [str(word) for word in command],
            env={**_ENVIRONMENT, **(environment or {}), MARK: name},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    _wait_for_mark(child)
    ticks = start_time(child.pid)
    # A part that ended at once has no start time; 0 fits no process, so that it counts as dead.
    process = Process(name, child.pid, ticks or 0, time.monotonic_ns())
    (PROCESSES / f"{name}.json").write_text(json.dumps(asdict(process)))
    _children[child.pid] = child
    return process


def _wait_for_mark(child: subprocess.Popen[bytes]) -> None:
    """Until the kernel shows the environment of a process that has just begun, a moment after Popen returns. Without it
    `marked` would overlook the process.
    """
    end = time.monotonic() + 5.0
    while child.poll() is None and time.monotonic() < end:
        with suppress(OSError):
            if f"{MARK}=".encode() in Path("/proc", str(child.pid), "environ").read_bytes():
                return
        time.sleep(0.001)


#: Kept so that a part which dies early is reaped, and its exit code known.
_children: dict[int, subprocess.Popen[bytes]] = {}


def exit_code(process: Process) -> int | None:
    """The exit code of a part that this very program started and that ended; None otherwise."""
    child = _children.get(process.pid)
    return child.poll() if child else None


def log_tail(name: str, lines: int = _LOG_TAIL_LINES) -> str:
    """The last lines of a part's log, indented."""
    try:
        text = log_file(name).read_text(errors="replace")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line[:400]}" for line in text.splitlines()[-lines:]) or "  (its log is empty)"


def check(names: Iterable[str]) -> None:
    """PartDied, with the tail of its log, for the first of these parts that does not run any more."""
    for name in names:
        process = find(name)
        if process is None or alive(process):
            continue
        code = exit_code(process)
        how = f"with exit code {code}" if code is not None else "unnoticed"
        raise PartDied(f"{name} (pid {process.pid}) ended {how}; the end of {log_file(name)}:\n{log_tail(name)}")


#: Set when a step of a start failed: nobody waits on for the others.
abandon = threading.Event()


def wait_until(what: str, ready: Callable[[], bool], seconds: float, parts: Iterable[str] = ()) -> None:
    """Asks `ready` until it is true, looking after `parts` meanwhile. SandboxError after `seconds`."""
    names = tuple(parts)
    end = time.monotonic() + seconds
    pause = 0.02
    while True:
        if ready():
            return
        check(names)
        if abandon.is_set():
            raise SandboxError(f"{what}: given up, since another step failed")
        if time.monotonic() > end:
            tails = "".join(f"\nthe end of {log_file(name)}:\n{log_tail(name)}" for name in names)
            raise SandboxError(f"{what}: not within {seconds:.0f} s{tails}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def stop(process: Process, grace: float = 5.0) -> None:
    """SIGTERM to the part's group, SIGKILL when it is still there after `grace` seconds; forgets the part."""
    if alive(process):
        _signal_group(process, signal.SIGTERM)
        if not _gone(process, grace):
            _signal_group(process, signal.SIGKILL)
            if not _gone(process, 10.0):
                raise SandboxError(f"{process.name} (pid {process.pid}) does not die")
    exit_code(process)
    (PROCESSES / f"{process.name}.json").unlink(missing_ok=True)


def _signal_group(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _gone(process: Process, seconds: float) -> bool:
    """Waits for the end of one process, without polling."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not alive(process):
            return True
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(handle)


def mark_own_children() -> None:
    """What this program starts from now on (kubectl, ctr, builds) is cleaned up too, should it be killed itself."""
    os.environ[MARK] = "up"


def marked() -> list[int]:
    """Pids of all live processes that were started by a sandbox's part, whatever group they moved to."""
    wanted = f"{MARK}=".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with suppress(OSError):  # it ended meanwhile
            environment = Path("/proc", name, "environ").read_bytes().split(b"\0")
            if any(entry.startswith(wanted) for entry in environment) and start_time(int(name)) is not None:
                found.append(int(name))
    return found


def kill(pids: Iterable[int], seconds: float = 10.0) -> None:
    """SIGKILL, and waits until each is gone."""
    victims = [Process("", pid, ticks, 0) for pid in pids if (ticks := start_time(pid)) is not None]
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
    for victim in victims:
        if not _gone(victim, seconds):
            raise SandboxError(f"process {victim.pid} does not die")
        exit_code(victim)

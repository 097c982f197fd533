"""Hooks at the n-th write, and what is left of a command that was killed there."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sandbox.kill import AfterWrite, Killed, run_and_kill
from tests.sandbox.proxy import FaultProxy, Match, Request, lose_answer

from .proxy_upstream import Upstream, ask, upstream

#: Writes to the port in argv without end, and says which writes were answered.
WRITER = """
import http.client, sys
client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for number in range(10**9):
    client.request("GET", "/look")
    client.getresponse().read()
    client.request("PUT", f"/write/{number}", b"x")
    client.getresponse().read()
    print("answered", number, flush=True)
"""


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


@pytest.fixture
def proxy(server: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy([server.front()]) as running:
        yield running


def run(code: str, proxy: FaultProxy, when: AfterWrite | float, tmp_path: Path, timeout: float = 20) -> Killed:
    command = [sys.executable, "-Ic", textwrap.dedent(code), str(proxy.port("api"))]
    return run_and_kill(command, dict(os.environ), tmp_path, when, proxy, timeout)


def writes_at(server: Upstream) -> list[str]:
    return [path for method, path, _, _ in server.received if method == "PUT"]


def test_the_hook_counts_answered_writes_from_when_it_was_set(proxy: FaultProxy) -> None:
    seen: list[Request] = []
    ask(proxy.port("api"), "PUT", "/early")
    hook = proxy.after_write(2, seen.append)
    for method in ("PUT", "GET", "DELETE", "PUT"):
        ask(proxy.port("api"), method, f"/{method}")
    assert hook.done.is_set()
    assert [(request.method, request.status) for request in seen] == [("DELETE", 200)]


def test_the_hook_counts_the_writes_it_is_about(server: Upstream) -> None:
    seen: list[str] = []
    with FaultProxy([server.front(), server.front("vault")]) as proxy:
        proxy.after_write(2, lambda request: seen.append(request.target), front="api", path=r"^(?!.*/leases/)")
        for front, path in (("api", "/a"), ("vault", "/b"), ("api", "/leases/c"), ("api", "/d?e=f"), ("api", "/g")):
            ask(proxy.port(front), "PUT", path)
    assert seen == ["/d?e=f"]


def test_the_hook_counts_from_a_write_on(server: Upstream) -> None:
    seen: list[int] = []
    with FaultProxy([server.front()]) as proxy:
        proxy.after_write(1, lambda request: seen.append(request.number), path="/lease", start="/last$")
        for path in ("/lease", "/last", "/other", "/lease", "/last", "/lease"):
            ask(proxy.port("api"), "PUT", path)
    assert seen == [4]


def test_the_hook_sees_a_write_whose_answer_is_lost(proxy: FaultProxy) -> None:
    seen: list[Request] = []
    proxy.add(lose_answer(Match(writes_only=True)))
    proxy.after_write(1, seen.append)
    with pytest.raises(ConnectionResetError):
        ask(proxy.port("api"), "PUT", "/a")
    assert [request.path for request in seen] == ["/a"]


def test_an_error_in_a_hook_fails_the_test_that_set_it(server: Upstream) -> None:
    def broken(_: Request) -> None:
        raise KeyError("in the hook")

    proxy = FaultProxy([server.front()]).__enter__()
    proxy.after_write(1, broken)
    assert ask(proxy.port("api"), "PUT", "/a")[0] == 200
    with pytest.raises(KeyError, match="in the hook"):
        proxy.__exit__(None, None, None)


@pytest.mark.parametrize("n", [1, 3])
def test_killed_before_the_answer_is_passed_on(server: Upstream, proxy: FaultProxy, tmp_path: Path, n: int) -> None:
    result = run(WRITER, proxy, AfterWrite(n), tmp_path)
    assert result.killed
    assert result.survivors == ()
    assert result.output.split("\n")[:-1] == [f"answered {number}" for number in range(n - 1)]
    assert writes_at(server) == [f"/write/{number}" for number in range(n)]
    assert result.mark is not None
    assert proxy.requests_since(result.mark) == []


def test_killed_after_the_answer_was_passed_on(server: Upstream, proxy: FaultProxy, tmp_path: Path) -> None:
    result = run(WRITER, proxy, AfterWrite(2, "after"), tmp_path)
    assert result.killed
    assert writes_at(server)[:2] == ["/write/0", "/write/1"]
    assert proxy.writes()[1].status == 200
    assert result.mark is not None
    assert proxy.requests_since(result.mark) == []


def test_killed_after_seconds(proxy: FaultProxy, tmp_path: Path) -> None:
    result = run("import time; print('here', flush=True); time.sleep(60)", proxy, 0.3, tmp_path)
    assert (result.killed, result.returncode, result.output) == (True, -9, "here\n")
    assert 0.3 <= result.seconds < 5


@pytest.mark.parametrize("when", [AfterWrite(1), 20.0])
def test_a_command_that_ends_in_time_is_not_killed(proxy: FaultProxy, tmp_path: Path, when: AfterWrite | float) -> None:
    result = run("import sys; print('done'); sys.exit(3)", proxy, when, tmp_path)
    assert (result.killed, result.returncode, result.output, result.survivors) == (False, 3, "done\n", ())


def test_a_command_that_never_writes_is_an_error_with_its_output(proxy: FaultProxy, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="stuck here"):
        run("import time; print('stuck here', flush=True); time.sleep(60)", proxy, AfterWrite(1), tmp_path, 0.3)


FORKING = """
import http.client, os, sys, time
def write(path):
    client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    client.request("PUT", path)
    client.getresponse().read()
reader, writer = os.pipe()
if os.fork() == 0:
    {child}
    os.write(writer, b"x")
    time.sleep(60)
os.read(reader, 1)
write("/parent")
time.sleep(60)
"""


def test_a_child_in_the_group_dies_too(proxy: FaultProxy, tmp_path: Path) -> None:
    result = run(FORKING.format(child="pass"), proxy, AfterWrite(1, "after"), tmp_path)
    assert (result.killed, result.survivors) == (True, ())


def test_a_child_in_a_session_of_its_own_is_found_and_ended(proxy: FaultProxy, tmp_path: Path) -> None:
    result = run(FORKING.format(child="os.setsid()"), proxy, AfterWrite(1, "after"), tmp_path)
    assert result.killed
    assert [process.command.split()[0] for process in result.survivors] == [sys.executable]
    command_line = Path(f"/proc/{result.survivors[0].pid}/cmdline")
    with suppress(FileNotFoundError, ProcessLookupError):
        assert command_line.read_bytes() == b""  # a zombie at most: who reaps orphans is the machine's business


def test_a_child_that_dies_with_its_parent_is_no_survivor(proxy: FaultProxy, tmp_path: Path) -> None:
    child = "os.setsid(); import ctypes; ctypes.CDLL(None).prctl(1, 9)"
    result = run(FORKING.format(child=child), proxy, AfterWrite(1, "after"), tmp_path)
    assert (result.killed, result.survivors) == (True, ())


def test_a_survivor_that_goes_on_writing_is_seen_after_the_mark(proxy: FaultProxy, tmp_path: Path) -> None:
    first = "os.setsid(); os.write(writer, b'x'); time.sleep(0.01)\n    "
    code = FORKING.format(child=first + "for number in range(10**6): write('/child')")
    result = run(code, proxy, AfterWrite(1, "after"), tmp_path)
    assert len(result.survivors) == 1
    assert result.mark is not None
    assert proxy.requests_since(result.mark) != []

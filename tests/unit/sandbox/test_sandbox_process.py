"""How the sandbox keeps its processes apart from everybody else's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.sandbox import process
from tests.sandbox.errors import PartDied, SandboxError

_SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
_STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PROCESSES", tmp_path / "processes")
    monkeypatch.setattr(process, "LOGS", tmp_path / "logs")
    # A name of this test's own: a sandbox that runs beside it is not its business.
    monkeypatch.setattr(process, "MARK", f"AGENTS_UNIT_TEST_{os.getpid()}")


def test_a_part_is_recorded_found_and_stopped() -> None:
    part = process.start("sleeper", _SLEEP)
    assert os.getpgid(part.pid) == part.pid
    assert process.recorded() == [part]
    assert process.marked() == [part.pid]
    with pytest.raises(SandboxError, match="runs already"):
        process.start("sleeper", _SLEEP)
    process.stop(part)
    assert (process.recorded(), process.marked(), process.alive(part)) == ([], [], False)


def test_a_part_that_ignores_sigterm_is_killed() -> None:
    part = process.start("stubborn", _STUBBORN)
    process.wait_until("deaf", lambda: "deaf" in process.log_tail("stubborn"), 10)
    process.stop(part, grace=0.1)
    assert process.exit_code(part) == -9


def test_a_pid_that_belongs_to_somebody_else_by_now_is_left_alone() -> None:
    mine = process.start("mine", _SLEEP)
    stranger = process.Process("part", mine.pid, mine.started - 1, 0)
    assert not process.alive(stranger)
    process.stop(stranger)
    assert process.alive(mine)
    process.stop(mine)


def test_parts_are_listed_in_the_order_of_their_starts_and_broken_records_skipped(tmp_path: Path) -> None:
    started = [process.start(name, _SLEEP) for name in ("zebra", "ant")]
    (tmp_path / "processes" / "half.json").write_text(json.dumps({"name": "ha"})[:-3])
    assert [part.name for part in process.recorded()] == ["zebra", "ant"]
    process.kill(part.pid for part in started)
    assert process.marked() == []


def test_a_death_is_told_with_the_end_of_the_log() -> None:
    process.start("short", [sys.executable, "-c", "print('no such file'); raise SystemExit(3)"])
    with pytest.raises(PartDied, match=r"(?s)short .* exit code 3.*no such file"):
        process.wait_until("never", lambda: False, 10, ("short",))


def test_a_part_sees_nothing_of_the_callers_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "a-secret-token")
    part = process.start("curious", [sys.executable, "-c", "import os; print(sorted(os.environ))"], {"GIVEN": "1"})
    process.wait_until("printed", lambda: "GIVEN" in process.log_tail("curious"), 10)
    process.stop(part)
    assert "VAULT_TOKEN" not in process.log_tail("curious")


def test_waiting_ends_when_another_step_failed() -> None:
    process.abandon.set()
    try:
        with pytest.raises(SandboxError, match="given up"):
            process.wait_until("never", lambda: False, 10)
    finally:
        process.abandon.clear()

"""`base/smoke` on the tests' own gateway: it passes a healthy one, and says what is wrong with others."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sandbox.paths import CHECKOUT, HERE

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="the tests' gateway runs on Node")

Smoke = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def smoke(tmp_path: Path) -> Smoke:
    (tmp_path / "openclaw").symlink_to(HERE / "testgateway" / "openclaw.mjs")

    def run(*options: str, **settings: str) -> subprocess.CompletedProcess[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **settings}
        command = [str(CHECKOUT / "base" / "smoke"), f"--port={port}", *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return run


def test_a_healthy_gateway_passes(smoke: Smoke) -> None:
    answer = smoke(TESTGATEWAY_START_DELAY="0.3")
    assert answer.returncode == 0, answer.stderr
    assert '"status":"started"' in answer.stdout
    assert "smoke: token probe with another token: 401" in answer.stdout
    assert answer.stdout.endswith("smoke: the gateway is well\n")


def test_a_command_puts_the_gateway_elsewhere(smoke: Smoke, tmp_path: Path) -> None:
    answer = smoke("env", f"OPENCLAW_STATE_DIR={tmp_path}", "TESTGATEWAY_EXIT=78")
    assert answer.returncode == 1
    assert "the gateway exited with 78 before" in answer.stderr
    assert "OpenClaw config is invalid" in answer.stderr


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"TESTGATEWAY_EXIT": "1"}, "the gateway exited with 1 before"),
        ({"TESTGATEWAY_READY_FAILING": "discord"}, '/readyz: wanted 200 with {"ready": true, "failing": []}, got 503'),
        ({"TESTGATEWAY_START_DELAY": "60"}, "/startupz: wanted 200"),
        ({"TESTGATEWAY_TOKEN_OVERRIDE": "other"}, "token probe with the right token: wanted 200, got 401"),
    ],
)
def test_a_gateway_that_is_not_well_fails(smoke: Smoke, settings: dict[str, str], complaint: str) -> None:
    # Only the gateway that does not start is waited for in vain.
    seconds = 2 if "TESTGATEWAY_START_DELAY" in settings else 30
    answer = smoke(f"--timeout={seconds}", **settings)
    assert answer.returncode == 1
    assert complaint in answer.stderr
    assert "the gateway is well" not in answer.stdout


def test_a_port_that_is_taken_is_refused(smoke: Smoke) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # The last --port counts. The listener never answers: an open port is enough.
        answer = smoke(f"--port={taken.getsockname()[1]}")
    assert answer.returncode == 1
    assert "is taken already" in answer.stderr

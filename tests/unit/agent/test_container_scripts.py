# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that run in the pod, run: the first configuration, and the probes."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import WRONG_VOLUME, identity_of
from tests.unit.builders import agent, deployment, pod


def container(place: str, of: Any) -> dict[str, Any]:
    found: dict[str, Any] = deployment(of, Stamps("4"))["spec"]["template"]["spec"][place][0]
    return found


def stand_in(folder: Path, name: str, body: str) -> None:
    tool = folder / name
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)


def as_the_kubelet_runs_it(word: str, environ: dict[str, str]) -> str:
    """Its replacement of $(NAME) and $$ in commands; what names no variable stays."""
    made, rest = "", word
    while rest:
        if rest.startswith("$$"):
            made, rest = made + "$", rest[2:]
        elif rest.startswith("$(") and ")" in rest:
            name, _end, after = rest[2:].partition(")")
            made, rest = made + environ.get(name, f"$({name})"), after
        else:
            made, rest = made + rest[0], rest[1:]
    return made


def run_init(
    folder: Path, of: Any, openclaw: str = "exit 0", expected: str | None = None
) -> subprocess.CompletedProcess[str]:
    """The init container, in a folder that stands for the volume; openclaw: the body of a stand-in script. expected:
    what the releases' ConfigMap says of the volume, None where there is none."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    calls = folder.parent / "calls"
    stand_in(
        tools, "openclaw", f'echo "$@" >> {calls}\nif [ "$1" = --version ]; then echo 2026.9.2; exit 0; fi\n{openclaw}'
    )
    init = container("initContainers", of)
    environ = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": "/replaced"}
    if expected is not None:
        environ["OPENCLAW_VOLUME"] = expected
    for variable in (one for one in init["env"] if "value" in one):
        environ[variable["name"]] = as_the_kubelet_runs_it(variable["value"], environ)
    shell, flag, script = (as_the_kubelet_runs_it(word, environ) for word in init["command"])
    assert init["workingDir"] == "/root/.openclaw"
    last_words = folder.parent / "termination-log"
    last_words.unlink(missing_ok=True)
    return subprocess.run(
        [shell, flag, script.replace("/dev/termination-log", str(last_words))],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environ,
        check=False,
        timeout=60,
    )


@pytest.fixture
def volume(tmp_path: Any) -> Any:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "value",
    [
        "it's",
        'say "hi"',
        "'; touch /tmp/owned; '",
        "$(touch owned)",
        "`touch owned`",
        "$HOME",
        "$(HOME)",
        "a$$b",
        "$",
        "{{ lookup('env', 'HOME') }}",
        "{% raw %}",
        "%s%n%%",
        "a\\nb\\\\",
        "line\nbreak\ttab",
        "ação ☃",
        "# no comment",
        "!x",
        "*",
        "\u0007",
    ],
)
def test_a_seed_arrives_literally_whatever_stands_in_it(volume: Any, value: str) -> None:
    seed = {"gateway": {"mode": "local", "note": value}, value: [1, True, None]}
    ended = run_init(volume, agent(config_seed=seed))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads((volume / "openclaw.json").read_text()) == seed
    assert {one.name for one in volume.iterdir()} == {"openclaw.json", "volume.id"}, "no half file, and nothing was run"


def test_a_seed_is_written_once_and_the_file_is_the_agents_after_that(volume: Any) -> None:
    (volume / "openclaw.json").write_text("mine")
    assert run_init(volume, agent(config_seed={"gateway": {"mode": "remote"}})).returncode == 0
    assert (volume / "openclaw.json").read_text() == "mine"


def test_a_half_written_seed_of_a_killed_start_is_no_obstacle(volume: Any) -> None:
    (volume / ".openclaw.json.new").write_text('{"gate')
    assert run_init(volume, agent()).returncode == 0
    assert json.loads((volume / "openclaw.json").read_text()) == {"gateway": {"mode": "local"}}


def last_words(volume: Path) -> str:
    """What the pod's status keeps of it."""
    return (volume.parent / "termination-log").read_text()


def test_a_new_volume_gets_an_identity_and_tells_it_at_every_start(volume: Any) -> None:
    assert run_init(volume, agent()).returncode == 0
    identity = last_words(volume)
    assert identity_of(pod(init={"terminated": {"exitCode": 0, "message": identity}})) == identity != ""
    assert run_init(volume, agent(), expected=identity).returncode == 0
    assert last_words(volume) == identity


def test_two_volumes_are_never_taken_for_one(volume: Any, tmp_path: Any) -> None:
    other = tmp_path / "other" / "volume"
    other.mkdir(parents=True)
    assert run_init(volume, agent()).returncode == run_init(other, agent()).returncode == 0
    assert last_words(volume) != last_words(other)


def test_an_emptied_volume_gets_no_gateway_and_nothing_is_written_on_it(volume: Any) -> None:
    assert run_init(volume, agent()).returncode == 0
    identity = last_words(volume)
    for one in volume.iterdir():
        one.unlink()
    ended = run_init(volume, agent(), expected=identity)
    assert (ended.returncode, last_words(volume)) == (WRONG_VOLUME, f"expected {identity}, found none")
    assert list(volume.iterdir()) == []


def test_the_volume_of_another_agent_gets_no_gateway_and_stays_as_it_is(volume: Any) -> None:
    assert run_init(volume, agent()).returncode == 0
    there = last_words(volume)
    expected = "00000000-0000-4000-8000-000000000000"
    assert run_init(volume, agent(), expected=expected).returncode == WRONG_VOLUME
    assert last_words(volume) == f"expected {expected}, found {there}"
    assert (volume / "volume.id").read_text().strip() == there


def test_a_volume_from_before_identities_is_taken_for_what_stands_on_it(volume: Any) -> None:
    """0.1.0's have none, nor have those of agents made by hand."""
    assert run_init(volume, agent(), expected="found").returncode == WRONG_VOLUME
    assert last_words(volume) == "expected found, found none"
    assert list(volume.iterdir()) == []
    (volume / "openclaw.json").write_text("mine")
    assert run_init(volume, agent(), expected="found").returncode == 0
    assert identity_of(pod(init={"terminated": {"exitCode": 0, "message": last_words(volume)}}))
    assert (volume / "openclaw.json").read_text() == "mine"


def test_an_accepted_volume_keeps_the_identity_that_it_has(volume: Any) -> None:
    assert run_init(volume, agent()).returncode == 0
    there = last_words(volume)
    assert run_init(volume, agent(), expected="").returncode == 0
    assert last_words(volume) == there


def test_a_half_written_identity_of_a_killed_start_is_no_obstacle(volume: Any) -> None:
    (volume / "volume.id.new").write_text("0000")
    assert run_init(volume, agent()).returncode == 0
    assert len(last_words(volume)) == 36


def test_plugins_are_installed_once_for_each_version_of_openclaw(volume: Any) -> None:
    of = agent(plugins=["@openclaw/discord", "other"])
    calls = volume.parent / "calls"
    assert run_init(volume, of).returncode == 0
    assert calls.read_text().splitlines() == ["--version", "plugins install @openclaw/discord", "plugins install other"]
    calls.unlink()
    assert run_init(volume, of).returncode == 0
    assert calls.read_text().splitlines() == ["--version"]


def test_an_agent_that_was_up_does_not_stay_down_because_npm_is_out_of_reach(volume: Any) -> None:
    of = agent(plugins=["@openclaw/discord", "other"])
    assert run_init(volume, of, openclaw="exit 1").returncode == 0
    calls = volume.parent / "calls"
    calls.unlink()
    assert run_init(volume, of).returncode == 0
    assert "plugins install @openclaw/discord" in calls.read_text(), "the next start tries again"


# Probes


LOOPBACK = agent(args=["openclaw", "gateway", "run", "--bind", "loopback", "--port", "18789"])
#: What each exec asks, in this order. With --bind lan only the startup probe is one.
PROBES = {"startupProbe": ["startupz", "healthz"], "readinessProbe": ["healthz"], "livenessProbe": ["healthz"]}
LIVE = '{"ok":true,"status":"live"}'
STARTED = '{"ok":true,"status":"started","version":"2026.9.2"}'
PAGE = "<!doctype html><title>control</title>"
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is in the agents' image, but not here")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is in the agents' image, but not here")


def script_of(name: str) -> list[str]:
    words: list[str] = container("containers", LOOPBACK)[name]["exec"]["command"]
    return words


def probed(name: str, folder: Path, code: int = 0, **answers: str) -> bool:
    """Whether a probe is content with what a stand-in for curl prints for each route, and with its exit code."""
    for route, body in answers.items():
        (folder / route).write_text(body)
    said = f'for word; do case "$word" in http*) cat "{folder}/${{word##*/}}";; esac; done'
    stand_in(folder, "curl", f'echo "$@" > {folder}/asked\n{said}\nexit {code}')
    ended = subprocess.run(
        script_of(name), env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, check=False, timeout=60
    )
    return ended.returncode == 0


@needs_jq
@pytest.mark.parametrize("name", PROBES)
def test_a_healthy_gateway_passes_its_probe(name: str, tmp_path: Path) -> None:
    assert probed(name, tmp_path, startupz=STARTED, healthz=LIVE)
    asked = [word for word in (tmp_path / "asked").read_text().split() if word.startswith("http")]
    assert asked == [f"http://127.0.0.1:18789/{route}" for route in PROBES[name]]


@needs_jq
@pytest.mark.parametrize(("name", "route"), [(name, route) for name, routes in PROBES.items() for route in routes])
@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (0, PAGE),
        (0, ""),
        (7, ""),
        (22, ""),
        (28, ""),
        (0, '{"ok":false,"status":"started"}'),
        (0, '{"status":"started"}'),
        (0, '{"ok":"true","status":"started"}'),
        (0, "true"),
        (0, "null"),
        (0, "[]"),
    ],
)
def test_an_image_that_lacks_the_route_or_does_not_answer_fails_its_probe(
    name: str, route: str, code: int, answer: str, tmp_path: Path
) -> None:
    assert not probed(name, tmp_path, code, **{"startupz": STARTED, "healthz": LIVE, route: answer})


def test_the_gateway_is_live_by_the_same_words_by_which_it_is_ready() -> None:
    for of, way in ((LOOPBACK, "exec"), (agent(), "httpGet")):
        gateway = container("containers", of)
        assert gateway["livenessProbe"][way] == gateway["readinessProbe"][way]


@needs_jq
def test_a_gateway_that_is_still_starting_has_not_started(tmp_path: Path) -> None:
    assert not probed("startupProbe", tmp_path, startupz='{"ok":true,"status":"starting"}', healthz=LIVE)


# The startup probe with the real curl: what it is told there is what the other probes rest on.


@dataclass
class Gateway:
    """Answers a route with (status, body) after so many seconds; what was asked stands in `asked`."""

    answers: dict[str, tuple[int, str]]
    slow: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


#: Seconds; an answer that does not come while anybody waits for it.
_HANGS = 60.0


@contextlib.contextmanager
def listening(gateway: Gateway) -> Iterator[int]:
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            gateway.asked.append(self.path)
            over.wait(gateway.slow.get(self.path, 0))
            status, body = gateway.answers.get(self.path, (200, PAGE))
            self.send_response(status)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body.encode())

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def started(port: int, patience: str = "") -> bool:
    """patience: seconds that the script waits for an answer, where not its own. Of a machine that is busy with tests an
    answer may need more; that the script's own are fewer than the kubelet's is test_probes.py's."""
    shell, flag, script = script_of("startupProbe")
    script = script.replace(":18789/", f":{port}/")
    words = [shell, flag, re.sub(r"(?<=--max-time )\d+", patience, script) if patience else script]
    return subprocess.run(words, capture_output=True, check=False, timeout=_HANGS / 2).returncode == 0


@needs_curl
@needs_jq
@pytest.mark.parametrize(
    ("healthz", "startupz", "passes", "asked"),
    [
        ((200, LIVE), (200, STARTED), True, ["/startupz", "/healthz"]),
        # An OpenClaw without the route.
        ((200, PAGE), (200, STARTED), False, ["/startupz", "/healthz"]),
        ((200, LIVE), (200, PAGE), False, ["/startupz", "/healthz"]),
        ((503, LIVE), (200, STARTED), False, ["/startupz", "/healthz"]),
        # While it starts, each try ends with the first answer.
        ((200, LIVE), (503, '{"ok":false,"status":"starting"}'), False, ["/startupz"]),
    ],
)
def test_a_start_proves_both_routes(
    healthz: tuple[int, str], startupz: tuple[int, str], passes: bool, asked: list[str]
) -> None:
    gateway = Gateway({"/healthz": healthz, "/startupz": startupz})
    with listening(gateway) as port:
        assert started(port, patience="20") is passes
    assert gateway.asked == asked


@needs_curl
@needs_jq
@pytest.mark.parametrize("slow", [{"/startupz": _HANGS}, {"/healthz": _HANGS}, {"/startupz": 0.9, "/healthz": _HANGS}])
def test_a_start_that_hangs_is_given_up_before_the_kubelet_gives_up(slow: dict[str, float]) -> None:
    with listening(Gateway({"/healthz": (200, LIVE), "/startupz": (200, STARTED)}, slow)) as port:
        assert not started(port)

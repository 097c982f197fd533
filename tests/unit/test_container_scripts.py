# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that run in the pod, run: the first configuration, and the probes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._manifests import Stamps, deployment
from tests.unit.builders import agent


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


def run_seed(folder: Path, of: Any, openclaw: str = "exit 0") -> subprocess.CompletedProcess[str]:
    """The init container, in a folder that stands for the volume; openclaw: the body of a stand-in script."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    calls = folder.parent / "calls"
    stand_in(
        tools, "openclaw", f'echo "$@" >> {calls}\nif [ "$1" = --version ]; then echo 2026.9.2; exit 0; fi\n{openclaw}'
    )
    init = container("initContainers", of)
    environ = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": "/replaced"}
    for variable in init["env"]:
        environ[variable["name"]] = as_the_kubelet_runs_it(variable["value"], environ)
    shell, flag, script = (as_the_kubelet_runs_it(word, environ) for word in init["command"])
    return subprocess.run(
        [shell, flag, script.replace("cd /root/.openclaw", f"cd {folder}")],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
        timeout=10,
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
    ended = run_seed(volume, agent(config_seed=seed))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads((volume / "openclaw.json").read_text()) == seed
    assert [one.name for one in volume.iterdir()] == ["openclaw.json"], "no half file, and nothing was run"


def test_a_seed_is_written_once_and_the_file_is_the_agents_after_that(volume: Any) -> None:
    (volume / "openclaw.json").write_text("mine")
    assert run_seed(volume, agent(config_seed={"gateway": {"mode": "remote"}})).returncode == 0
    assert (volume / "openclaw.json").read_text() == "mine"


def test_a_half_written_seed_of_a_killed_start_is_no_obstacle(volume: Any) -> None:
    (volume / ".openclaw.json.new").write_text('{"gate')
    assert run_seed(volume, agent()).returncode == 0
    assert json.loads((volume / "openclaw.json").read_text()) == {"gateway": {"mode": "local"}}


def test_plugins_are_installed_once_for_each_version_of_openclaw(volume: Any) -> None:
    of = agent(plugins=["@openclaw/discord", "other"])
    calls = volume.parent / "calls"
    assert run_seed(volume, of).returncode == 0
    assert calls.read_text().splitlines() == ["--version", "plugins install @openclaw/discord", "plugins install other"]
    calls.unlink()
    assert run_seed(volume, of).returncode == 0
    assert calls.read_text().splitlines() == ["--version"]


def test_an_agent_that_was_up_does_not_stay_down_because_npm_is_out_of_reach(volume: Any) -> None:
    of = agent(plugins=["@openclaw/discord", "other"])
    assert run_seed(volume, of, openclaw="exit 1").returncode == 0
    calls = volume.parent / "calls"
    calls.unlink()
    assert run_seed(volume, of).returncode == 0
    assert "plugins install @openclaw/discord" in calls.read_text(), "the next start tries again"


# Probes


def probed(name: str, answer: str, folder: Path) -> bool:
    """Whether a probe is content with what a stand-in for curl prints (and with its exit code, in the first word)."""
    code, _space, body = answer.partition(" ")
    (folder / "answer").write_text(body)
    stand_in(folder, "curl", f'echo "$@" > {folder}/asked\ncat {folder}/answer\nexit {code}')
    command = container("containers", agent())[name]["exec"]["command"]
    ended = subprocess.run(
        command, env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, check=False, timeout=10
    )
    return ended.returncode == 0


PROBES = {"startupProbe": "startupz", "readinessProbe": "healthz"}
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is in the agents' image, but not here")


@needs_jq
@pytest.mark.parametrize("name", PROBES)
def test_a_healthy_gateway_passes_its_probe(name: str, tmp_path: Path) -> None:
    assert probed(name, '0 {"ok":true,"status":"started","version":"2026.9.2"}', tmp_path)
    assert f"http://127.0.0.1:18789/{PROBES[name]}" in (tmp_path / "asked").read_text()


@needs_jq
@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize(
    "answer",
    [
        "0 <!doctype html><title>control</title>",
        "0 ",
        "7 ",
        "22 ",
        "28 ",
        '0 {"ok":false,"status":"started"}',
        '0 {"status":"started"}',
        '0 {"ok":"true","status":"started"}',
        "0 true",
        "0 null",
        "0 []",
    ],
)
def test_an_image_that_lacks_the_route_or_does_not_answer_fails_its_probe(
    name: str, answer: str, tmp_path: Path
) -> None:
    assert not probed(name, answer, tmp_path)


def test_the_gateway_is_live_by_the_same_words_by_which_it_is_ready() -> None:
    gateway = container("containers", agent())
    assert gateway["livenessProbe"]["exec"] == gateway["readinessProbe"]["exec"]


@needs_jq
def test_a_gateway_that_is_still_starting_has_not_started(tmp_path: Path) -> None:
    assert not probed("startupProbe", '0 {"ok":true,"status":"starting"}', tmp_path)

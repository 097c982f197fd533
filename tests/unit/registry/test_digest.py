# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who we are to a registry, and what it asks for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._registry.client import _challenge, _scheme, credentials

REGISTRY = "registry.example.com"
LOGIN = base64.b64encode(b"alice:pa:ss").decode()


def docker_file(folder: Path, content: Any) -> dict[str, str]:
    (folder / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return {"DOCKER_CONFIG": str(folder)}


def test_the_environments_login_comes_first(tmp_path: Path) -> None:
    environ = docker_file(tmp_path, {"auths": {REGISTRY: {"auth": LOGIN}}})
    environ |= {"AGENTS_REGISTRY_USERNAME": "awx", "AGENTS_REGISTRY_PASSWORD": "word"}
    assert credentials(REGISTRY, environ) == ("awx", "word")


@pytest.mark.parametrize(
    "half",
    [
        {"AGENTS_REGISTRY_USERNAME": "awx"},
        {"AGENTS_REGISTRY_PASSWORD": "word"},
        {"AGENTS_REGISTRY_USERNAME": "", "AGENTS_REGISTRY_PASSWORD": ""},
    ],
)
def test_half_a_login_in_the_environment_is_none(half: dict[str, str], tmp_path: Path) -> None:
    environ = {**docker_file(tmp_path, {"auths": {REGISTRY: {"auth": LOGIN}}}), **half}
    assert credentials(REGISTRY, environ) == ("alice", "pa:ss")


def test_dockers_own_file_is_read_where_docker_keeps_it(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    docker_file(tmp_path / ".docker", {"auths": {REGISTRY: {"auth": LOGIN}}})
    assert credentials(REGISTRY, {"HOME": str(tmp_path)}) == ("alice", "pa:ss")


def test_the_login_of_another_registry_is_not_given_away(tmp_path: Path) -> None:
    environ = docker_file(
        tmp_path, {"auths": {"other.example.com": {"auth": LOGIN}, f"{REGISTRY}.evil": {"auth": LOGIN}}}
    )
    assert credentials(REGISTRY, environ) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        {"auths": None},
        {"auths": []},
        {"auths": {REGISTRY: None}},
        {"auths": {REGISTRY: {}}},
        {"auths": {REGISTRY: "x"}},
        {"auths": {REGISTRY: {"auth": ""}}},
        {"auths": {REGISTRY: {"auth": None}}},
        {"auths": {REGISTRY: {"auth": 5}}},
        {"auths": {REGISTRY: {"auth": "%%%"}}},
        {"auths": {REGISTRY: {"auth": base64.b64encode(b"\xff\xfe:x").decode()}}},
        {"auths": {REGISTRY: {"auth": base64.b64encode(b"alice").decode()}}},
        {"auths": {REGISTRY: {"auth": base64.b64encode(b":word").decode()}}},
        {"credsStore": "desktop"},
    ],
    ids=lambda content: str(content)[:50],
)
def test_a_docker_file_without_a_login_means_an_open_registry(content: Any, tmp_path: Path) -> None:
    assert credentials(REGISTRY, docker_file(tmp_path, content)) is None


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "/nowhere"}, {"DOCKER_CONFIG": "/nowhere"}])
def test_without_a_docker_file_there_is_no_login(environ: dict[str, str]) -> None:
    assert credentials(REGISTRY, environ) is None


@pytest.mark.parametrize(
    ("header", "parameters"),
    [
        (
            'Bearer realm="https://auth.example.com/token",service="reg",scope="repository:a/b:pull,push"',
            {"realm": "https://auth.example.com/token", "service": "reg", "scope": "repository:a/b:pull,push"},
        ),
        ('bearer realm="https://x/t", service="y"', {"realm": "https://x/t", "service": "y"}),
        ('BEARER realm="https://x/t"', {"realm": "https://x/t"}),
        ('Basic realm="registry"', {}),
        ("", {}),
        ("Bearer", {}),
        ("Negotiate", {}),
    ],
)
def test_a_bearer_challenge_is_taken_apart_and_any_other_is_none(header: str, parameters: dict[str, str]) -> None:
    assert _challenge(header) == parameters


@pytest.mark.parametrize(
    ("registry", "scheme"),
    [
        ("127.0.0.1:15000", "http"),
        ("localhost:5000", "http"),
        ("localhost", "http"),
        ("registry.example.com", "https"),
        ("registry.example.com:5000", "https"),
        ("localhost.example.com", "https"),
        ("127.0.0.1.example.com:80", "https"),
        ("10.0.0.1:5000", "https"),
    ],
)
def test_plain_http_is_spoken_on_this_machine_alone(registry: str, scheme: str) -> None:
    assert _scheme(registry) == scheme

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image references."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options.image import Image, parse, with_tag
from tests.unit.builders import DIGEST, IMAGE, REPOSITORY


@pytest.mark.parametrize(
    ("text", "image"),
    [
        (f"{REPOSITORY}:latest", Image("registry.digitalocean.com", "digitalsys/openclaw-agent", "latest")),
        (f"{REPOSITORY}@{DIGEST}", Image("registry.digitalocean.com", "digitalsys/openclaw-agent", "", DIGEST)),
        (
            f"{REPOSITORY}:v1.2@{DIGEST}",
            Image("registry.digitalocean.com", "digitalsys/openclaw-agent", "v1.2", DIGEST),
        ),
        (REPOSITORY, Image("registry.digitalocean.com", "digitalsys/openclaw-agent")),
        ("127.0.0.1:15000/digitalsys/testgateway:latest", Image("127.0.0.1:15000", "digitalsys/testgateway", "latest")),
        ("localhost/a", Image("localhost", "a")),
        ("ghcr.io/a/b_c/d-e.f__g:X", Image("ghcr.io", "a/b_c/d-e.f__g", "X")),
    ],
)
def test_a_full_reference_is_taken_apart_and_put_together_again(text: str, image: Image) -> None:
    assert parse(text) == image
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "latest",
        "nginx",
        "nginx:latest",
        "digitalsys/openclaw-agent",
        "reg.example/",
        "/a",
        "reg.example/A",
        "Reg.Example/a",
        "reg.example/a:",
        "reg.example/a:-x",
        "reg.example/a@",
        "reg.example/a@sha256:abc",
        f"reg.example/a@{DIGEST.upper()}",
        f"reg.example/a@{DIGEST}0",
        "reg.example/a@sha512:" + "0" * 128,
        "reg.example/a:b:c",
        "reg.example/a b",
        " reg.example/a",
        "reg.example/a\n",
        "reg.example/a:b\n",
        "https://reg.example/a",
        "reg.example:port/a",
        "reg.example:123456/a",
        "reg.example/a;rm",
        "reg.example/{{ x }}",
        "reg.example/a?x=1",
        "user@reg.example/a",
        "reg.example/a/../b",
        "reg.example/a//b",
        "reg.example/../a",
        "reg.example/a/",
        "reg.example/a/./b",
        "reg.example/a:" + "x" * 129,
        "reg..example/a",
        None,
        7,
        ["reg.example/a"],
    ],
    ids=lambda text: repr(text)[:40],
)
def test_what_is_not_a_full_reference_is_refused(text: Any) -> None:
    with pytest.raises(AgentError) as caught:
        parse(text)
    assert caught.value.kind is ErrorKind.INVALID
    assert len(caught.value.message) < 200


def test_a_pod_gets_the_digest_alone_so_that_no_node_resolves_a_tag() -> None:
    assert parse(IMAGE).pinned == f"{REPOSITORY}@{DIGEST}"


def test_a_new_tag_leaves_the_old_digest_behind() -> None:
    assert with_tag(parse(IMAGE), "v2") == Image("registry.digitalocean.com", "digitalsys/openclaw-agent", "v2")


@pytest.mark.parametrize(
    "tag", ["", "-x", ".x", "a b", "a:b", "a@b", "a/b", "x" * 129, "v1\n", "{{ x }}", "é", None, 2]
)
def test_a_bad_tag_is_refused(tag: Any) -> None:
    with pytest.raises(AgentError, match=r"\Atag: ") as caught:
        with_tag(parse(IMAGE), tag)
    assert caught.value.kind is ErrorKind.INVALID

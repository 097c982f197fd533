# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No value leaves, however it is spelled."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.scrub import MASK, Scrubber, environment_secrets

VALUES = [
    "hunter2",
    "s3cr3t",
    "ghp_A1b2C3d4E5f6G7h8I9j0",
    "p@ss w/rd+&=?",
    'quo"te\\d',
    "ação-sécrète",
    "x" * 200,
    "tab\there",
    "<a&b>c'd",
    "~~~???>>>",
]
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"


def shown(value: str, text: str) -> str:
    return Scrubber([value]).text(text)


@pytest.mark.parametrize("value", [*VALUES, PEM])
@pytest.mark.parametrize(
    "spell",
    [
        lambda value: value,
        lambda value: quote(value, safe=""),
        quote,
        quote_plus,
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
        repr,
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
        lambda value: quote(value, safe="!'()*~"),
        lambda value: quote(value, safe="!'()*~;,/?:@&=+$#"),
        lambda value: re.sub("%..", lambda found: found[0].lower(), quote(value, safe="")),
    ],
    ids=[
        "raw",
        "url",
        "path",
        "form",
        "json",
        "json-utf8",
        "json-by-go",
        "python",
        "base64",
        "base64-url",
        "js",
        "js-uri",
        "small",
    ],
)
def test_every_spelling_of_a_value_is_masked(value: str, spell: Any) -> None:
    spelled = spell(value)
    found = shown(value, f"before {spelled} after")
    assert spelled not in found
    assert found.startswith("before ")
    assert found.endswith(" after")
    assert MASK in found


def recovered(text: str) -> str:
    """All that somebody could still read out of base64 of which some characters were masked, at any alignment."""
    parts = []
    for piece in text.split(MASK):
        for start in range(4):
            usable = piece[start : start + (len(piece) - start) // 4 * 4]
            parts.append(base64.b64decode(usable.translate(str.maketrans("-_", "+/"))).decode("latin-1"))
    return "|".join(parts)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("after", ["", "\n", "z", "zz", "@registry.example.com"])
def test_a_value_inside_a_longer_base64_text_is_masked_at_any_alignment(value: str, before: str, after: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found = shown(value, encode(f"{before}{value}{after}".encode()).decode().rstrip("="))
        assert MASK in found
        for start in range(len(value) - 3):
            assert value[start : start + 4].encode().decode("latin-1") not in recovered(found)


@pytest.mark.parametrize("value", ["", "a", "abc", "12345"])
def test_a_short_value_is_left_alone(value: str) -> None:
    text = f"a log with abc and 12345 and {value} in it"
    assert shown(value, text) == text


def test_the_shortest_value_that_counts_has_six_characters() -> None:
    assert shown("abcdef", "xabcdefx") == f"x{MASK}x"


def test_each_line_of_a_multi_line_value_is_masked_where_it_stands_alone() -> None:
    assert shown(PEM, "  MIIEvQIBADANBgkqhkiG9w0B") == f"  {MASK}"
    assert shown(PEM, "log: AQEFAASCBKcwggSjAgEAAoIB.") == f"log: {MASK}."
    assert shown(PEM.replace("\n", "\r\n"), "MIIEvQIBADANBgkqhkiG9w0B") == MASK


def test_a_value_that_another_begins_with_leaves_no_tail() -> None:
    assert Scrubber(["secret", "secret-and-more"]).text("secret-and-more secret") == f"{MASK} {MASK}"


def test_a_value_with_the_marks_of_a_pattern_is_taken_literally() -> None:
    assert shown("a.*[b]+(c", "aXXb a.*[b]+(c") == f"aXXb {MASK}"


def test_data_is_masked_to_its_depth_keys_included() -> None:
    scrub = Scrubber(["hunter2!"])
    given: dict[str, Any] = {"a": ["x hunter2!", ("hunter2!", 3, None, True)], "hunter2!": {"b": {"hunter2!"}}}
    assert scrub.data(given) == {"a": [f"x {MASK}", [MASK, 3, None, True]], MASK: {"b": [MASK]}}
    assert given["a"][0] == "x hunter2!", "the data itself stays"


@pytest.mark.parametrize("values", [[], [""], ["abc"], [None, 7]])
def test_without_a_value_everything_passes(values: list[Any]) -> None:
    data = {"a": ["b", 1]}
    assert Scrubber(values).data(data) == data
    assert Scrubber(values).text("abc 7 None") == "abc 7 None"


def test_the_environments_own_credentials_are_secrets() -> None:
    environ = {
        "VAULT_TOKEN": "hvs.1",
        "K8S_AUTH_API_KEY": "k",
        "K8S_AUTH_PASSWORD": "p",
        "VAULT_SECRET_ID": "s",
        "AGENTS_REGISTRY_PASSWORD": "r",
        "HOME": "/root",
        "PATH": "",
    }
    assert environment_secrets(environ) == {"hvs.1", "k", "p", "s", "r"}
    assert environment_secrets({"VAULT_TOKEN": ""}) == set()

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent and a namespace may be called."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options import names

GOOD = ["clovis", "roberval", "clementina", "a", "a1", "a-b", "a--b", "x" * 52]
BAD: list[Any] = [
    "",
    " ",
    "../x",
    "roberval; rm",
    "ROBERVAL",
    "Roberval",
    "x" * 53,
    "x" * 300,
    "-a",
    "a-",
    "a.b",
    "a_b",
    "a b",
    "a/b",
    "1a",
    "r\u043eberval",  # a Cyrillic o
    "ｒoberval",  # a full-width r
    "cl\u00f3vis",
    "robe\u0301rval",
    "rober\u200bval",
    "roberval\n",
    "\nroberval",
    "roberval\r",
    "roberval\x00",
    "roberval\t",
    "*",
    "!x",
    "a:b",
    "~re",
    "x[0]",
    "a,b",
    "a*",
    "@file",
    "$(id)",
    "`id`",
    "{{ x }}",
    "a'b",
    'a"b',
    "a\\b",
    "a%2f",
    None,
    7,
    True,
    ["roberval"],
    {"roberval": 1},
    b"roberval",
]


@pytest.mark.parametrize("name", GOOD)
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert names.check_agent_name(name) == name


@pytest.mark.parametrize("name", BAD, ids=repr)
def test_every_other_name_is_refused_as_invalid(name: Any) -> None:
    with pytest.raises(AgentError) as caught:
        names.check_agent_name(name)
    assert caught.value.kind is ErrorKind.INVALID
    assert caught.value.hint


def test_a_refused_name_of_300_characters_does_not_fill_the_screen() -> None:
    with pytest.raises(AgentError) as caught:
        names.check_agent_name("x" * 300)
    assert len(caught.value.message) < 200


def test_a_refused_name_cannot_break_a_line_of_the_message() -> None:
    with pytest.raises(AgentError) as caught:
        names.check_agent_name("roberval\nok: all is well")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["bots", "b", "1", "a" * 63])
def test_a_namespace_is_a_dns_label(name: str) -> None:
    assert names.check_namespace(name) == name


@pytest.mark.parametrize(
    "name", ["", "Bots", "../kube-system", "bots/pods", "a" * 64, "bots\n", "-b", "b-", "a.b", None, 3]
)
def test_any_other_namespace_is_refused(name: Any) -> None:
    with pytest.raises(AgentError, match="namespace"):
        names.check_namespace(name)

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in Vault and cannot do its work in the pod is named by its key, and never shown."""

from __future__ import annotations

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.values import digest, faults, require_effective
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import home
from ansible_collections.digitalsys.agents.plugins.module_utils._options.values import GATEWAY_TOKEN, LONGEST_VARIABLE
from tests.unit import builders

LONGEST = "x" * (LONGEST_VARIABLE - len("KEY=") - 1)


@pytest.mark.parametrize(
    "value", ["", "x\n", "a\nb\r\nc", "a\tb", 'it\'s "$(HOME)" $$ {{ 7 }}', '{"a": 1}', "ü\U0001f511", LONGEST]
)
def test_what_a_process_can_take_is_left_alone(value: str) -> None:
    assert faults({"KEY": value, "a-b": value}, ()) == {}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("KEY", "a\0b", "has a NUL in it"),
        ("KEY", "a\ud800b", "is no UTF-8 text"),
        ("KEY", LONGEST + "x", "is too long"),
        ("KEY", "ü" * (LONGEST_VARIABLE // 2), "is too long"),
        ("GITHUB_TOKEN ", "x", "is no name of a variable"),
        ("1ST", "x", "is no name of a variable"),
        ("A/B", "x", "is no name of a variable"),
        (GATEWAY_TOKEN, "token\n", "ends with a line break, as echo adds one"),
        (GATEWAY_TOKEN, "to ken", "cannot be sent to the gateway"),
        (GATEWAY_TOKEN, "tökén", "cannot be sent to the gateway"),
    ],
)
def test_what_cannot_work_is_told_by_its_key(key: str, value: str, words: str) -> None:
    found = faults({key: value, "GOOD": "x"}, ())
    assert list(found) == [key]
    assert words in found[key]


def test_a_key_that_the_template_sets_too_is_refused_whatever_its_value() -> None:
    found = faults({"A": "x", "B": "y"}, {"A", "C"}, replaced=("A",))
    assert found == {"A": "is set by agent_env, too, and that is what the pod reads"}


def test_a_key_that_a_rotation_brings_first_is_judged_like_one_that_is_there() -> None:
    """Trials C1, of a key that does not stand in Vault yet."""
    assert list(faults({"A": "1"}, {"NEW"}, ["NEW"])) == ["NEW"]
    assert faults({"A": "1"}, {"OTHER"}, ["NEW"]) == {}


def test_a_value_that_is_about_to_be_replaced_is_not_judged() -> None:
    assert faults({GATEWAY_TOKEN: "token\n"}, (), replaced=(GATEWAY_TOKEN,)) == {}


def test_all_faults_are_in_one_error_that_shows_no_value() -> None:
    agent = home(builders.params())
    values = {GATEWAY_TOKEN: "geheim\n", "LINEAR_API_KEY": "streng", "GITHUB_TOKEN": "geheim"}
    with pytest.raises(AgentError) as caught:
        require_effective(agent, values, {"LINEAR_API_KEY"}, "Vault's kv/agents/roberval")
    assert caught.value.kind is ErrorKind.SECRET
    assert GATEWAY_TOKEN in caught.value.message
    assert "LINEAR_API_KEY" in caught.value.message
    assert "Take LINEAR_API_KEY out of agent_env" in caught.value.hint
    for value in values.values():
        assert value.strip() not in caught.value.text()


def test_contents_are_told_from_each_other_by_whoever_has_the_key() -> None:
    one = digest({"A": "1", "B": "2"}, "00ff")
    assert one == digest({"B": "2", "A": "1"}, "00ff")
    assert len({one, digest({"A": "12"}, "00ff"), digest({"A": "1", "B": "2"}, "00fe"), digest({}, "00ff")}) == 4
    assert digest({"A": "\udc80"}, "00ff")
    assert digest({"A": "1"}, "") == ""

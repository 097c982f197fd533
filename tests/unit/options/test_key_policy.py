# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values a key may have, and how it may come by one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options.key_policy import (
    KeyPolicy,
    Trial,
    check_value,
    generate,
    generated_keys,
    of_options,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._options.values import (
    GATEWAY_TOKEN,
    LONGEST_VARIABLE,
)

LINES = KeyPolicy(multi_line=True)


@pytest.mark.parametrize(
    "value",
    ["x", "it's {{ 6 * 7 }} $HOME `id` %s \\n", "ü\U0001f511", "a\tb", "x" * (LONGEST_VARIABLE - len("KEY=") - 1)],
)
def test_a_value_stays_as_it_is(value: str) -> None:
    assert check_value("KEY", value, KeyPolicy()) == value


@pytest.mark.parametrize(
    "value",
    ["", " x", "x ", "x\n", "a\nb", "a\rb", "a\0b", "a\ud800b", "x" * (LONGEST_VARIABLE - len("KEY=")), None, 7],
)
def test_a_value_that_would_not_arrive_is_refused_and_not_shown(value: Any) -> None:
    with pytest.raises(AgentError, match="the new value of KEY is not allowed") as caught:
        check_value("KEY", value, KeyPolicy())
    assert not value or str(value).strip() not in caught.value.message.partition("KEY")[2] or len(str(value)) < 3


@pytest.mark.parametrize("value", ["a b", "ü", "a\tb", "a\nb"])
def test_a_gateways_token_that_cannot_be_sent_is_refused(value: str) -> None:
    with pytest.raises(AgentError, match="cannot be sent to the gateway"):
        check_value(GATEWAY_TOKEN, value, LINES)


def test_line_breaks_are_allowed_where_the_policy_says_so() -> None:
    assert check_value("KEY", "-----BEGIN\nx\n-----END", LINES) == "-----BEGIN\nx\n-----END"
    with pytest.raises(AgentError, match="white space"):
        check_value("KEY", "x\n ", LINES)


@pytest.mark.parametrize(("value", "policy"), [("x\n", KeyPolicy()), ("x\n", LINES), ("x\ny\n", LINES)])
def test_the_line_break_that_enter_adds_is_told_with_what_keeps_it_out(value: str, policy: KeyPolicy) -> None:
    with pytest.raises(AgentError, match="as Enter or echo add one") as caught:
        check_value("KEY", value, policy)
    assert "printf %s" in caught.value.hint


def test_what_is_generated_is_new_each_time_and_of_the_length_asked_for() -> None:
    one, other = generate(KeyPolicy(generated=48)), generate(KeyPolicy(generated=48))
    assert one != other
    assert len(one) == 64
    assert check_value("KEY", one, KeyPolicy()) == one


def test_a_policy_is_read_whole() -> None:
    url = "https://api.example.com/user"
    brought = {"multi_line": True, "test": {"url": url}}
    found = of_options({"MADE": {"generated": "32", "max_age": "90d"}, "BROUGHT": brought, "BARE": {}})
    assert found["MADE"] == KeyPolicy(generated=32, max_age=7776000)
    assert found["BROUGHT"] == KeyPolicy(multi_line=True, test=Trial(url, "GET", "Authorization", "Bearer ", 200))
    assert found["BARE"] == KeyPolicy()
    assert generated_keys(found) == ["MADE"]


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        ({"generate": 32}, "only generated, max_age"),
        ("32", "only generated, max_age"),
        ({"generated": 8}, "between 16 and 256"),
        ({"generated": 257}, "between 16 and 256"),
        ({"generated": "many"}, "number of random bytes"),
        ({"max_age": "soon"}, "is no duration"),
        ({"multi_line": "no"}, "multi_line is true or false"),
        ({"test": {"method": "GET"}}, "test is url"),
        ({"test": {"url": "https://x", "body": "y"}}, "test is url"),
        ({"test": {"url": "http://api.example.com"}}, "is not allowed"),
        ({"test": {"url": "https://user@api.example.com"}}, "is not allowed"),
        ({"test": {"url": "file:///etc/passwd"}}, "is not allowed"),
        ({"test": {"url": "https://x", "header": "A: B"}}, "header or test.method"),
        ({"test": {"url": "https://x", "method": "DELETE"}}, "header or test.method"),
        ({"test": {"url": "https://x", "status": "ok"}}, "status"),
    ],
)
def test_a_policy_that_cannot_be_is_named(policy: Any, word: str) -> None:
    with pytest.raises(AgentError, match=word) as caught:
        of_options({"KEY": policy})
    assert caught.value.kind is ErrorKind.INVALID
    assert "key_policy.KEY" in caught.value.message


@pytest.mark.parametrize("key", ["", "key", "1KEY", "A-B", "A B", "KEY\n", "../X"])
def test_a_key_is_the_name_of_an_environment_variable(key: str) -> None:
    with pytest.raises(AgentError, match="key_policy"):
        of_options({key: {}})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/x", "http://localhost/", "http://[::1]:1/", "https://x:8443/y?z"]
)
def test_a_test_may_ask_this_machine_in_the_clear(url: str) -> None:
    trial = of_options({"KEY": {"test": {"url": url}}})["KEY"].test
    assert trial
    assert trial.url == url

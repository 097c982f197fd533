# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations: what is read, and how one is written for Go and for people."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options.duration import (
    OF_GO,
    as_go_writes,
    in_words,
    seconds_of,
)


@pytest.mark.parametrize(("age", "seconds"), [("30s", 30), ("12h", 43200), ("90d", 7776000), ("8w", 4838400)])
def test_an_age_is_a_number_with_a_unit(age: str, seconds: int) -> None:
    assert seconds_of(age, "here") == seconds


@pytest.mark.parametrize("age", ["", "90", "0d", "-1d", "1.5d", "90 d", "1y", "90d\n", "d"])
def test_anything_else_is_no_age(age: str) -> None:
    with pytest.raises(AgentError, match="here"):
        seconds_of(age, "here")


def test_a_nought_is_read_where_it_means_none_or_for_ever() -> None:
    assert seconds_of("0", "secret_id_ttl", OF_GO, zero=True) == 0
    with pytest.raises(AgentError, match="secret_id_ttl: '1d' is no duration"):
        seconds_of("1d", "secret_id_ttl", OF_GO, zero=True)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("1m", "1m0s"),
        ("30s", "30s"),
        ("90s", "1m30s"),
        ("60m", "1h0m0s"),
        ("2h", "2h0m0s"),
        ("3661s", "1h1m1s"),
        ("3600s", "1h0m0s"),
    ],
)
def test_a_time_is_spelled_as_eso_rewrites_it(text: str, kept: str) -> None:
    assert as_go_writes(seconds_of(text, "secret_refresh", OF_GO)) == kept


@pytest.mark.parametrize(
    "text", ["0", "0s", "1", "-1m", "1 m", "1m\n", "1m30s", "1d", "", "01m", "9" * 20 + "s", None, 60]
)
def test_a_time_that_is_none_or_zero_is_refused(text: Any) -> None:
    with pytest.raises(AgentError, match="secret_refresh") as caught:
        seconds_of(text, "secret_refresh", OF_GO)
    assert caught.value.kind is ErrorKind.INVALID


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172799, "47 h"), (172800, "2 d")],
)
def test_an_age_is_a_number_that_a_person_grasps(seconds: int, words: str) -> None:
    assert in_words(seconds) == words

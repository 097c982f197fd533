# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line tells which values a pod was started with: by content, else by entry and time, never by a number alone where
more is known."""

from __future__ import annotations

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import (
    has_digest,
    is_same,
    names_entry,
    stamp,
    told,
    version_of,
)

ENTRY, OTHER = "kv/agents/roberval", "kv/agents/clovis"
MONDAY, TUESDAY = "2026-11-02T10:00:00.5Z", "2026-11-03T10:00:00.5Z"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (stamp(1, ENTRY, MONDAY, "aa"), stamp(2, ENTRY, TUESDAY, "aa"), True),
        (stamp(1, ENTRY, MONDAY, "aa"), stamp(1, ENTRY, TUESDAY, "bb"), False),
        (stamp(1, ENTRY, MONDAY), stamp(1, ENTRY, MONDAY, "bb"), True),
        (stamp(1, ENTRY, MONDAY), stamp(1, ENTRY, TUESDAY), False),
        (stamp(1, ENTRY, MONDAY), stamp(1, OTHER, MONDAY), False),
        (stamp(1, ENTRY, MONDAY, "aa"), stamp(1, OTHER, TUESDAY, "aa"), True),
        ("1", stamp(1, ENTRY, MONDAY, "aa"), True),
        ("1", stamp(2, ENTRY, MONDAY, "aa"), False),
        ("unproved", stamp(1, ENTRY, MONDAY, "aa"), False),
        # The key of the digests was made anew: one version of one entry is one content all the same.
        (stamp(1, ENTRY, MONDAY, "aa"), stamp(1, ENTRY, MONDAY, "bb"), True),
        ("unproved", "unproved", True),
        ("", stamp(1, ENTRY, MONDAY), False),
    ],
)
def test_the_same_content_is_the_same_whatever_its_number(one: str, other: str, same: bool) -> None:
    """Trials C14 and G8."""
    assert is_same(one, other) is same
    assert is_same(other, one) is same


def test_people_are_told_the_version() -> None:
    assert [version_of(one) for one in ("", "4", "unproved", stamp(7, ENTRY, MONDAY, "aa"))] == [
        "",
        "4",
        "unproved",
        "7",
    ]
    assert [has_digest(one) for one in ("4", stamp(7, ENTRY, MONDAY), stamp(7, ENTRY, MONDAY, "aa"))] == [
        False,
        False,
        True,
    ]
    assert not names_entry("4")
    assert names_entry(stamp(7, ENTRY, MONDAY))


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("", "4", "secret version none -> 4"),
        ("3", stamp(4, ENTRY, MONDAY), "secret version 3 -> 4"),
        (stamp(1, ENTRY, MONDAY), stamp(1, ENTRY, TUESDAY), "secret version 1, written anew"),
        (stamp(1, ENTRY, MONDAY), stamp(1, OTHER, MONDAY), f"secret {ENTRY} version 1 -> {OTHER} version 1"),
        ("unproved", stamp(1, ENTRY, MONDAY), "secret version unproved -> 1"),
    ],
)
def test_what_is_another_is_told(before: str, now: str, words: str) -> None:
    assert told(before, now) == words

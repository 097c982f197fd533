# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal keeps of a failure."""

from __future__ import annotations

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.way_back import _FAILURE_LENGTH, _whole_lines


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("", ""),
        ("one\ntwo", "one\ntwo"),
        ("a" * 590 + "\n" + "b" * 20, "a" * 590),
        ("a" * 590 + "\n" + "b" * 9 + "\nc", "a" * 590 + "\n" + "b" * 9),
        ("a" * 700, "a" * 600),
    ],
)
def test_whole_lines_are_kept(words: str, kept: str) -> None:
    """Trials H7: it was cut in the middle of a line."""
    assert _whole_lines(words) == kept
    assert len(kept) <= _FAILURE_LENGTH

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The waves in which a fleet is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.digitalsys.agents.plugins.filter.waves import waves

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"


@pytest.mark.parametrize(
    ("groups", "first"), [({"canary": ["a", "b"]}, 2), ({"canary": []}, 1), ({"agents": ["a", "b"]}, 1)]
)
def test_the_canaries_are_the_first_wave_else_one_agent(groups: dict[str, list[str]], first: int) -> None:
    assert waves(groups) == [first, "25%", "100%"]


def test_every_play_with_waves_takes_them_from_here_and_stops_at_a_failure() -> None:
    plays = [play for path in PLAYBOOKS.glob("*.yml") for play in yaml.safe_load(path.read_text()) if "serial" in play]
    assert len(plays) >= 4
    assert {play["serial"] for play in plays} == {"{{ groups | digitalsys.agents.waves }}"}
    assert {play["max_fail_percentage"] for play in plays} == {0}

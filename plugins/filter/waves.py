# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a fleet is changed: a few agents first, and ever more of them while none fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.digitalsys.agents.plugins.filter.known_agents import CANARY

#: After the canaries a quarter of the play's agents, then whoever is left.
LATER = ("25%", "100%")


def waves(groups: Mapping[str, list[str]]) -> list[int | str]:
    """For the line `serial` of a play. Of a fleet without canaries its first agent goes alone."""
    return [max(len(groups.get(CANARY) or []), 1), *LATER]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"waves": waves}

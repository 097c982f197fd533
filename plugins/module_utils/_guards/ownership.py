# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose an object is: nobody else's is ever taken over."""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live, stranger
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CLAIM


def require_ours(live: Live) -> None:
    """Meeting an object that is not ours is a clear stop, never a take-over."""
    for kind_name, found in live.objects.items():
        if kind_name == CLAIM.name and (live.accepted or live.record):
            continue  # which volume is the agent's is told by its record, or by a person: see require_volume
        if not names.is_ours(found):
            raise stranger(kind_name, found["metadata"]["name"])

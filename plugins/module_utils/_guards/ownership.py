# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose an object is: nobody else's is ever taken over."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CLAIM


def strangers(live: Live) -> list[str]:
    """What stands in the place of the agent's objects, and is somebody else's: Kind name."""
    found = [
        f"{kind_name} {item['metadata']['name']}"
        for kind_name, item in live.objects.items()
        # Which volume is the agent's is told by its record, or by a person: see require_volume.
        if not names.is_ours(item) and not (kind_name == CLAIM.name and (live.accepted or live.record))
    ]
    return found + live.strangers


def require_ours(live: Live) -> None:
    """Meeting an object that is not ours is a clear stop, never a take-over."""
    require_no_strangers(live.agent, strangers(live))


def require_no_strangers(agent: str, found: Sequence[str]) -> None:
    """found: all of them at once, each as it is called where it stands."""
    if not found:
        return
    stands, was = ("stands", "was") if len(found) == 1 else ("stand", "were")
    raise AgentError(
        ErrorKind.NOT_OURS,
        f"{agent}: {', '.join(found)} {stands} there already, and {was} not made by this collection",
        "Nothing of it was touched, and nothing needs to be removed: there may be an agent that runs, with its memory. "
        "Taking over one that was made by hand is an operation of its own, which is to come. Until then choose another "
        "name for the new agent.",
        {"strangers": list(found)},
    )

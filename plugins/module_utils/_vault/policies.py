# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy with which ESO reads for one agent."""

from __future__ import annotations

import re


def policy_text(mount: str, path: str) -> str:
    """What ESO may do for this agent: read its one path, nothing else."""
    return "".join(f'path "{mount}/{part}/{path}" {{\n  capabilities = ["read"]\n}}\n' for part in ("data", "metadata"))


def is_policy_of_ours(text: str | None) -> bool:
    """Whether it grants what this collection writes, for whatever path, and nothing else; or there is none. Nobody
    else's is ever narrowed."""
    if text is None:
        return True
    found = _words(text)
    first = re.match(r'path "(\S+)" \{', found)
    place = first[1] if first else ""
    # Mount and path may both have a /data/ in them.
    cuts = [cut.start() for cut in re.finditer("(?=/data/)", place)]
    return any(found == _words(policy_text(place[:cut], place[cut + len("/data/") :])) for cut in cuts)


def _words(text: str) -> str:
    """However it was laid out."""
    return " ".join(text.split())

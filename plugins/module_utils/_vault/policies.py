# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy with which ESO reads for one agent."""

from __future__ import annotations


def policy_text(mount: str, path: str) -> str:
    """What ESO may do for this agent: read its one path, nothing else."""
    return "".join(f'path "{mount}/{part}/{path}" {{\n  capabilities = ["read"]\n}}\n' for part in ("data", "metadata"))

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How what belongs to an agent in Vault is called."""

from __future__ import annotations


def policy(agent: str) -> str:
    return f"agents-{agent}"


def role(agent: str) -> str:
    return f"{agent}-role"


def journal(agent: str) -> str:
    """Below the KV mount, as are the next."""
    return f"agents-rotation/{agent}"


def inbox(agent: str) -> str:
    return f"agents-inbox/{agent}"

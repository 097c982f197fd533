# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the lock and the freeze: who is writing, and what is overridden."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  holder:
    description:
      - Who is doing this, for example V(job 812 (alice\)). Shown to whoever meets the lock, and recorded with the
        release where one is made.
      - At most 80 characters are kept. Not set or empty, it is the user and the machine.
    type: str
  force_unlock:
    description:
      - Break the lock of another run that you know is dead. Its name is shown.
      - Seldom needed. A lock that has not moved for 15 seconds is taken over without it.
    type: bool
    default: false
"""

    FREEZE = r"""
options:
  override_freeze:
    description: Go on although the fleet is frozen (ConfigMap C(fleet-freeze)). It is recorded with the release where
      one is made.
    type: bool
    default: false
"""

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the collection says of itself: what a run in check mode means, and that it can be repeated."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would change, without changing it.
  diff_mode:
    description: Returns what has changed, or in check mode what would change, when in diff mode. Never a secret value.
  idempotent:
    description: When run twice in a row outside check mode with the same arguments, the second run changes nothing.
"""

    HOST = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/digitalsys.agents.agents) in C(module_defaults) to set options for all modules of this
      collection.
    support: full
    membership:
      - digitalsys.agents.agents
  async:
    description: Can be run with C(async).
    support: none
    details: It shows its progress while it runs, and can simply be run again.
  in_process:
    description: >-
      Runs inside ansible's own process where the connection is V(local), which saves a quarter of a second for each
      host and lets it show progress lines. On any other connection it runs as an ordinary module on that host.
    support: full
requirements:
  - Python 3.11 or later, where it runs.
  - C(kubernetes) 35 or later, where it runs.
notes:
  - Environment variables that C(environment) of a play or task sets are obeyed, E(KUBECONFIG) and E(VAULT_ADDR) among
    them.
  - A failure carries RV(error.kind), a word that a playbook can act on.
    V(invalid), V(missing_library) - mend the input or the machine.
    V(forbidden), V(unauthorized), V(wrong_cluster) - mend the access.
    V(unavailable) - run again.
    V(locked), V(lock_lost), V(frozen), V(conflict) - somebody else is at work.
    V(not_ours) - an object of that name was not made by this collection.
    V(rotation_open) - a rotation must end first.
    V(not_found), V(image), V(secret), V(vault), V(rollout), V(rotation), V(verify) - the message says what is wrong
    there.
    V(internal) - please report it.
"""

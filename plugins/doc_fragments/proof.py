# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of how a rollout is proved."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  verify:
    description:
      - What proves that the new pod works, once Kubernetes says that it is available.
      - V(probe) asks the gateway itself, through the API server's port-forward. It must take the agent's token and
        refuse a wrong one. Needs the permission to create C(pods/portforward) and the key C(OPENCLAW_GATEWAY_TOKEN).
      - V(exec) does what V(probe) does, and after a rotation also asks the pod for proof that it has each new value,
        by a keyed hash that does not tell the value. Needs the permission to create C(pods/exec).
      - V(ready) is content with the pod's readiness. For clusters where no port-forward is possible.
    type: str
    choices: [probe, ready, exec]
    default: probe
  sync_timeout:
    description: Seconds to wait until the External Secrets Operator has copied Vault's values.
    type: int
    default: 90
  schedule_grace:
    description:
      - Seconds for which a pod may find no node before that counts as a failure. Give an autoscaler the time to add
        one.
    type: int
    default: 60
  timeout:
    description:
      - Seconds to wait for the new pod in all, from when the former one is gone. A failure that is certain ends the
        wait long before.
      - Keep it above 1200, the Deployment's own progress deadline.
      - Going back to the last good release has as long again.
    type: int
    default: 1500
"""

    SECRET = r"""
options:
  secret_proof:
    description:
      - What the Secret of the agent is compared with, before a pod may start with it.
      - V(vault) compares it byte for byte with what Vault has, and stamps the pod with that version. It waits for the
        External Secrets Operator where the Secret is behind. Needs credentials for Vault.
      - V(none) only looks whether all of O(required_keys) are there. The pod is stamped V(unproved).
    type: str
    choices: [vault, none]
    default: vault
"""

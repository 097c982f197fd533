#!/usr/bin/python
# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_rotation
short_description: Rotate secrets of one OpenClaw agent with proof, or take everything back
version_added: 0.2.0
author:
  - DigitalSys (@digitalsys)
description:
  - The whole rotation as one task. The new values are written to a journal in Vault, tried out, promoted to the
    agent's entry, proved to have arrived in the Kubernetes Secret, the agent is restarted once, the running agent is
    proved to accept the new token and to refuse the old one, and the journal is closed.
  - When anything of that fails after the promotion, the old values are put back and proved in the same way. The task
    fails with both stories.
  - Killed at any moment, or stopped by a Vault that was sealed, the same task run again goes on where it was. There is
    one new value for each rotation, however often it is begun.
  - What a person writes to other keys meanwhile is kept. When a person writes to a rotated key, theirs stands and the
    rotation ends.
  - With neither O(keys) nor O(abort), it rotates what lies in the inbox (C(agents-inbox/<name>) beside the agent's
    entry) and what is due by C(max_age) of O(key_policy). With a rotation open, it goes on with that one.
  - No value is shown or kept anywhere but in Vault, in the Secret and in the pod.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - digitalsys.agents.run
  - digitalsys.agents.run.ownership
  - digitalsys.agents.vault
  - digitalsys.agents.proof
  - digitalsys.agents.holder
  - digitalsys.agents.holder.freeze
  - digitalsys.agents.agent.named
  - digitalsys.agents.agent.namespace
  - digitalsys.agents.agent.secrets
  - digitalsys.agents.keys
  - digitalsys.agents.attributes
  - digitalsys.agents.attributes.host
attributes:
  check_mode:
    support: full
    details: Says which keys would be rotated. Nothing is written and no lock is taken.
  diff_mode:
    support: none
    details: What it changes is secret.
  idempotent:
    support: partial
    details:
      - Run again without O(rotation_id) it rotates again, for that is what was asked. With the same O(rotation_id) a
        finished rotation is not repeated.
options:
  keys:
    description: Names of the keys to rotate. Left out, what lies in the inbox and what is due.
    type: list
    elements: str
    default: []
  new_value:
    description:
      - The new value, when O(keys) names just one. Text; a number or a list is refused, since it may not be what was
        typed. For a question of type password in AWX, or a variable of ansible-vault. Never on a command line, where
        every process of the machine can read it. A value brought by a person is best put into the inbox.
    type: raw
  rotation_id:
    description:
      - Name of this rotation, for a job that may be retried. Generated when it is left out.
      - Letters, digits and C(_.:-), at most 64.
    type: str
  abort:
    description: Take back the rotation that is open, whichever it is.
    type: bool
    default: false
seealso:
  - module: digitalsys.agents.agent_rollout
  - module: digitalsys.agents.agent_info
"""

EXAMPLES = r"""
# In a play with `hosts: roberval`, whose inventory holds these variables
- name: A new gateway token
  digitalsys.agents.agent_rotation:
    name: "{{ inventory_hostname }}"
    cluster_uid: "{{ agent_cluster_uid }}"
    keys: [OPENCLAW_GATEWAY_TOKEN]
  register: rotated

- name: What lies in the inbox, tried out before it is used
  digitalsys.agents.agent_rotation:
    name: "{{ inventory_hostname }}"
    cluster_uid: "{{ agent_cluster_uid }}"
    key_policy:
      GITHUB_TOKEN:
        test:
          url: https://api.github.com/user

- name: Take back what is open
  digitalsys.agents.agent_rotation:
    name: "{{ inventory_hostname }}"
    cluster_uid: "{{ agent_cluster_uid }}"
    abort: true
"""

RETURN = r"""
agent:
  description: Name of the agent.
  returned: success
  type: str
  sample: roberval
rotation_id:
  description: Name of the rotation. None when nothing was due or open.
  returned: success
  type: str
  sample: 4c1f0a9d2b7e
keys:
  description: Names of its keys.
  returned: success
  type: list
  elements: str
  sample: [OPENCLAW_GATEWAY_TOKEN]
phase:
  description: How it ended. V(finished), or after O(abort) V(aborted), V(rolled_back) or V(superseded).
  returned: success
  type: str
  sample: finished
base_version:
  description: Version in Vault from before it; after it was taken back, the one that has the old values again.
  returned: success
  type: int
  sample: 6
promoted_version:
  description: Version in Vault that has the new values. None when they were not promoted.
  returned: success
  type: int
  sample: 7
secret_version:
  description: Version in Vault that the pod is stamped with. None when no pod was looked at.
  returned: success
  type: str
  sample: "7"
pod:
  description: Name of the pod that runs. Empty when none was looked at.
  returned: success
  type: str
  sample: roberval-6d4f8b9c7d-x2v9k
release:
  description: The recorded release. None when there is none.
  returned: success
  type: str
  sample: r13
steps:
  description:
    - What was done, in order.
    - V(S2) the lock was taken over, or an open rotation is gone on with. V(S3) prepared. V(S4) tried out.
      V(S5) promoted. V(S6) the Secret has it. V(R5) the Deployment was applied. V(R6) the pod is available.
      V(R7) the gateway answered. V(S9) the old token is refused, or the pod has the new values. V(S10) finished.
      V(back) going back. V(abort) aborted. V(volume) another pod had the volume, and was waited for.
  returned: success
  type: list
  elements: dict
  contains:
    step:
      description: Which step.
      type: str
    words:
      description: What happened.
      type: str
    at:
      description: Seconds since the task began.
      type: float
  sample:
    - step: S5
      words: "promoted: Vault's kv/agents/roberval is version 7"
      at: 0.412
changes:
  description: What was written, in words without a value.
  returned: success
  type: list
  elements: str
  sample: ["promoted: Vault's kv/agents/roberval is version 7"]
retries:
  description: How many requests to the API server had to be sent again.
  returned: success
  type: int
  sample: 0
error:
  description: What went wrong.
  returned: failure
  type: dict
  contains:
    kind:
      description: A word to act on. V(rotation) means that it was taken back, closed or left open, as the message says.
        V(rotation_open) that another one must end first.
      type: str
    message:
      description: What failed, and why.
      type: str
    hint:
      description: What to type or look at next.
      type: str
    cause:
      description: Why the new values did not work, in one word. As for M(digitalsys.agents.agent_rollout).
      type: str
      returned: when the new pod failed
    evidence:
      description: All that was seen of it. As for M(digitalsys.agents.agent_rollout).
      type: dict
      returned: when the new pod failed
    steps:
      description: As RV(steps), up to the failure.
      type: list
      elements: dict
      returned: when it had begun
    changes:
      description: As RV(changes), up to the failure.
      type: list
      elements: str
      returned: when it had begun
  sample:
    kind: rotation_open
    message: "LINEAR_API_KEY cannot be rotated: rotation 4c1f0a9d2b7e of OPENCLAW_GATEWAY_TOKEN is open (promoted)"
    hint: "Finish it with rotate.yml (no keys given), or take it back: -e abort=true."
"""

from ansible_collections.digitalsys.agents.plugins.module_utils._core.host import run_module
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import ROTATION_MODULE
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.operation import rotate


def main() -> None:
    run_module(rotate, ROTATION_MODULE)


if __name__ == "__main__":
    main()

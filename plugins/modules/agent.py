#!/usr/bin/python
# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent
short_description: The Kubernetes objects of one OpenClaw agent, applied, removed or printed
version_added: 0.1.0
author:
  - DigitalSys (@digitalsys)
description:
  - Makes the objects of one agent. A service account, the volume claim, a network policy, the SecretStore, the
    ExternalSecret and the Deployment.
  - Nothing is waited for, and nothing is proved. To change an agent that is at work, use
    M(digitalsys.agents.agent_rollout), which proves that the change arrived and goes back when it did not.
  - The agent's lock is taken where there is something to do, and a freeze of the fleet is obeyed.
  - Every object is written by server-side apply. Only what differs is sent.
  - The Deployment's strategy is C(Recreate). Two pods of one agent would fight over its volume and its Discord token.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - digitalsys.agents.run
  - digitalsys.agents.run.ownership
  - digitalsys.agents.holder
  - digitalsys.agents.holder.freeze
  - digitalsys.agents.agent
  - digitalsys.agents.agent.named
  - digitalsys.agents.agent.namespace
  - digitalsys.agents.agent.secrets
  - digitalsys.agents.agent.approle
  - digitalsys.agents.attributes
  - digitalsys.agents.attributes.host
attributes:
  check_mode:
    support: full
    details: Every write is sent as a dry run, so that the server's own admission speaks.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) makes the objects what the options say.
      - V(absent) removes the Deployment, the ExternalSecret, the SecretStore, the network policy and the service
        account. Never the volume claim, which holds the agent's memory, nor its SecretID, nor anything in Vault.
      - V(rendered) only returns the objects. No server is asked, so O(image) must carry a digest.
    type: str
    choices: [present, absent, rendered]
    default: present
  secret_version:
    description:
      - Version in Vault that the agent's Secret is known to hold. Stamped on the pod, so another version makes a new
        pod.
      - Not set, the stamp stays what it is.
    type: str
seealso:
  - module: digitalsys.agents.agent_rollout
  - module: digitalsys.agents.agent_access
  - module: digitalsys.agents.agent_info
"""

EXAMPLES = r"""
- name: Print what an agent would be, without asking any server
  digitalsys.agents.agent:
    state: rendered
    name: roberval
    image: registry.example.com/agent@sha256:9b2f4c1de07a65830f9e2b7c4d1a8e6f35c0b9d2a7e4f1c8b6d3a0e5f2c7b491
    vault_server: https://vault.example.com:8200
    volume_size: 25Gi
    requests:
      memory: 2Gi
      cpu: 500m
    network: strict
    network_egress:
      - to:
          - ipBlock:
              cidr: 10.20.0.0/16
        ports:
          - port: 5432
  register: printed

# In a play with `hosts: roberval`, whose inventory holds these variables
- name: Make the objects of the agent, without waiting for its pod
  digitalsys.agents.agent:
    name: "{{ inventory_hostname }}"
    image: "{{ agent_image }}"
    vault_server: "{{ agent_vault_server }}"
    volume_size: "{{ agent_volume_size }}"
    cluster_uid: "{{ agent_cluster_uid }}"

- name: Take the agent out of the cluster, but keep its memory and its secrets
  digitalsys.agents.agent:
    state: absent
    name: "{{ inventory_hostname }}"
    image: "{{ agent_image }}"
    vault_server: "{{ agent_vault_server }}"
    cluster_uid: "{{ agent_cluster_uid }}"
"""

RETURN = r"""
objects:
  description: The objects, in the order in which they are applied.
  returned: O(state=rendered)
  type: list
  elements: dict
  sample:
    - apiVersion: v1
      kind: ServiceAccount
      metadata:
        name: roberval
        namespace: bots
agent:
  description: Name of the agent.
  returned: success, unless O(state=rendered)
  type: str
  sample: roberval
steps:
  description: What was done besides, in order. A lock that was taken over, a volume that was waited for.
  returned: success, unless O(state=rendered)
  type: list
  elements: dict
  sample: []
retries:
  description: How many requests to the API server had to be sent again.
  returned: success, unless O(state=rendered)
  type: int
  sample: 0
changes:
  description: What was written, or in check mode would be. One entry for each object.
  returned: success, unless O(state=rendered)
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of the object.
      type: str
    name:
      description: Name of the object.
      type: str
    change:
      description: What happened to it. V(created), V(changed) or V(removed).
      type: str
    fields:
      description: Of a changed object, what differed. At most 20 lines, each a path, the value that was there and the
        wanted one.
      type: list
      elements: str
  sample:
    - kind: Deployment
      name: roberval
      change: changed
      fields:
        - "spec.template.spec.terminationGracePeriodSeconds: 30 -> 330"
error:
  description: What went wrong.
  returned: failure
  type: dict
  contains:
    kind:
      description: A word to act on. The notes list them.
      type: str
    message:
      description: What failed, and why.
      type: str
    hint:
      description: What to type or look at next.
      type: str
    holder:
      description: Who holds the lock.
      type: str
      returned: when RV(error.kind=locked)
    steps:
      description: As RV(steps), up to the failure.
      type: list
      elements: dict
    changes:
      description: As RV(changes), up to the failure.
      type: list
      elements: dict
  sample:
    kind: invalid
    message: "roberval: the volume is 25Gi, asked 10Gi; volumes never shrink"
    hint: "Set agent_volume_size: 25Gi. A smaller volume means a new claim and a copy of the state."
"""

from ansible_collections.digitalsys.agents.plugins.module_utils._core.host import run_module
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import AGENT_MODULE
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.objects import manage


def main() -> None:
    run_module(manage, AGENT_MODULE)


if __name__ == "__main__":
    main()

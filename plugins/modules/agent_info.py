#!/usr/bin/python
# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_info
short_description: How OpenClaw agents are, one or the whole fleet
version_added: 0.1.0
author:
  - DigitalSys (@digitalsys)
description:
  - Health, image, secret version, volume, restarts, newest release and lock of each agent. No secret value.
  - Costs one LIST for each kind of object, however many agents there are. Vault is not asked.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - digitalsys.agents.run
  - digitalsys.agents.agent.namespace
  - digitalsys.agents.attributes
  - digitalsys.agents.attributes.host
attributes:
  check_mode:
    support: full
    details: It only reads.
  diff_mode:
    support: none
    details: It only reads.
  idempotent:
    support: full
options:
  names:
    description:
      - Names of agents. One that does not exist is reported as V(missing).
      - Not set, all agents of the namespace that this collection made.
    type: list
    elements: str
seealso:
  - module: digitalsys.agents.agent_rollout
"""

EXAMPLES = r"""
- name: Look at the whole fleet
  digitalsys.agents.agent_info:
    cluster_uid: "{{ agent_cluster_uid }}"
  register: fleet
  run_once: true

- name: Show it
  ansible.builtin.debug:
    var: fleet.table
  run_once: true

- name: Look at one agent
  digitalsys.agents.agent_info:
    cluster_uid: "{{ agent_cluster_uid }}"
    names: [roberval]
  register: one

- name: Stop unless it runs
  ansible.builtin.assert:
    that: one.agents[0].health == 'running'
    fail_msg: "{{ one.agents[0].agent }} is {{ one.agents[0].health }}"
"""

RETURN = r"""
agents:
  description: One entry for each agent, in the order of O(names), else by name. What is not known is empty.
  returned: success
  type: list
  elements: dict
  contains:
    agent:
      description: Name of the agent.
      type: str
      sample: roberval
    health:
      description:
        - V(running), V(starting), V(crashing), V(no image) (it cannot be pulled), V(stopped) (no pod is wanted),
          V(paused), V(two pods) or V(missing).
      type: str
      sample: running
    image:
      description: Image of the Deployment, by digest.
      type: str
      sample: registry.example.com/agent@sha256:9b2f4c1de07a65830f9e2b7c4d1a8e6f35c0b9d2a7e4f1c8b6d3a0e5f2c7b491
    tag:
      description: Tag that this digest came from.
      type: str
      sample: latest
    secret_version:
      description: Version in Vault whose values the pod was started with, or V(unproved).
      type: str
      sample: "7"
    secret_ready:
      description: Whether the External Secrets Operator says that it can copy the agent's secrets.
      type: bool
      sample: true
    secret_refreshed:
      description: When it last copied them.
      type: str
      sample: "2026-11-23T12:00:00Z"
    volume:
      description: Size of the volume.
      type: str
      sample: 10Gi
    volume_phase:
      description: Phase of the volume claim.
      type: str
      sample: Bound
    restarts:
      description: How often the gateway's container was started again in its pod.
      type: int
      sample: 0
    pods:
      description: Names of its pods, one that is going away included.
      type: list
      elements: str
      sample: [roberval-6d4f8b9c7d-x2v9k]
    node:
      description: Node of the pod.
      type: str
      sample: bots-1
    release:
      description: Newest recorded release.
      type: str
      sample: r12
    released_at:
      description: When it was recorded.
      type: str
      sample: "2026-11-23T12:00:00Z"
    locked_by:
      description: Who is at work on the agent, and for how long.
      type: str
      sample: job 812 (alice), 40 s
table:
  description: The same as lines of text, in columns, with a line of titles. An exclamation mark behind the secret
    says that it is not ready.
  returned: success
  type: list
  elements: str
  sample:
    - agent     health   image                secret  volume  restarts  release  lock
    - roberval  running  latest 9b2f4c1de07a  v7      10Gi    0         r12      -
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
  sample:
    kind: unauthorized
    message: the API server does not accept the credential
    hint: Renew the token or kubeconfig; nothing was changed by this request.
"""

from ansible_collections.digitalsys.agents.plugins.module_utils._host import run_module
from ansible_collections.digitalsys.agents.plugins.module_utils._info import info
from ansible_collections.digitalsys.agents.plugins.module_utils._spec import INFO_MODULE


def main() -> None:
    run_module(info, INFO_MODULE)


if __name__ == "__main__":
    main()

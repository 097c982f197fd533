#!/usr/bin/python
# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_plan
short_description: The plan of a run - which OpenClaw agents change, and why
version_added: 0.1.0
author:
  - DigitalSys (@digitalsys)
description:
  - Looks at all agents of a run in one task and says which of them have something to do. Run it once (C(run_once))
    before the first wave of M(digitalsys.agents.agent_rollout).
  - The options of all agents are checked before the first request to any server. What must not be is refused before
    any write. A smaller volume, an object that is not ours, another cluster.
  - Each image's tag is resolved to a digest once, so that all waves roll out the same image.
  - Costs one LIST for each kind of object, and one read of Vault's metadata for each agent. Writes nothing.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - digitalsys.agents.run
  - digitalsys.agents.vault
  - digitalsys.agents.holder.freeze
  - digitalsys.agents.attributes
  - digitalsys.agents.attributes.host
attributes:
  check_mode:
    support: full
    details: Does the same in check mode, save that a freeze of the fleet is no reason to stop.
  diff_mode:
    support: none
    details: It changes nothing. RV(agents) tells what differs.
  idempotent:
    support: full
options:
  agents:
    description:
      - The agents of the run. Each name with its options, which are those of M(digitalsys.agents.agent_rollout) for
        the agent itself, the cluster and the proof. Credentials are not among them.
      - The filter P(digitalsys.agents.agent_options#filter) makes an agent's options of its inventory variables.
      - The namespace, C(cluster_uid) and C(allow_insecure) must be the same for all agents of a run.
    type: dict
    required: true
  operation:
    description:
      - What is planned. V(rollout) compares each agent with what its options say.
      - V(restart) gives every agent O(restart_id), and keeps the image that it runs, whatever its tag means by now.
      - V(provision) checks options and cluster only, and takes all agents on. It alone may run without O(cluster_uid).
      - V(rotation) checks options only, asks no server, and takes all agents on.
    type: str
    choices: [rollout, restart, provision, rotation]
    default: rollout
  image:
    description:
      - Image for this run, in place of the one of each agent's options. V(current) is the digest that each agent runs
        now.
      - Not together with O(tag).
    type: str
  tag:
    description: Tag for this run, in place of the tag or digest of each agent's image.
    type: str
  accept_volume:
    description:
      - The volume claim that is the agent's from here on. M(digitalsys.agents.agent_rollout) says more of it.
      - In a run with one agent only.
    type: str
  despite_rotation:
    description: Go on although a rotation of an agent's secrets is open, for an emergency.
    type: bool
    default: false
  restart_id:
    description:
      - Key of the restart. Agents whose pod carries it already have nothing to do, so a job can be retried.
      - Letters, digits and C(_.:-), at most 64. Not set, a new one is made.
    type: str
seealso:
  - module: digitalsys.agents.agent_rollout
  - plugin: digitalsys.agents.agent_options
    plugin_type: filter
  - plugin: digitalsys.agents.planned
    plugin_type: filter
"""

EXAMPLES = r"""
# In a play with `hosts: agents`. KUBECONFIG, VAULT_ADDR and VAULT_TOKEN are set in the environment
- name: Plan a rollout of all agents of this play
  digitalsys.agents.agent_plan:
    agents: >-
      {{ dict(ansible_play_hosts_all
      | zip(ansible_play_hosts_all | map('extract', hostvars) | map('digitalsys.agents.agent_options'))) }}
  register: agent_run
  run_once: true

- name: Plan one agent, described here
  digitalsys.agents.agent_plan:
    cluster_uid: "{{ agent_cluster_uid }}"
    agents:
      roberval:
        image: "{{ agent_image }}"
        vault_server: "{{ agent_vault_server }}"
    image: current
  register: plan_of_one
  run_once: true

- name: Show who changes, and why
  ansible.builtin.debug:
    msg: "{{ item.key }}: {{ item.value.reasons | join('; ') }}"
  loop: "{{ agent_run.agents | dict2items }}"
  run_once: true
"""

RETURN = r"""
todo:
  description: Names of the agents that have something to do, in the order of O(agents).
  returned: success
  type: list
  elements: str
  sample: [clementina, roberval]
agents:
  description: The agents of RV(todo), by name. Empty for O(operation=provision).
  returned: success
  type: dict
  sample:
    roberval:
      image: registry.example.com/agent:latest@sha256:9b2f4c1de07a65830f9e2b7c4d1a8e6f35c0b9d2a7e4f1c8b6d3a0e5f2c7b491
      reasons: ["image 1c0ffee0beef -> 9b2f4c1de07a (latest)", "secret version 6 -> 7"]
      restarts: true
restart_id:
  description: Key of the restart, given or made. Empty unless O(operation=restart).
  returned: success
  type: str
  sample: run-5f1d0a9be2c4
cluster_uid:
  description: The uid of the cluster that was looked at.
  returned: success
  type: str
  sample: 6f0f9a3c-52a8-4a0f-9d8e-0b7f3c1d2e4a
error:
  description: What went wrong.
  returned: failure
  type: dict
  contains:
    kind:
      description: A word to act on. The notes list them.
      type: str
    message:
      description: What failed, and why. Begins with the agent's name where it is about one.
      type: str
    hint:
      description: What to type or look at next.
      type: str
  sample:
    kind: image
    message: registry.digitalocean.com/digitalsys/openclaw-agent:lastest does not exist in its registry
    hint: Look at the tag or digest; nothing was changed.
"""

from ansible_collections.digitalsys.agents.plugins.module_utils._core.host import run_module
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import PLAN_MODULE
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.plan import plan


def main() -> None:
    run_module(plan, PLAN_MODULE)


if __name__ == "__main__":
    main()

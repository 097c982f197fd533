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
  - Costs one LIST for each kind of object, however many agents there are. Vault is asked only with
    O(secrets=true), a handful of requests for each agent.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - digitalsys.agents.run
  - digitalsys.agents.agent.namespace
  - digitalsys.agents.vault
  - digitalsys.agents.attributes
  - digitalsys.agents.attributes.host
attributes:
  check_mode:
    support: full
    details: It only reads. The login with O(secrets=true) is made in check mode too.
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
  secrets:
    description:
      - Also tell where each agent's secret stands, in Vault, in the Secret and in the pod; what rotation is open; how
        long the SecretID lasts by which the External Secrets Operator (ESO) logs in. See RV(agents[].secrets).
      - Asks Vault a handful of questions for each agent, and the API server two. What may not be asked there stays
        unknown, and a note says what was refused.
      - Logs in as each agent's ESO would, to see what its policy allows, and revokes that token at once.
    type: bool
    default: false
  gateway:
    description:
      - Also ask each gateway that runs what it says of itself, such as a channel that is down. See
        RV(agents[].gateway).
      - Takes half a second for each agent, and the right to C(create) C(pods/portforward).
    type: bool
    default: false
  places:
    description:
      - For O(secrets=true). Agents whose secret stands elsewhere than by default. Each name with some of
        C(required_keys), C(vault_mount), C(vault_path), C(approle_mount) and C(approle_role_id), which are options of
        M(digitalsys.agents.agent_rollout).
    type: dict
    default: {}
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

- name: Look at where the secrets stand, too. VAULT_ADDR and VAULT_TOKEN are set in the environment
  digitalsys.agents.agent_info:
    cluster_uid: "{{ agent_cluster_uid }}"
    secrets: true
    places:
      roberval:
        vault_path: bots/roberval
  register: fleet
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
        - V(running), V(starting), V(crashing), V(no image) (it cannot be pulled), V(no memory) (its volume is not the
          one that holds it), V(stopped) (no pod is wanted), V(paused), V(two pods) or V(missing).
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
    secret_stamp:
      description: The same, with the entry, when that version was written, and a keyed digest of its values.
      type: str
      sample: "7 kv/agents/roberval 2026-11-01T10:00:00.5Z 9f86d081884c7d659a2feaa0c55ad015"
    secret_of_container:
      description: Where the gateway's container began again since it was proved, the C(resourceVersion) of the Secret
        that was proved. While they are the same the container reads what was proved. Empty otherwise.
      type: str
      sample: ""
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
    volume_trouble:
      description: What keeps the agent from its memory, in a sentence. Empty where nothing does. Its claim is another
        one than the recorded, is mounted elsewhere or is being deleted, or the volume was emptied.
      type: str
      sample: ""
    volume_phase:
      description: Phase of the volume claim.
      type: str
      sample: Bound
    drift:
      description: What other hands have changed of the Deployment since the newest release, a line for each field.
      type: list
      elements: str
      sample: []
    gateway:
      description: With O(gateway=true), why the gateway says that it is not ready, or why it could not be asked. Empty
        where it is ready, and where no pod runs.
      type: list
      elements: str
      sample: ["the gateway says that it is not ready: discord"]
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
    secrets:
      description:
        - Where the agent's secret stands. No value, and nothing made of one.
        - V(null), or V(unknown), is what could not be found out; RV(agents[].secrets.notes) says why.
      returned: O(secrets=true)
      type: dict
      contains:
        vault_version:
          description: Newest version in Vault. V(0) where there are no values, or where they were deleted.
          type: int
        missing_keys:
          description: Required keys that have no value in Vault.
          type: list
          elements: str
        in_secret:
          description: Whether the Secret has, byte for byte, what Vault has. V(equal), V(behind), V(missing) where
            there is no Secret, or V(unknown).
          type: str
        unequal_keys:
          description: Keys in which it is behind.
          type: list
          elements: str
        in_pod:
          description:
            - V(current) where the pod was started with the values that are the newest in Vault, whatever their
              version's number. A rotation that was taken back leaves a new number with the old values.
            - V(pending restart) where it was not and the Secret has them, V(behind) where the Secret has not either.
            - V(unknown), or empty where the agent was never rolled out.
          type: str
        rotation:
          description: The open rotation with C(rotation_id), C(phase), C(keys) and C(age_seconds), by Vault's clock.
            Empty where none is open.
          type: dict
        secret_id:
          description:
            - V(valid), V(ends soon) within seven days, V(ended), V(refused) where it does not log in, V(locked out)
              where Vault answers no login of its AppRole for a while since too many had failed, V(missing), or
              V(unknown).
          type: str
        secret_id_expires:
          description: When the SecretID ends. Empty for never.
          type: str
        secret_id_seconds_left:
          description: Seconds until then, by Vault's clock.
          type: int
        journal_exposed:
          description: Whether ESO's own policy lets it read the journal of rotations, in which new values stand
            before they are used. It must not.
          type: bool
        notes:
          description: A line for each thing that a person should know or do.
          type: list
          elements: str
      sample:
        vault_version: 8
        missing_keys: []
        in_secret: equal
        unequal_keys: []
        in_pod: pending restart
        rotation: {}
        secret_id: valid
        secret_id_expires: ""
        secret_id_seconds_left:
        journal_exposed: false
        notes: ["the pod was started with version 7, Vault has 8: rollout.yml makes a new one"]
table:
  description:
    - The same as lines of text, in columns, with a line of titles. An exclamation mark behind the secret says that it
      is not ready.
    - With O(secrets=true) other columns, in place of volume, restarts and release, and beneath them a line for each
      note.
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

from ansible_collections.digitalsys.agents.plugins.module_utils._core.host import run_module
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import INFO_MODULE
from ansible_collections.digitalsys.agents.plugins.module_utils._status.operation import info


def main() -> None:
    run_module(info, INFO_MODULE)


if __name__ == "__main__":
    main()

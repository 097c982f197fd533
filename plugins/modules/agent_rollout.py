#!/usr/bin/python
# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_rollout
short_description: Roll out one OpenClaw agent, prove that it runs, go back when it does not
version_added: 0.1.0
author:
  - DigitalSys (@digitalsys)
description:
  - The whole rollout of one agent as one task. Look, lock, apply, prove the secret, wait, verify, record.
  - The task ends well when the new pod is available, has stayed so for O(stability_seconds) and has answered
    (O(verify)). The release is then recorded in the ConfigMap C(<name>-releases), which keeps the last ten.
  - When the new pod does not come up, the last good release is applied and proved in the same way. The task fails
    with both stories, the pod's last words, and what to run next.
  - A new pod is made by new content alone. Another image, another template, another version of the secrets, or
    O(restart_id). With none of these nothing happens.
  - Killed at any moment, the same task run again finishes the work.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - digitalsys.agents.run
  - digitalsys.agents.run.ownership
  - digitalsys.agents.vault
  - digitalsys.agents.proof
  - digitalsys.agents.proof.secret
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
    details:
      - Every write is sent as a dry run, so that the server's own admission speaks. No lock is taken, nothing is
        waited for.
      - Objects that the server cannot judge yet, for want of a namespace or a CRD, are foretold, with a warning.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  restart_id:
    description:
      - Key of a restart. An agent whose pod carries another one, or none, gets a new pod. The same key again restarts
        nothing, so a job can be retried.
      - Letters, digits and C(_.:-), at most 64.
    type: str
  to_release:
    description:
      - Go back to this recorded release, for example V(r12). Its image and its template are applied. Secrets and the
        volume stay what they are.
      - M(digitalsys.agents.agent_info) tells the newest one, the ConfigMap C(<name>-releases) all of them.
    type: str
  accept_volume:
    description:
      - The volume claim that is the agent's from here on, whatever was recorded of it, and whatever stands on it. With
        C(:) and the folder where it is mounted, where that is in doubt.
      - Without it, a claim that was made anew or exchanged, one that is mounted elsewhere, and a volume without the
        agent's memory all stop the run before a gateway starts.
    type: str
  despite_rotation:
    description:
      - Go on although a rotation of the agent's secrets is open, for an emergency. It is recorded with the release.
      - The pod may come up with a value that the rotation takes back later.
    type: bool
    default: false
  foretold_keys:
    description:
      - In check mode, keys that M(digitalsys.agents.agent_access) would have made in the agent's secret just before.
        They count as there.
    type: list
    elements: str
    default: []
seealso:
  - module: digitalsys.agents.agent_plan
  - module: digitalsys.agents.agent_info
"""

EXAMPLES = r"""
# In a play with `hosts: roberval`, whose inventory holds these variables. KUBECONFIG, VAULT_ADDR and VAULT_TOKEN are
# set
# in the environment
- name: Roll out the agent as the inventory describes it
  digitalsys.agents.agent_rollout:
    name: "{{ inventory_hostname }}"
    image: "{{ agent_image }}"
    vault_server: "{{ agent_vault_server }}"
    volume_size: "{{ agent_volume_size }}"
    cluster_uid: "{{ agent_cluster_uid }}"
  register: rolled_out

- name: Restart it, once for this ticket
  digitalsys.agents.agent_rollout:
    name: "{{ inventory_hostname }}"
    image: "{{ rolled_out.image }}"
    vault_server: "{{ agent_vault_server }}"
    volume_size: "{{ agent_volume_size }}"
    cluster_uid: "{{ agent_cluster_uid }}"
    restart_id: ticket-4711

- name: Go back to the release from before the restart
  digitalsys.agents.agent_rollout:
    name: "{{ inventory_hostname }}"
    image: "{{ rolled_out.image }}"
    vault_server: "{{ agent_vault_server }}"
    volume_size: "{{ agent_volume_size }}"
    cluster_uid: "{{ agent_cluster_uid }}"
    to_release: "{{ rolled_out.release }}"
"""

RETURN = r"""
agent:
  description: Name of the agent.
  returned: success
  type: str
  sample: roberval
image:
  description: The image by its digest.
  returned: success
  type: str
  sample: registry.example.com/agent@sha256:9b2f4c1de07a65830f9e2b7c4d1a8e6f35c0b9d2a7e4f1c8b6d3a0e5f2c7b491
secret_version:
  description: Version in Vault whose values the pod runs with, or V(unproved).
  returned: success
  type: str
  sample: "7"
pod:
  description: Name of the pod. Empty in check mode, and where there was nothing to do.
  returned: success
  type: str
  sample: roberval-6d4f8b9c7d-x2v9k
release:
  description: The recorded release. None in check mode.
  returned: success
  type: str
  sample: r12
steps:
  description: What was done, in order.
  returned: success
  type: list
  elements: dict
  contains:
    step:
      description:
        - Which step. V(R2) the lock was taken over. V(R3) all but the Deployment. V(R4) the secret. V(R5) the
          Deployment.
        - V(R6) the pod is available. V(R7) the gateway answered. V(R8) the release is recorded. V(back) going back.
        - V(volume) another pod had the volume, and was waited for; or what the pod has to find on it was written down.
      type: str
    words:
      description: What happened.
      type: str
    at:
      description: Seconds since the task began.
      type: float
  sample:
    - step: R6
      words: pod roberval-6d4f8b9c7d-x2v9k is available
      at: 34.218
changes:
  description: What was written, or in check mode would be. One entry for each write.
  returned: success
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
reasons:
  description: Why there is something to do. Empty when there is nothing.
  returned: in check mode
  type: list
  elements: str
  sample: ["image 1c0ffee0beef -> 9b2f4c1de07a (latest)", "secret version 6 -> 7"]
restarts:
  description: Whether a new pod comes of it.
  returned: in check mode
  type: bool
  sample: true
retries:
  description: How many requests to the API server had to be sent again.
  returned: success
  type: int
  sample: 0
error:
  description: What went wrong, and all evidence for it. What the agent's Secret holds is replaced by asterisks.
  returned: failure
  type: dict
  contains:
    kind:
      description: A word to act on. The notes list them. V(rollout) means that the new pod did not come up.
      type: str
    message:
      description: What failed, and why.
      type: str
    hint:
      description: What to type or look at next.
      type: str
    cause:
      description:
        - What kept the new pod from running. V(image), V(configuration), V(schedule), V(volume), V(crash), V(probe),
          V(quota), V(verify) or V(timeout).
        - V(swapped) means that a policy of the cluster gave the pod another image.
        - V(token) means that the gateway refuses the token that stands in Vault. Nothing is undone where the last good
          release has the same container.
        - V(memory) means that the volume is not the one with the agent's memory. Nothing is undone then, as any release
          would meet the same.
        - V(changed) and V(paused) mean that somebody else changed the Deployment. Nothing is undone then.
      type: str
      returned: when the new pod did not come up
    went_back:
      description: Whether the last good release runs again. Not there where there was none, or none other, to go back
        to.
      type: bool
      returned: when going back was tried
    release:
      description: The release that runs again.
      type: str
      returned: when going back succeeded
    steps:
      description: As RV(steps), up to the failure.
      type: list
      elements: dict
    changes:
      description: As RV(changes), up to the failure, going back included.
      type: list
      elements: dict
    error_back:
      description: Why going back failed, where it was not the pod's fault. With RV(error.kind), message and hint.
      type: dict
      returned: when going back was refused or could not be done
    missing_keys:
      description: Required keys that have no value.
      type: list
      elements: str
      returned: when some are missing
    unequal_keys:
      description: Keys whose value in the Secret did not become that in Vault in time.
      type: list
      elements: str
      returned: when there are some
    holder:
      description: Who holds the lock.
      type: str
      returned: when RV(error.kind=locked)
    evidence:
      description: What was seen of the pod that did not come up.
      type: dict
      returned: when the new pod did not come up
      contains:
        pod:
          description: Name of the pod.
          type: str
        node:
          description: Name of its node.
          type: str
        containers:
          description: Of each container its name, restarts, state and last state.
          type: list
          elements: dict
        log:
          description: Its last 40 lines, of the run that ended.
          type: list
          elements: str
        events:
          description: Latest events of pod, ReplicaSet, claim and Deployment, without repeats.
          type: list
          elements: str
        claim_phase:
          description: Phase of the volume claim.
          type: str
        conditions:
          description: Conditions of the Deployment.
          type: list
          elements: dict
    evidence_back:
      description: As RV(error.evidence), of the release that was gone back to.
      type: dict
      returned: when going back failed
  sample:
    kind: rollout
    message: "roberval: the gateway refuses its configuration or state (exit 78)"
    hint: "Mend it, then: ansible-playbook rollout.yml -e agent=roberval"
    cause: configuration
    went_back: true
    release: r12
"""

from ansible_collections.digitalsys.agents.plugins.module_utils._core.host import run_module
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import ROLLOUT_MODULE
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.operation import rollout


def main() -> None:
    run_module(rollout, ROLLOUT_MODULE)


if __name__ == "__main__":
    main()

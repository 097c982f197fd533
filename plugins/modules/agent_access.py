#!/usr/bin/python
# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_access
short_description: Access of one OpenClaw agent to Vault, provided before its first rollout, and renewed
version_added: 0.1.0
author:
  - DigitalSys (@digitalsys)
description:
  - Makes the namespace of the fleet, the agent's entry in Vault, its policy C(agents-<name>), its AppRole
    C(<name>-role), and a SecretID of it in the Secret C(<name>-vault-approle), by which the External Secrets Operator
    logs in.
  - What is there and works is kept. A value in Vault that is not empty is never replaced, and neither is a SecretID
    that still logs in. Killed at any moment, it can simply be run again.
  - What only a person can supply is named in RV(missing_keys).
  - To provide needs larger permissions than the other modules do. They are in C(docs/permissions/provisioner.yaml) and
    C(docs/permissions/provisioner.hcl) of the collection. Keep that identity for this alone.
  - With O(secret_id=renew) it does something else, with the operator's identity. The SecretID is exchanged for a new
    one while the agent runs. A second one is made and written into the Secret, proved by a login and by a sync of the
    External Secrets Operator, and only then the old one is destroyed. Killed at any moment, it goes on when it is run
    again. One that has ended already is mended so too. No pod restarts.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - digitalsys.agents.run
  - digitalsys.agents.vault
  - digitalsys.agents.holder
  - digitalsys.agents.holder.freeze
  - digitalsys.agents.agent.named
  - digitalsys.agents.agent.namespace
  - digitalsys.agents.agent.secrets
  - digitalsys.agents.agent.approle
  - digitalsys.agents.keys
  - digitalsys.agents.attributes
  - digitalsys.agents.attributes.host
attributes:
  check_mode:
    support: full
    details: Nothing is written and no lock is taken. A SecretID that is there is tried by a login, as always.
      Whether a new one would work is not foretold.
  diff_mode:
    support: none
    details: What it changes is secret, or told in RV(changes).
  idempotent:
    support: partial
    details: With O(secret_id=renew) it is for the same O(rotation_id). Without one each run is a renewal.
notes:
  - Policies, AppRoles and SecretIDs in Vault have no versions, so a run that lost its lock and does not know it yet
    cannot be held off from them as it is from what stands in Kubernetes. What a killed run leaves behind of SecretIDs
    is destroyed at the end of the next renewal. Those that a person made stay, unless it is the one that is renewed.
  - A token that the External Secrets Operator got with the old SecretID lives on until its own time is over
    (O(token_ttl) of the AppRole).
options:
  secret_id:
    description:
      - What becomes of the SecretID that the External Secrets Operator logs in with.
      - V(keep) provides what is missing, and keeps a SecretID that still logs in.
      - V(renew) exchanges it and does nothing else. The agent must have been provided for, and rolled out once.
        O(required_keys), O(key_policy), O(secret_id_ttl) and O(token_ttl) do not matter. The new one lives as long as
        the AppRole says.
    type: str
    choices: [keep, renew]
    default: keep
  rotation_id:
    description:
      - Name of a renewal, for O(secret_id=renew) in a job that may be retried. One that is finished is not done again.
        Letters, digits and C(_.:-), at most 64.
      - Not set, it is generated, and each run renews. An open renewal is gone on with, whatever this says.
    type: str
  sync_timeout:
    description: Seconds to wait until the External Secrets Operator has synced with the new SecretID.
    type: int
    default: 90
  required_keys:
    description:
      - Keys that the agent needs a value for. Those that have none, and are not made here, are named in
        RV(missing_keys).
      - Names of environment variables. Capital letters, digits and underscores.
  secret_id_ttl:
    description:
      - How long a SecretID lives, as a number with V(s), V(m) or V(h). V(0) means without end.
      - When it ends before it is renewed, no changed secret reaches the agent any more.
    type: str
    default: "0"
  token_ttl:
    description: How long a token lives that the External Secrets Operator logs in for, as a number with V(s), V(m) or
      V(h).
    type: str
    default: 20m
  cluster_uid:
    description:
      - The uid of the namespace C(kube-system) of the cluster that is meant. Another cluster is refused.
      - Not set, it works all the same with O(secret_id=keep), and a warning tells the uid to set in the inventory.
        With O(secret_id=renew) it must be set.
seealso:
  - module: digitalsys.agents.agent_rollout
"""

EXAMPLES = r"""
# In a play with `hosts: roberval`, with the provisioner's KUBECONFIG, VAULT_ADDR and VAULT_TOKEN in the environment
- name: Make what the agent needs in Vault
  digitalsys.agents.agent_access:
    name: "{{ inventory_hostname }}"
    cluster_uid: "{{ agent_cluster_uid }}"
    required_keys: [GITHUB_TOKEN, LINEAR_API_KEY, OPENCLAW_GATEWAY_TOKEN]
  register: access

- name: Stop where a person has to supply something
  ansible.builtin.assert:
    that: access.missing_keys == []
    fail_msg: "{{ access.missing_keys | join(', ') }}"

# With the operator's
- name: Renew the SecretID that the External Secrets Operator logs in with
  digitalsys.agents.agent_access:
    name: "{{ inventory_hostname }}"
    cluster_uid: "{{ agent_cluster_uid }}"
    secret_id: renew
"""

RETURN = r"""
agent:
  description: Name of the agent.
  returned: success
  type: str
  sample: roberval
cluster_uid:
  description: The uid of the cluster, to be set in the inventory.
  returned: success
  type: str
  sample: 6f0f9a3c-52a8-4a0f-9d8e-0b7f3c1d2e4a
missing_keys:
  description: Required keys that have no value in Vault. A warning shows the command that puts one there.
  returned: success, with O(secret_id=keep)
  type: list
  elements: str
  sample: [GITHUB_TOKEN, LINEAR_API_KEY]
foretold_keys:
  description: Keys that would be generated in Vault, for a rollout in check mode that follows.
  returned: success, with O(secret_id=keep)
  type: list
  elements: str
  sample: [OPENCLAW_GATEWAY_TOKEN]
rotation_id:
  description: Name of the renewal.
  returned: success, with O(secret_id=renew)
  type: str
  sample: job-812
expires:
  description: When the SecretID in use ends, by Vault's clock. Empty for never.
  returned: success, with O(secret_id=renew)
  type: str
  sample: "2026-12-25T07:37:15Z"
steps:
  description: What was done, in order, and after how many seconds.
  returned: success
  type: list
  elements: dict
  sample:
    - step: role
      words: AppRole roberval-role written
      at: 0.412
retries:
  description: How many requests to the API server had to be sent again.
  returned: success
  type: int
  sample: 0
changes:
  description: What was done, or in check mode would be. No value in it.
  returned: success
  type: list
  elements: str
  sample:
    - "Vault's kv/agents/roberval: OPENCLAW_GATEWAY_TOKEN generated"
    - policy agents-roberval written
    - AppRole roberval-role written
    - a new SecretID for roberval-role in Secret roberval-vault-approle
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
      elements: str
  sample:
    kind: vault
    message: Vault at https://vault.example.com:8200 is sealed
    hint: Unseal it (vault operator unseal), then run again; nothing was changed.
"""

from ansible_collections.digitalsys.agents.plugins.module_utils._core.host import run_module
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import ACCESS_MODULE
from ansible_collections.digitalsys.agents.plugins.module_utils._provision.operation import provide_or_renew


def main() -> None:
    run_module(provide_or_renew, ACCESS_MODULE)


if __name__ == "__main__":
    main()

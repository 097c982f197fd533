# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of what an agent is: where it lives, what its pod runs, its volume, its network, where its secrets are."""

from __future__ import annotations


class ModuleDocFragment:
    NAMED = r"""
options:
  name:
    description:
      - Name of the agent, for example V(roberval). Everything of it is named after it.
      - Small letters, digits and dashes, beginning with a letter, at most 52 characters.
    type: str
    required: true
"""

    NAMESPACE = r"""
options:
  namespace:
    description: Namespace of the fleet.
    type: str
    default: bots
"""

    SECRETS = r"""
options:
  required_keys:
    description:
      - Keys that must stand in Vault with a value, and arrive in the Secret, before a pod may start.
      - Names of environment variables. Capital letters, digits and underscores.
    type: list
    elements: str
    default: [GITHUB_TOKEN, LINEAR_API_KEY, OPENCLAW_GATEWAY_TOKEN]
  vault_mount:
    description: Mount of the KV engine, version 2, that holds the values. Without slashes at its ends.
    type: str
    default: kv
  vault_path:
    description: Path of the agent's values below O(vault_mount), without C(data/). Not set, it is C(agents/) and the
      agent's name.
    type: str
"""

    APPROLE = r"""
options:
  approle_mount:
    description: Mount of the AppRole method that the External Secrets Operator logs in by.
    type: str
    default: approle
"""

    DOCUMENTATION = r"""
options:
  image:
    description:
      - Image of the agent, in full, with its registry. For example V(registry.example.com/team/openclaw-agent:latest).
      - A tag is resolved to a digest by asking the registry, and the pod runs that digest. A reference with a digest
        (V(...@sha256:...)) runs just that.
      - The registry's credentials come from E(AGENTS_REGISTRY_USERNAME) and E(AGENTS_REGISTRY_PASSWORD), else from
        Docker's own C(config.json) (E(DOCKER_CONFIG)).
    type: str
    required: true
  command:
    description: Entry point of the container. Empty keeps the image's own.
    type: list
    elements: str
    default: []
  args:
    description:
      - Arguments of the container. They must bring up OpenClaw's gateway on port 18789, which the probes ask.
      - Keep C(--bind lan). OpenClaw's own detection of a container fails on containerd. Where these words stand here
        and O(command) is empty, the kubelet itself asks whether the gateway is ready and alive. Else C(curl) does so in
        the pod, which takes more of the processor.
    type: list
    elements: str
    default: [openclaw, gateway, run, --bind, lan, --port, "18789"]
  env:
    description:
      - Environment variables that are no secrets, beside those that come from Vault. A name that stands here wins.
      - Values become text. C(true) and C(false) in small letters.
    type: dict
    default: {}
  config_seed:
    description:
      - First content of C(openclaw.json). Written once, into a volume that has no such file. After that the file is
        the agent's, and a change here does not reach it.
      - A change here restarts nothing, and the plan says that it reaches no volume that has been written to.
    type: dict
    default: {"gateway": {"mode": "local"}}
  plugins:
    description:
      - Plugins of OpenClaw that are installed before the gateway starts, by the names of their npm packages, for
        example V(@openclaw/discord). Needs egress to npm. Installed anew when the version of OpenClaw changes.
      - One that cannot be installed does not keep the agent down.
    type: list
    elements: str
    default: []
  volume_size:
    description:
      - Size of the agent's volume, mounted at C(/root/.openclaw), as a Kubernetes quantity. For example V(25Gi).
      - Volumes never shrink. Less than what is there is refused before the first write.
    type: str
    default: 10Gi
  volume_class:
    description: StorageClass of the volume. It cannot change once the volume is there.
    type: str
    default: do-block-storage
  requests:
    description: What a node must have free for the pod, as Kubernetes quantities. An idle OpenClaw takes about 0.95
      GiB.
    type: dict
    default: {"memory": "1Gi"}
  limits:
    description:
      - What the pod may use at most, as Kubernetes quantities. None by default, for the agents do heavy builds.
      - A memory limit under V(2Gi) kills OpenClaw. With one, set V(NODE_OPTIONS=--max-old-space-size) in O(env) to
        about three quarters of it, in MiB.
    type: dict
    default: {}
  capabilities:
    description:
      - Linux capabilities that the container keeps, without C(CAP_). All others are dropped.
      - Without C(DAC_OVERRIDE) root cannot read files that another user left on the volume.
    type: list
    elements: str
    default: [CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID]
  node_selector:
    description: "Labels of the nodes that may run the agent, for example V(doks.digitalocean.com/node-pool: bots)."
    type: dict
    default: {}
  tolerations:
    description: Taints that the agent tolerates, as in a pod's C(spec.tolerations).
    type: list
    elements: dict
    default: []
  image_pull_secrets:
    description:
      - Names of the Secrets that the image is pulled with. They must be in O(namespace). The agent has a service
        account of its own, so those of the namespace's C(default) account do not count.
    type: list
    elements: str
    default: []
  network:
    description:
      - What the agent's network policy lets through.
      - V(open) has no policy.
      - V(guarded) lets nothing in but to the gateway's port, from O(network_ingress), and everything out but to the
        cloud's metadata address 169.254.169.254.
      - V(strict) lets in as V(guarded), and lets out DNS and the Internet without private ranges, and
        O(network_egress).
    type: str
    choices: [open, guarded, strict]
    default: guarded
  network_ingress:
    description: Who may reach the gateway's port, as entries of C(from) in a Kubernetes NetworkPolicy. Empty is nobody.
    type: list
    elements: dict
    default: []
  network_egress:
    description: What the agent may reach beside what O(network) lets out, as entries of C(egress) in a Kubernetes
      NetworkPolicy.
    type: list
    elements: dict
    default: []
  grace_seconds:
    description:
      - Seconds that a stopping pod gets to finish its work. OpenClaw drains for up to 315 seconds.
      - From 1 to 86400.
    type: int
    default: 330
  startup_seconds:
    description: Seconds that the gateway may take to start before Kubernetes restarts it. From 1 to 86400.
    type: int
    default: 300
  stability_seconds:
    description:
      - Seconds that a new pod must stay ready, without a restart, before it counts as available. From 1 to 86400.
    type: int
    default: 10
  vault_server:
    description:
      - Address of Vault as the External Secrets Operator reaches it from inside the cluster, without a path. For
        example V(https://vault.example.com:8200).
    type: str
    required: true
  approle_role_id:
    description:
      - RoleID that the External Secrets Operator logs in with. Not set, it is read from the key C(role-id) of the
        Secret C(<name>-vault-approle), where M(digitalsys.agents.agent_access) puts it.
    type: str
  secret_refresh:
    description:
      - How often the External Secrets Operator copies Vault's values into the Secret, as a number with V(s), V(m) or
        V(h).
      - Running pods keep the values that they started with. A changed value reaches an agent with its next rollout.
    type: str
    default: 1m
"""

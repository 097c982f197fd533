# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a correct agent is: pure functions from an Agent and its stamps to the objects that are applied.

Every field that an apply leaves out is removed from the live object, so all that belongs in one is input here.
No empty maps or lists: the API server drops them, and a comparison would find a difference for ever.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shlex
from dataclasses import dataclass

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import (
    FOUND,
    STATE,
    STATE_FOLDER,
    Facts,
    of_new,
    put_into,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.probes import GATEWAY_PORT, PORT_NAME, probes
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import annotations_of
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import PROGRESS_DEADLINE
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import SEED
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import WRONG_VOLUME
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent

#: The file by which a volume tells itself from every other one. Not hidden: whoever empties a folder leaves those.
_IDENTITY = "volume.id"
#: Of the pod alone: people tell it by this from the pods of other operations.
_COMPONENT = {"app.kubernetes.io/component": "gateway"}
_PRIVATE_RANGES = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"]


@dataclass(frozen=True)
class Stamps:
    """What makes a pod new besides its template: true, or absent (''). secret_version: a line of _agent/stamp.py."""

    secret_version: str = ""
    restart_id: str = ""
    #: The seed that stands in the live template, carried forward while nothing else makes a new pod; '' = the agent's.
    seed: str = ""


def _meta(agent: Agent, name: str) -> Object:
    return {"name": name, "namespace": agent.namespace, "labels": names.labels(agent.name)}


def service_account(agent: Agent) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _meta(agent, agent.name),
        "automountServiceAccountToken": False,
    }


def claim(agent: Agent, name: str, standing: Object | None) -> Object:
    """standing: the one that is there, whose access modes cannot be changed."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _meta(agent, name),
        "spec": {
            "accessModes": standing["spec"]["accessModes"] if standing else ["ReadWriteOnce"],
            "storageClassName": agent.volume_class,
            "resources": {"requests": {"storage": agent.volume_size}},
        },
    }


def network_policy(agent: Agent) -> Object | None:
    """None where the network is open: then no policy may be there."""
    if agent.network == "open":
        return None
    port = {"protocol": "TCP", "port": GATEWAY_PORT}
    spec: Object = {
        "podSelector": {
            "matchLabels": {"app.kubernetes.io/instance": agent.name, "app.kubernetes.io/name": "openclaw"}
        },
        "policyTypes": ["Ingress", "Egress"],
    }
    if agent.network_ingress:
        spec["ingress"] = [{"from": agent.network_ingress, "ports": [port]}]
    if agent.network == "guarded":
        everywhere_but = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}}
        spec["egress"] = [{"to": [everywhere_but, {"ipBlock": {"cidr": "::/0"}}]}, *agent.network_egress]
    else:
        dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
        internet = {"ipBlock": {"cidr": "0.0.0.0/0", "except": _PRIVATE_RANGES}}
        spec["egress"] = [{"ports": dns}, {"to": [internet]}, *agent.network_egress]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _meta(agent, agent.name),
        "spec": spec,
    }


def secret_store(agent: Agent) -> Object:
    approle: Object = {
        "path": agent.approle_mount,
        "secretRef": {"name": names.approle_secret(agent.name), "key": "secret-id"},
    }
    if agent.approle_role_id:
        approle["roleId"] = agent.approle_role_id
    else:
        approle["roleRef"] = {"name": names.approle_secret(agent.name), "key": "role-id"}
    vault = {
        "server": agent.vault_server,
        "path": agent.vault_mount,
        "version": "v2",
        "auth": {"appRole": approle},
    }
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "SecretStore",
        "metadata": _meta(agent, names.secret_store(agent.name)),
        "spec": {"provider": {"vault": vault}},
    }


def external_secret(agent: Agent) -> Object:
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": _meta(agent, names.external_secret(agent.name)),
        "spec": {
            "refreshInterval": agent.secret_refresh,
            "secretStoreRef": {"kind": "SecretStore", "name": names.secret_store(agent.name)},
            "target": {"name": names.env_secret(agent.name), "creationPolicy": "Owner"},
            "dataFrom": [{"extract": {"key": agent.vault_path}}],
        },
    }


def seed_text(agent: Agent) -> str:
    """The first configuration as it stands in the init container's environment, where the kubelet replaces $(NAME)."""
    return json.dumps(agent.config_seed, sort_keys=True, separators=(",", ":")).replace("$", "$$")


def init_script(agent: Agent) -> str:
    """Runs in the folder of the state, before every start of the gateway. Looks whether the volume is the agent's, and
    tells its identity; writes the first configuration where none is; installs plugins that are missing."""
    return "\n".join([*_identity(), *_seed(), *_plugins(agent)])


def _identity() -> list[str]:
    """An emptied, exchanged or new volume looks like that of a new agent. So each has an identity, and where one is
    expected no other volume gets a gateway, whoever starts it. A volume of 0.1.0 has none: with a configuration on it,
    it is the right one. The last words are what the pod's status keeps."""
    last_words = "/dev/termination-log"
    refuse = f'printf \'expected %s, found %s\' "${{{names.VOLUME}}}" "${{has:-none}}" > {last_words}'
    return [
        "set -eu",
        f'has="$(cat {_IDENTITY} 2>/dev/null || true)"',
        f'fits=no; case "${{{names.VOLUME}:-}}" in',
        '  ""|"$has") fits=yes ;;',
        f"  {FOUND}) if [ -e openclaw.json ]; then fits=yes; fi ;;",
        "esac",
        f'if [ "$fits" = no ]; then {refuse}; exit {WRONG_VOLUME}; fi',
        'if [ -z "$has" ]; then',
        f"  cat /proc/sys/kernel/random/uuid > {_IDENTITY}.new; mv {_IDENTITY}.new {_IDENTITY}; sync . || true",
        f'  has="$(cat {_IDENTITY})"',
        "fi",
        f'printf %s "$has" > {last_words}',
    ]


def _seed() -> list[str]:
    """The file is the agent's after that. Written beside and renamed: a kill in the middle leaves no half file."""
    write = f"printf '%s\\n' \"${SEED}\" > .openclaw.json.new; mv .openclaw.json.new openclaw.json"
    return [f"if [ ! -e openclaw.json ]; then {write}; fi"]


def _plugins(agent: Agent) -> list[str]:
    """Plugins are of the same version as openclaw, so a new image wants them anew. Without egress the gateway tries by
    itself: an agent that was up must not stay down for that."""
    if not agent.plugins:
        return []
    packages = " ".join(shlex.quote(plugin) for plugin in agent.plugins)
    return [
        f'wanted="$(openclaw --version) {packages}"',
        'if [ "$(cat .plugins-installed 2>/dev/null)" != "$wanted" ]; then',
        f'  installed=yes; for plugin in {packages}; do openclaw plugins install "$plugin" || installed=no; done',
        '  if [ "$installed" = yes ]; then printf "%s" "$wanted" > .plugins-installed; fi',
        "fi",
    ]


def _security(agent: Agent) -> Object:
    capabilities: Object = {"drop": ["ALL"]}
    if agent.capabilities:
        capabilities["add"] = list(agent.capabilities)
    return {"allowPrivilegeEscalation": False, "capabilities": capabilities}


def _container(agent: Agent, image: str) -> Object:
    container: Object = {
        "name": names.CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": agent.command,
        "args": agent.args,
        "envFrom": [{"secretRef": {"name": names.env_secret(agent.name)}}],
        "ports": [{"name": PORT_NAME, "containerPort": GATEWAY_PORT, "protocol": "TCP"}],
        "volumeMounts": [{"name": STATE, "mountPath": STATE_FOLDER}],
        "securityContext": _security(agent),
        **probes(agent),
    }
    if agent.env:
        container["env"] = [
            # The kubelet replaces $(NAME) and $$ in a value; what an inventory says is meant as it is written.
            {"name": name, "value": value.replace("$", "$$")} if value else {"name": name}
            for name, value in agent.env.items()
        ]
    return {field: value for field, value in {**container, **_resources(agent)}.items() if value != []}


def _resources(agent: Agent) -> Object:
    given = {"requests": dict(agent.requests), "limits": dict(agent.limits)}
    named = {name: amounts for name, amounts in given.items() if amounts}
    return {"resources": named} if named else {}


def _pod_spec(agent: Agent, image: str, stamps: Stamps) -> Object:
    spec: Object = {
        "serviceAccountName": agent.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": agent.grace_seconds,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [
            {
                "name": names.INIT_CONTAINER,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                # The kubelet replaces $(NAME) and $$ in a command.
                "command": ["sh", "-c", init_script(agent).replace("$", "$$")],
                "workingDir": STATE_FOLDER,
                "env": [{"name": SEED, "value": stamps.seed or seed_text(agent)}, _expected_volume(agent.name)],
                "volumeMounts": [{"name": STATE, "mountPath": STATE_FOLDER}],
                "securityContext": _security(agent),
                # The gateway's, which costs nothing: they do not add up. A quota wants them named for each container.
                **_resources(agent),
            }
        ],
        "containers": [_container(agent, image)],
        "volumes": [{"name": STATE, "persistentVolumeClaim": {"claimName": names.claim(agent.name)}}],
        "nodeSelector": agent.node_selector,
        "tolerations": agent.tolerations,
        "imagePullSecrets": [{"name": name} for name in agent.image_pull_secrets],
    }
    return {field: value for field, value in spec.items() if value not in ({}, [])}


def _expected_volume(agent: str) -> Object:
    """By reference: what is expected changes with the first good release, and that restarts nobody."""
    key = {"name": names.releases(agent), "key": names.VOLUME_KEY, "optional": True}
    return {"name": names.VOLUME, "valueFrom": {"configMapKeyRef": key}}


def looking_at_the_volume(deployment: Object, agent: str) -> Object:
    """A Deployment whose init container looks at the volume, as that of 0.1.0 did not; what was given stays."""
    made = copy.deepcopy(deployment)
    inits = made["spec"]["template"]["spec"].get("initContainers") or []
    init = next((one for one in inits if one["name"] == names.INIT_CONTAINER), None)
    if init is None or any(one["name"] == names.VOLUME for one in init.get("env") or []):
        return made
    look = "\n".join(_identity()).replace("$", "$$")
    init["command"][-1] = f"{look}\n{init['command'][-1]}"
    init["env"] = [*(init.get("env") or []), _expected_volume(agent)]
    init["workingDir"] = init["volumeMounts"][0]["mountPath"]
    return made


def deployment(agent: Agent, stamps: Stamps, facts: Facts) -> Object:
    """agent.image must carry a digest."""
    annotations = {**annotations_of(stamps.secret_version), names.RESTART_ID: stamps.restart_id}
    template = {
        "metadata": {
            "labels": {**names.labels(agent.name), **_COMPONENT},
            "annotations": {key: value for key, value in annotations.items() if value},
        },
        "spec": _pod_spec(agent, agent.image.pinned, stamps),
    }
    if not template["metadata"]["annotations"]:
        del template["metadata"]["annotations"]
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        # The tag stands here for people; in the template a new name for the same digest would mean a new pod.
        "metadata": {
            **_meta(agent, agent.name),
            **({"annotations": {names.IMAGE_TAG: agent.image.tag}} if agent.image.tag else {}),
        },
        "spec": {
            # One volume, one writer, one Discord token: never two pods at a time.
            "strategy": {"type": "Recreate"},
            # Available means: ready that long without a restart. So the controller keeps the stability window.
            "minReadySeconds": agent.stability_seconds,
            "progressDeadlineSeconds": PROGRESS_DEADLINE,
            "revisionHistoryLimit": 10,
            "template": template,
        },
    }
    return put_into(made, facts)


def sealed(manifest: Object) -> Object:
    """The manifest with a digest of itself: tells a later look that a field was removed since, which no comparison
    of the fields that are still wanted could."""
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    meta = manifest["metadata"]
    return {
        **manifest,
        "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), names.RENDERED: digest}},
    }


def unsealed(manifest: Object) -> Object:
    """What `sealed` was made of: sealed again, unchanged, it is the same to the letter."""
    meta = {name: part for name, part in manifest["metadata"].items() if name != "annotations"}
    annotations = manifest["metadata"].get("annotations") or {}
    told = {name: text for name, text in annotations.items() if name != names.RENDERED}
    return {**manifest, "metadata": {**meta, "annotations": told} if told else meta}


def supporting(agent: Agent, facts: Facts, standing_claim: Object | None = None) -> list[Object]:
    """All but the Deployment, in the order in which they are applied."""
    found = (
        service_account(agent),
        claim(agent, facts.mount.claim, standing_claim),
        network_policy(agent),
        secret_store(agent),
        external_secret(agent),
    )
    return [sealed(manifest) for manifest in found if manifest]


def rendered(
    agent: Agent, stamps: Stamps, facts: Facts | None = None, standing_claim: Object | None = None
) -> list[Object]:
    """facts: None for an agent that is new."""
    facts = facts or of_new(agent.name)
    return [*supporting(agent, facts, standing_claim), sealed(deployment(agent, stamps, facts))]

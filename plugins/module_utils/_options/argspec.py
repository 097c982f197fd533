# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The technical options, each group once. Modules, actions and the plan of a run are built from these."""

from __future__ import annotations

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Spec

#: What an agent is. A role variable agent_<option> of the inventory feeds each of them.
AGENT: Spec = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "bots"},
    "image": {"type": "str", "required": True},
    "command": {"type": "list", "elements": "str", "default": []},
    "args": {
        "type": "list",
        "elements": "str",
        "default": ["openclaw", "gateway", "run", "--bind", "lan", "--port", "18789"],
    },
    "env": {"type": "dict", "default": {}},
    "required_keys": {
        "type": "list",
        "elements": "str",
        "no_log": False,
        "default": ["GITHUB_TOKEN", "LINEAR_API_KEY", "OPENCLAW_GATEWAY_TOKEN"],
    },
    "config_seed": {"type": "dict", "default": {"gateway": {"mode": "local"}}},
    "plugins": {"type": "list", "elements": "str", "default": []},
    "volume_size": {"type": "str", "default": "10Gi"},
    "volume_class": {"type": "str", "default": "do-block-storage"},
    "requests": {"type": "dict", "default": {"memory": "1Gi"}},
    "limits": {"type": "dict", "default": {}},
    "capabilities": {
        "type": "list",
        "elements": "str",
        "default": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],
    },
    "node_selector": {"type": "dict", "default": {}},
    "tolerations": {"type": "list", "elements": "dict", "default": []},
    "image_pull_secrets": {"type": "list", "elements": "str", "no_log": False, "default": []},
    "network": {"type": "str", "choices": ["open", "guarded", "strict"], "default": "guarded"},
    "network_ingress": {"type": "list", "elements": "dict", "default": []},
    "network_egress": {"type": "list", "elements": "dict", "default": []},
    "grace_seconds": {"type": "int", "default": 330},
    "startup_seconds": {"type": "int", "default": 300},
    "stability_seconds": {"type": "int", "default": 10},
    "vault_server": {"type": "str", "required": True},
    "vault_mount": {"type": "str", "default": "kv"},
    "vault_path": {"type": "str"},
    "approle_mount": {"type": "str", "default": "approle"},
    "approle_role_id": {"type": "str"},
    "secret_refresh": {"type": "str", "default": "1m", "no_log": False},
}

#: How a run looks at a cluster and what it may do there.
RUN: Spec = {
    "cluster_uid": {"type": "str"},
    "allow_insecure": {"type": "bool", "default": False},
}

OWNERSHIP: Spec = {"take_ownership": {"type": "bool", "default": False}}

#: How a rollout is proved. Seconds throughout.
PROOF: Spec = {
    "verify": {"type": "str", "choices": ["probe", "ready", "exec"], "default": "probe"},
    "secret_proof": {"type": "str", "choices": ["vault", "none"], "default": "vault", "no_log": False},
    "sync_timeout": {"type": "int", "default": 90},
    "schedule_grace": {"type": "int", "default": 60},
    "timeout": {"type": "int", "default": 1500},
}

#: How the keys of the agent's secret come by new values: key -> {generated, max_age, multi_line, test}.
KEYS: Spec = {
    "key_policy": {"type": "dict", "no_log": False, "default": {"OPENCLAW_GATEWAY_TOKEN": {"generated": 32}}},
}

#: The operator's own access to Vault; the environment's VAULT_* where an option is not given.
VAULT: Spec = {
    "vault_addr": {"type": "str"},
    "vault_token": {"type": "str", "no_log": True},
    "vault_role_id": {"type": "str"},
    "vault_secret_id": {"type": "str", "no_log": True},
    "vault_namespace": {"type": "str"},
    "vault_cacert": {"type": "path"},
}

#: Who is writing: shown to whoever meets our lock, and kept in releases.
HOLDER: Spec = {
    "holder": {"type": "str"},
    "force_unlock": {"type": "bool", "default": False},
    "override_freeze": {"type": "bool", "default": False},
}

KUBE: Spec = {name: dict(option) for name, option in AUTH_ARG_SPEC.items()}

AGENT_MODULE: Spec = {
    **KUBE,
    **RUN,
    **OWNERSHIP,
    **HOLDER,
    **AGENT,
    "state": {"type": "str", "choices": ["present", "absent", "rendered"], "default": "present"},
    "secret_version": {"type": "str", "no_log": False},
}
ROLLOUT_MODULE: Spec = {
    **KUBE,
    **RUN,
    **OWNERSHIP,
    **VAULT,
    **PROOF,
    **HOLDER,
    **AGENT,
    "restart_id": {"type": "str"},
    "to_release": {"type": "str"},
    "accept_volume": {"type": "str"},
    "despite_rotation": {"type": "bool", "default": False},
    "foretold_keys": {"type": "list", "elements": "str", "no_log": False, "default": []},
}
#: Of an agent whose content does not change.
HOME: Spec = {name: AGENT[name] for name in ("name", "namespace", "required_keys", "vault_mount", "vault_path")}
ROTATION_MODULE: Spec = {
    **KUBE,
    **RUN,
    **OWNERSHIP,
    **VAULT,
    **{name: option for name, option in PROOF.items() if name != "secret_proof"},
    **HOLDER,
    **HOME,
    **KEYS,
    "keys": {"type": "list", "elements": "str", "no_log": False, "default": []},
    "new_value": {"type": "raw", "no_log": True},
    "rotation_id": {"type": "str"},
    "abort": {"type": "bool", "default": False},
}
PLAN_MODULE: Spec = {
    **KUBE,
    **RUN,
    **VAULT,
    "agents": {"type": "dict", "required": True},
    "operation": {"type": "str", "choices": ["rollout", "restart", "provision", "rotation"], "default": "rollout"},
    "image": {"type": "str"},
    "tag": {"type": "str"},
    "accept_volume": {"type": "str"},
    "restart_id": {"type": "str"},
    "despite_rotation": {"type": "bool", "default": False},
    "override_freeze": {"type": "bool", "default": False},
}
ACCESS_MODULE: Spec = {
    **KUBE,
    **RUN,
    **VAULT,
    **HOLDER,
    **HOME,
    "approle_mount": AGENT["approle_mount"],
    **KEYS,
    "secret_id": {"type": "str", "choices": ["keep", "renew"], "default": "keep", "no_log": False},
    "rotation_id": {"type": "str"},
    "sync_timeout": PROOF["sync_timeout"],
    "secret_id_ttl": {"type": "str", "default": "0", "no_log": False},
    "token_ttl": {"type": "str", "default": "20m", "no_log": False},
}
#: Where an agent's secret stands, and how ESO logs in for it.
PLACE: Spec = {
    name: AGENT[name] for name in ("required_keys", "vault_mount", "vault_path", "approle_mount", "approle_role_id")
}
INFO_MODULE: Spec = {
    **KUBE,
    **VAULT,
    "allow_insecure": RUN["allow_insecure"],
    "cluster_uid": RUN["cluster_uid"],
    "namespace": AGENT["namespace"],
    "names": {"type": "list", "elements": "str"},
    "secrets": {"type": "bool", "default": False, "no_log": False},
    "gateway": {"type": "bool", "default": False},
    "places": {"type": "dict", "default": {}},
}
#: The options of one agent inside the plan of a run, and of the whole role.
OF_AN_AGENT: Spec = {**RUN, **OWNERSHIP, **PROOF, **AGENT, **KEYS}

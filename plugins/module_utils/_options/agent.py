# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent as a value: the options of one inventory host, checked before any request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options import image as images
from ansible_collections.digitalsys.agents.plugins.module_utils._options import quantity
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import AGENT, OF_AN_AGENT
from ansible_collections.digitalsys.agents.plugins.module_utils._options.duration import OF_GO, as_go_writes, seconds_of
from ansible_collections.digitalsys.agents.plugins.module_utils._options.names import check_agent_name, check_namespace

#: Made once: a plan checks every agent of the fleet with it.
_VALIDATOR = ArgumentSpecValidator(OF_AN_AGENT)
_SMALLEST_VOLUME = 2**20
_KEY = re.compile(r"\A[A-Z_][A-Z0-9_]*\Z")
_ENV_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z")
_CAPABILITY = re.compile(r"\A[A-Z][A-Z_]+\Z")
_MOUNT = re.compile(r"\A[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\Z")
#: No segment of dots alone: an HTTP client would resolve it, and another agent's path be read.
_PATH = re.compile(r"\A(?!\.{1,2}(/|\Z))[A-Za-z0-9_.-]+(/(?!\.{1,2}(/|\Z))[A-Za-z0-9_.-]+)*\Z")
_PLUGIN = re.compile(r"\A@?[a-z0-9][a-z0-9._/@-]*\Z")
_CLASS = re.compile(r"\A[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?\Z")


@dataclass(frozen=True)
class Home:
    """Where an agent lives, and where its secret stands: all that is needed of one whose content does not change."""

    name: str
    namespace: str
    required_keys: list[str]
    vault_mount: str
    vault_path: str


@dataclass(frozen=True)
class Agent(Home):
    """Checked and in one spelling: quantities as the API server writes them, numbers in env as text."""

    image: images.Image
    command: list[str]
    args: list[str]
    env: dict[str, str]
    config_seed: dict[str, Any]
    plugins: list[str]
    volume_size: str
    volume_class: str
    requests: dict[str, str]
    limits: dict[str, str]
    capabilities: list[str]
    node_selector: dict[str, str]
    tolerations: list[dict[str, Any]]
    image_pull_secrets: list[str]
    network: str
    network_ingress: list[dict[str, Any]]
    network_egress: list[dict[str, Any]]
    grace_seconds: int
    startup_seconds: int
    stability_seconds: int
    vault_server: str
    approle_mount: str
    approle_role_id: str
    secret_refresh: str


def _matching(pattern: re.Pattern[str], value: Any, option: str, advice: str) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        raise AgentError(ErrorKind.INVALID, f"{option}: {str(value)[:80]!r} is not allowed", advice)
    return value


def check_mount(mount: Any, option: str) -> str:
    return _matching(_MOUNT, mount, option, "The mount in Vault, without slashes at its ends.")


def check_vault_path(path: Any, agent: str) -> str:
    """The agent's path below the KV mount: the given one, else agents/<agent>."""
    return _matching(_PATH, path or f"agents/{agent}", "vault_path", "The path below the mount, without data/.")


def check_key(key: Any, option: str = "required_keys") -> str:
    return _matching(_KEY, key, option, "Names of environment variables: capital letters, digits and underscores.")


def _env(values: Mapping[str, Any]) -> dict[str, str]:
    for name, value in values.items():
        _matching(_ENV_NAME, name, "env", "Names of environment variables: letters, digits and underscores.")
        if not isinstance(value, (str, int, float)):
            raise AgentError(
                ErrorKind.INVALID, f"env.{name}: {str(value)[:60]!r} is no text", "Write a text or a number."
            )
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in sorted(values.items())
    }


def _amounts(values: Mapping[str, Any], option: str) -> dict[str, str]:
    return {name: quantity.canonical(str(value), f"{option}.{name}") for name, value in sorted(values.items())}


def _volume_size(text: Any) -> str:
    """A plain '10' is ten bytes to Kubernetes, and never what was meant."""
    if quantity.amount(text, "volume_size") < _SMALLEST_VOLUME:
        raise AgentError(ErrorKind.INVALID, f"volume_size: {text!r} is less than a mebibyte", f"Was {text}Gi meant?")
    return quantity.canonical(text, "volume_size")


def _seconds(params: Mapping[str, Any], option: str) -> int:
    value = int(params[option])
    if not 0 < value <= 86400:
        raise AgentError(ErrorKind.INVALID, f"{option}: {value} is not between 1 and 86400 seconds")
    return value


def home(params: Mapping[str, Any]) -> Home:
    """Of validated module parameters, as from_params."""
    name = check_agent_name(params["name"])
    return Home(
        name=name,
        namespace=check_namespace(params["namespace"]),
        required_keys=sorted({check_key(key) for key in params["required_keys"]}),
        vault_mount=check_mount(params["vault_mount"], "vault_mount"),
        vault_path=check_vault_path(params["vault_path"], name),
    )


def _kept(value: Any) -> Any:
    """As the API server keeps a rule: lists that are empty are dropped; selectors that are mean all there is."""
    if isinstance(value, Mapping):
        return {name: _kept(part) for name, part in value.items() if part is not None and part != []}
    return [_kept(part) for part in value] if isinstance(value, list) else value


def from_params(params: Mapping[str, Any]) -> Agent:
    """Of validated module parameters. AgentError 'invalid', naming the option, for the first thing that cannot be."""
    where = home(params)
    server = params["vault_server"]
    if not isinstance(server, str) or not re.match(r"\Ahttps?://[^/\s]+\Z", server):
        raise AgentError(
            ErrorKind.INVALID,
            f"vault_server: {str(server)[:80]!r} is not an address",
            "Write https://vault.example.com:8200, as ESO reaches it.",
        )
    requests = _amounts(params["requests"], "requests")
    limits = _amounts(params["limits"], "limits")
    for what in requests.keys() & limits.keys():
        if quantity.amount(requests[what]) > quantity.amount(limits[what]):
            raise AgentError(
                ErrorKind.INVALID, f"requests.{what} {requests[what]} is above limits.{what} {limits[what]}"
            )
    return Agent(
        **vars(where),
        image=images.parse(params["image"]),
        command=[str(word) for word in params["command"]],
        args=[str(word) for word in params["args"]],
        env=_env(params["env"]),
        config_seed=dict(params["config_seed"]),
        plugins=[_matching(_PLUGIN, plugin, "plugins", "Names of npm packages.") for plugin in params["plugins"]],
        volume_size=_volume_size(params["volume_size"]),
        volume_class=_matching(_CLASS, params["volume_class"], "volume_class", "The name of a StorageClass."),
        requests=requests,
        limits=limits,
        capabilities=sorted(
            {
                _matching(_CAPABILITY, one, "capabilities", "Linux capabilities without CAP_.")
                for one in params["capabilities"]
            }
        ),
        node_selector={str(key): str(value) for key, value in params["node_selector"].items()},
        # The API server drops empty fields; asked for, they would differ for ever.
        tolerations=[{k: v for k, v in one.items() if v not in ("", None)} for one in params["tolerations"]],
        image_pull_secrets=[str(one) for one in params["image_pull_secrets"]],
        network=params["network"],
        network_ingress=[_kept(one) for one in params["network_ingress"]],
        network_egress=[_kept(one) for one in params["network_egress"]],
        grace_seconds=_seconds(params, "grace_seconds"),
        startup_seconds=_seconds(params, "startup_seconds"),
        stability_seconds=_seconds(params, "stability_seconds"),
        vault_server=server,
        approle_mount=check_mount(params["approle_mount"], "approle_mount"),
        approle_role_id=params["approle_role_id"] or "",
        secret_refresh=as_go_writes(seconds_of(params["secret_refresh"], "secret_refresh", OF_GO)),
    )


def checked_params(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults filled in and types checked as a module would do it, for one agent of a plan."""
    unknown = sorted(set(options) - set(OF_AN_AGENT))
    if unknown:
        raise AgentError(
            ErrorKind.INVALID, f"{name}: unknown option {', '.join(unknown)}", "The role's README lists the variables."
        )
    result = _VALIDATOR.validate({**options, "name": name})
    if result.error_messages:
        words = result.error_messages[0]
        raise AgentError(
            ErrorKind.INVALID, f"{name}: {words}", "Set the missing ones as agent_<option> in the inventory."
        )
    return dict(result.validated_parameters)


def of_params(params: Mapping[str, Any]) -> Agent:
    """Of a module's parameters, where options of other groups stand beside the agent's."""
    return from_params({option: params[option] for option in AGENT})

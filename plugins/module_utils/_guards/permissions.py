# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights that an operation needs, looked at before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault

#: (group, resource, verbs), of one namespace.
Needs = tuple[tuple[str, str, tuple[str, ...]], ...]

#: What a rollout does in the namespace: (group, resource, verbs). docs/permissions grants exactly this.
ROLLOUT_NEEDS: Needs = (
    ("apps", "deployments", ("get", "list", "watch", "create", "patch")),
    ("apps", "replicasets", ("list", "watch")),
    ("", "pods", ("list", "watch")),
    ("", "pods/log", ("get",)),
    ("", "secrets", ("get", "list", "watch")),
    ("", "configmaps", ("get", "create", "patch")),
    ("", "serviceaccounts", ("get", "create", "patch")),
    ("", "persistentvolumeclaims", ("get", "create", "patch")),
    ("networking.k8s.io", "networkpolicies", ("get", "create", "patch")),
    ("external-secrets.io", "secretstores", ("get", "create", "patch")),
    ("external-secrets.io", "externalsecrets", ("get", "list", "watch", "create", "patch")),
    ("coordination.k8s.io", "leases", ("get", "create", "update")),
)
PROBE_NEEDS: Needs = (("", "pods/portforward", ("get", "create")),)
EXEC_NEEDS: Needs = (("", "pods/exec", ("get", "create")),)
#: What providing access does there, before any rollout: it looks at all of the agent's objects first.
ACCESS_NEEDS: Needs = (
    ("", "secrets", ("get", "create", "patch")),
    ("", "configmaps", ("get",)),
    ("apps", "deployments", ("get",)),
    ("", "serviceaccounts", ("get",)),
    ("", "persistentvolumeclaims", ("get",)),
    ("networking.k8s.io", "networkpolicies", ("get",)),
    ("external-secrets.io", "secretstores", ("get",)),
    ("external-secrets.io", "externalsecrets", ("get",)),
    ("coordination.k8s.io", "leases", ("get", "create", "update")),
)
#: What the renewal of a SecretID does there.
RENEWAL_NEEDS: Needs = (
    ("", "secrets", ("get", "patch")),
    ("", "configmaps", ("get",)),
    ("external-secrets.io", "secretstores", ("get", "list", "watch", "patch")),
    ("external-secrets.io", "externalsecrets", ("get", "list", "watch", "patch")),
    ("coordination.k8s.io", "leases", ("get", "create", "update")),
)


def _grants(rules: Iterable[Mapping[str, Any]], group: str, resource: str, verb: str) -> bool:
    def covers(given: list[str] | None, wanted: str) -> bool:
        return "*" in (given or []) or wanted in (given or [])

    return any(
        covers(rule.get("apiGroups"), group)
        and covers(rule.get("resources"), resource)
        and covers(rule.get("verbs"), verb)
        for rule in rules
        if not rule.get("resourceNames")
    )


def missing_permissions(review: Mapping[str, Any], needs: Needs) -> list[str]:
    """'patch deployments.apps', … ; [] also where the server calls its review incomplete (webhook authorizers)."""
    if review.get("incomplete"):
        return []
    rules = review.get("resourceRules") or []
    return [
        f"{verb} {resource}" + (f".{group}" if group else "")
        for group, resource, verbs in needs
        for verb in verbs
        if not _grants(rules, group, resource, verb)
    ]


def require_permissions(kube: Kube, namespace: str, needs: Needs, identity: str = "operator") -> None:
    missing = missing_permissions(kube.review_rules(namespace), needs)
    if missing:
        raise AgentError(
            ErrorKind.FORBIDDEN,
            f"this identity may not, in namespace {namespace}: {', '.join(missing[:8])}",
            f"docs/permissions/{identity}.yaml is the Role that it needs there: bind it, then run again.",
            {"missing": missing},
        )
    kube.allowed = True


def require_vault_permissions(vault: Vault, wanted: Mapping[str, tuple[str, ...]], what: str) -> None:
    """wanted: path -> capabilities. AgentError that names each one that is missing, before any write."""
    have = vault.capabilities(*wanted)
    missing = [
        f"{one} on {path}"
        for path, needed in wanted.items()
        for one in needed
        if one not in have[path] and "root" not in have[path]
    ]
    if missing:
        raise AgentError(
            ErrorKind.VAULT,
            f"this token of Vault may not: {'; '.join(missing[:4])}",
            f"docs/permissions/operator.hcl is the policy that {what} needs; nothing was changed.",
            {"missing": missing},
        )

# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""API paths of the kinds that an agent is made of. Fixed, so that no run spends requests on discovery."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    name: str
    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "") -> str:
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        middle = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{root}{middle}/{self.plural}" + (f"/{name}" if name else "")

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]


NAMESPACE = Kind("Namespace", "v1", "namespaces", namespaced=False)
NODE = Kind("Node", "v1", "nodes", namespaced=False)
SERVICE_ACCOUNT = Kind("ServiceAccount", "v1", "serviceaccounts")
CLAIM = Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
SECRET = Kind("Secret", "v1", "secrets")
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps")
POD = Kind("Pod", "v1", "pods")
EVENT = Kind("Event", "v1", "events")
NETWORK_POLICY = Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies")
DEPLOYMENT = Kind("Deployment", "apps/v1", "deployments")
REPLICA_SET = Kind("ReplicaSet", "apps/v1", "replicasets")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
SECRET_STORE = Kind("SecretStore", "external-secrets.io/v1", "secretstores")
EXTERNAL_SECRET = Kind("ExternalSecret", "external-secrets.io/v1", "externalsecrets")

#: What `rollout` applies, in the order in which one needs the other.
APPLIED = (SERVICE_ACCOUNT, CLAIM, NETWORK_POLICY, SECRET_STORE, EXTERNAL_SECRET, DEPLOYMENT)
BY_NAME = {kind.name: kind for kind in (*APPLIED, NAMESPACE, SECRET, CONFIG_MAP, POD, REPLICA_SET, LEASE)}

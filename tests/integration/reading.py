"""The cluster's objects, read by its administrator over a connection that is kept: kubectl's start costs more than most
answers. Plain GETs and JSON; the server itself says which kinds it knows. Nothing of the collection."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

from kubernetes import config

Object = dict[str, Any]
#: All kinds of all groups in one answer.
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Cluster:
    """`kind` as kubectl understands it: deployment, deployments, deploy."""

    def __init__(self, kubeconfig: str) -> None:
        self._client = config.new_client_from_config(kubeconfig)
        self._kinds: dict[str, tuple[str, str, bool]] = {}  # word: (prefix, resource, whether it has a namespace)

    def _get(self, path: str, accept: str = "application/json", **query: str) -> Object | None:
        """None where there is no such thing."""
        answer = self._client.rest_client.pool_manager.request(
            "GET", f"{self._client.configuration.host}{path}", fields=query, headers={"Accept": accept}, timeout=60
        )
        assert answer.status in (200, 404), f"{path}: {answer.status} {answer.data!r}"
        found: Object = json.loads(answer.data)
        return found if answer.status == 200 else None

    def _discover(self) -> None:
        for root in ("/api", "/apis"):
            for group in (self._get(root, _DISCOVERY) or {})["items"]:
                name, version = group["metadata"].get("name"), group["versions"][0]
                prefix = f"{root}/{name}/{version['version']}" if name else f"{root}/{version['version']}"
                for one in version["resources"]:
                    place = prefix, one["resource"], one["scope"] == "Namespaced"
                    kind, singular = one["responseKind"]["kind"].lower(), one.get("singularResource")
                    for word in filter(None, (one["resource"], singular, kind, *one.get("shortNames", ()))):
                        self._kinds.setdefault(word, place)

    def _path(self, kind: str, namespace: str) -> str:
        if not self._kinds:
            self._discover()
        prefix, resource, namespaced = self._kinds[kind.lower()]
        return f"{prefix}/namespaces/{namespace}/{resource}" if namespaced else f"{prefix}/{resource}"

    def one(self, kind: str, name: str, namespace: str) -> Object | None:
        return self._get(f"{self._path(kind, namespace)}/{name}")

    def all(self, kind: str, namespace: str, labels: str = "") -> list[Object]:
        found = self._get(self._path(kind, namespace), labelSelector=labels)
        assert found, f"no {kind}"
        own = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        return [{**own, **item} for item in found["items"]]


@functools.cache
def cluster() -> Cluster:
    return Cluster(os.environ["AGENTS_SANDBOX_ADMIN_KUBECONFIG"])

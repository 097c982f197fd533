"""Every pod, from one watch without gaps: which of an agent's came up, and whether two gateways had one volume.

One such watch runs beside all integration tests (conftest). A test that puts a second gateway there itself says so
around it (`excused`).
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import kubernetes
import urllib3
from kubernetes.client.exceptions import ApiException

from tests.integration.fleet import NAMESPACE

_AGENT = "app.kubernetes.io/instance"
_OURS = {"app.kubernetes.io/name": "openclaw"}
#: A stream ends after so many seconds and is taken up where it ended: leaving the watch takes no longer.
_STREAM_SECONDS = 3


class PodWatch:
    """A context manager. Inside it `seen` and `together` grow; after it they are complete up to its end.

    A pod counts as running until its containers have ended (phase Succeeded or Failed) or it is gone: one that
    terminates beside a new one is two, for both would write to the volume. So are two containers of one pod that mount
    it, and a pod of whomever beside the agent's.
    """

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        #: claim -> uid -> pod.
        self._pods: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        #: claim -> the Deployment's generation when a test had put a second gateway there; None while it does.
        self._excused: dict[str, int | None] = {}
        #: claim -> names of what stood together then.
        self._left: dict[str, set[str]] = defaultdict(set)
        self._stopped = threading.Event()
        self._gone = False
        self._thread = threading.Thread(target=self._follow, name="pod-watch", daemon=True)
        #: agent -> uid -> name of every pod there was.
        self.seen: dict[str, dict[str, str]] = defaultdict(dict)
        #: What must never be: the names of pods, or of a pod's containers, that had one claim at the same time.
        self.together: list[tuple[str, ...]] = []

    def __enter__(self) -> PodWatch:
        admin = os.environ["AGENTS_SANDBOX_ADMIN_KUBECONFIG"]
        self._api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(admin))
        self._apps = kubernetes.client.AppsV1Api(self._api.api_client)
        self._list()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()
        self._api.api_client.close()

    def names(self, agent: str) -> list[str]:
        """Of all pods of the agent so far, the first one first."""
        return list(self.seen[agent].values())

    def _list(self) -> None:
        answer = self._api.list_namespaced_pod(self._namespace, _request_timeout=(2, 30))
        self._pods.clear()
        for pod in self._api.api_client.sanitize_for_serialization(answer)["items"]:
            self._keep("ADDED", pod)
        self._version = answer.metadata.resource_version

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                if self._gone:
                    self._list()
                    self._gone = False
                self._stream()
            except ApiException as error:
                # 410: an API server that restarted keeps no events from before. While it was away no pod could be
                # made or removed, so a new list, taken as soon as it answers, misses nothing.
                self._gone = self._gone or error.status == 410
                self._stopped.wait(0.2)
            except (urllib3.exceptions.HTTPError, OSError):
                self._stopped.wait(0.2)  # the API server restarts

    def _stream(self) -> None:
        stream = kubernetes.watch.Watch().stream(
            self._api.list_namespaced_pod,
            self._namespace,
            resource_version=self._version,
            timeout_seconds=_STREAM_SECONDS,
            _request_timeout=(2, 30),
        )
        for event in stream:
            self._version = event["raw_object"]["metadata"]["resourceVersion"]
            self._keep(event["type"], event["raw_object"])

    @contextmanager
    def excused(self, agent: str, claim: str = "") -> Iterator[None]:
        """The test itself puts a second gateway on this agent's volume meanwhile. It is excused until the next change
        of the agent's Deployment after it, and no longer; then what it has put there may end, beside nothing new."""
        claim = claim or f"{agent}-state"
        self._excused[claim] = None
        self._left[claim].clear()
        yield
        self._excused[claim] = self._generation(agent)

    def _generation(self, agent: str) -> int:
        try:
            return int(self._apps.read_namespaced_deployment(agent, self._namespace).metadata.generation)
        except ApiException as error:
            if error.status != 404:
                raise
            return 0

    def _is_excused(self, claim: str, found: Collection[str]) -> bool:
        if claim in self._excused:
            if self._excused[claim] in (None, self._generation(claim.removesuffix("-state"))):
                self._left[claim].update(found)
                return True
            del self._excused[claim]
        return self._left[claim].issuperset(found)

    def _keep(self, event: str, pod: dict[str, Any]) -> None:
        meta = pod["metadata"]
        labels = meta.get("labels") or {}
        if _OURS.items() <= labels.items():
            self.seen[labels[_AGENT]][meta["uid"]] = meta["name"]
        for claim, containers in _mounts(pod["spec"]).items():
            if event == "DELETED":
                self._pods[claim].pop(meta["uid"], None)
            else:
                self._pods[claim][meta["uid"]] = pod
            running = [one for one in self._pods[claim].values() if not _has_ended(one)]
            found = tuple(sorted(one["metadata"]["name"] for one in running))
            if len(found) == 1 and len(containers) > 1 and not _has_ended(pod):
                found = tuple(f"{meta['name']}/{name}" for name in containers)
            if len(found) > 1 and not self._is_excused(claim, found):
                self.together.append(found)


def _has_ended(pod: dict[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _mounts(spec: dict[str, Any]) -> dict[str, list[str]]:
    """Claim -> the containers that mount it; init containers come before any of them."""
    found = {}
    for volume in spec.get("volumes") or []:
        if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
            found[claim] = [
                one["name"]
                for one in spec["containers"]
                if any(mount["name"] == volume["name"] for mount in one.get("volumeMounts") or [])
            ]
    return found

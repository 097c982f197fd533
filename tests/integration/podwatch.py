"""Every pod of the agents, from one watch without gaps: which came up, and whether two of one agent ran together."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from types import TracebackType
from typing import Any

import kubernetes
import urllib3
from kubernetes.client.exceptions import ApiException

from tests.integration.fleet import NAMESPACE

_AGENT = "app.kubernetes.io/instance"
_SELECTOR = "app.kubernetes.io/name=openclaw"
#: A stream ends after so many seconds and is taken up where it ended: leaving the watch takes no longer.
_STREAM_SECONDS = 3


class PodWatch:
    """A context manager. Inside it `seen` and `together` grow; after it they are complete up to its end.

    A pod counts as running until its containers have ended (phase Succeeded or Failed) or it is gone: one that
    terminates beside a new one is two, for both would write to the volume.
    """

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        self._pods: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._stopped = threading.Event()
        self._gone = False
        self._thread = threading.Thread(target=self._follow, name="pod-watch", daemon=True)
        #: agent -> uid -> name of every pod there was.
        self.seen: dict[str, dict[str, str]] = defaultdict(dict)
        #: What must never be: the names of pods of one agent that ran at the same time.
        self.together: list[tuple[str, ...]] = []

    def __enter__(self) -> PodWatch:
        admin = os.environ["AGENTS_SANDBOX_ADMIN_KUBECONFIG"]
        self._api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(admin))
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
        answer = self._api.list_namespaced_pod(self._namespace, label_selector=_SELECTOR, _request_timeout=(2, 30))
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
            label_selector=_SELECTOR,
            resource_version=self._version,
            timeout_seconds=_STREAM_SECONDS,
            _request_timeout=(2, 30),
        )
        for event in stream:
            self._version = event["raw_object"]["metadata"]["resourceVersion"]
            self._keep(event["type"], event["raw_object"])

    def _keep(self, event: str, pod: dict[str, Any]) -> None:
        meta = pod["metadata"]
        agent = meta["labels"][_AGENT]
        self.seen[agent][meta["uid"]] = meta["name"]
        if event == "DELETED":
            self._pods[agent].pop(meta["uid"], None)
        else:
            self._pods[agent][meta["uid"]] = pod
        running = [
            one["metadata"]["name"]
            for one in self._pods[agent].values()
            if (one.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        ]
        if len(running) > 1:
            self.together.append(tuple(sorted(running)))

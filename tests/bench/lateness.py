"""How late "done" is told: from the status that proves it, as a watch of the bench sees it, to the progress line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import urllib3
from kubernetes import client, config

from tests.integration.fleet import NAMESPACE

_AVAILABLE = " is available"


def _proves(live: dict[str, Any]) -> bool:
    """Whether a Deployment's status says that its one new pod is available."""
    status = live.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    return (
        status.get("observedGeneration", 0) >= live["metadata"]["generation"]
        and [status.get(name) for name in ("updatedReplicas", "replicas", "availableReplicas")] == [1, 1, 1]
        and conditions.get("Progressing", {}).get("reason") == "NewReplicaSetAvailable"
    )


class Watch:
    """A context manager: inside it the Deployments are watched. `seen`: name -> time.monotonic() of the proof."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self._api = config.new_client_from_config()
        self._apps = client.AppsV1Api(self._api)
        self._answer: Any = None
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        version = self._apps.list_namespaced_deployment(NAMESPACE, limit=1).metadata.resource_version
        self._answer = self._apps.list_namespaced_deployment(
            NAMESPACE, watch=True, resource_version=version, timeout_seconds=900, _preload_content=False
        )
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # Not closed: that would wait for the thread that reads, which may see nothing more for minutes. It is a daemon.
        self._ending = True

    def _run(self) -> None:
        rest = b""
        try:
            for chunk in self._answer.stream(65536, decode_content=True):
                at = time.monotonic()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    live = json.loads(line)["object"]
                    if live.get("kind") == "Deployment" and _proves(live):
                        self.seen.setdefault(live["metadata"]["name"], at)
        except (urllib3.exceptions.HTTPError, OSError, AttributeError, ValueError):
            if not self._ending:  # closing it from the other thread ends the read with whatever it was at
                raise

    def late(self, lines: Iterable[tuple[float, str]]) -> list[float]:
        """Seconds for each agent, least first. lines: when each line of a rollout's output came."""
        found = []
        for at, line in lines:
            name = line.strip().partition(":")[0]
            if line.rstrip().endswith(_AVAILABLE) and name in self.seen:
                found.append(at - self.seen[name])
        return sorted(found)

"""A new gateway token, by rotate.yml and by hand as it is done today, on a real pod of the small image.

What both wait for is the pod's own: its stop, its start, and the window in which it must stay ready. That is taken off,
as a watch of the bench sees it: from the Deployment's change to the pod that is ready, and the window.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config, watch

from tests.integration.fleet import NAMESPACE, Fleet, until
from tests.integration.rotating import TOKEN, secret

#: Seconds that the pod must stay ready.
STABILITY = 2
AGENT = "bench-rotation"
REPEATS = 3
AIM = 3.0


@dataclass(frozen=True)
class Taken:
    """Seconds: from the command's start to its end, and the pod's own part of them."""

    whole: float
    pod: float

    @property
    def net(self) -> float:
        return self.whole - self.pod - STABILITY


class _PodWatch:
    """A context manager; `ready` is when a new pod became ready, `begun` when the old one was told to end."""

    def __enter__(self) -> _PodWatch:
        self.begun = self.ready = 0.0
        self._old = {one.metadata.uid for one in self._api().list_namespaced_pod(NAMESPACE, label_selector=_OF).items}
        self._watch = watch.Watch()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._watch.stop()

    @staticmethod
    def _api() -> client.CoreV1Api:
        return client.CoreV1Api(config.new_client_from_config(os.environ["AGENTS_SANDBOX_ADMIN_KUBECONFIG"]))

    def _follow(self) -> None:
        # After the last event that counts, the stream may end as it likes.
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            for event in self._watch.stream(
                self._api().list_namespaced_pod, NAMESPACE, label_selector=_OF, timeout_seconds=180
            ):
                self._see(event["raw_object"])

    def _see(self, pod: dict[str, Any]) -> None:
        conditions = {one["type"]: one["status"] for one in (pod.get("status") or {}).get("conditions") or []}
        if pod["metadata"]["uid"] in self._old:
            if pod["metadata"].get("deletionTimestamp"):
                self.begun = self.begun or time.monotonic()
        elif conditions.get("Ready") == "True":
            self.ready = self.ready or time.monotonic()


_OF = f"app.kubernetes.io/instance={AGENT}"


def _measure(way: Callable[[], object]) -> Taken:
    with _PodWatch() as seen:
        started = time.monotonic()
        way()
        whole = time.monotonic() - started
        until(lambda: seen.begun and seen.ready, "the new pod", 10)
        return Taken(whole, seen.ready - seen.begun)


def _run(*words: str, stdin: str = "") -> None:
    subprocess.run(words, input=stdin, check=True, capture_output=True, text=True)


def _by_hand(annotate: bool) -> None:
    """vault kv patch, the ExternalSecret's annotation (or ESO's minute), rollout restart, rollout status."""
    value = secrets.token_urlsafe(32)
    _run("vault", "kv", "patch", "-mount=kv", f"agents/{AGENT}", f"{TOKEN}=-", stdin=value)
    if annotate:
        name = f"externalsecret/{AGENT}-env-secret"
        _run("kubectl", "annotate", "-n", NAMESPACE, name, f"force-sync={time.time()}", "--overwrite")
        time.sleep(1)  # what a careful person gives ESO; nothing tells when it is there
    else:
        until(lambda: secret(AGENT).get(TOKEN) == value, "ESO's minute", 120)
    _run("kubectl", "rollout", "restart", "-n", NAMESPACE, f"deployment/{AGENT}")
    _run("kubectl", "rollout", "status", "-n", NAMESPACE, f"deployment/{AGENT}", "--timeout=120s")


def main(full: bool) -> None:
    """Measures and prints. With `full` by hand with ESO's minute too."""
    with tempfile.TemporaryDirectory(prefix="agents-bench-") as scratch:
        variables = {"agent_stability_seconds": STABILITY, "agent_secret_refresh": "1m"}
        fleet = Fleet(Path(scratch) / "fleet", [AGENT], variables)
        fleet.folder.mkdir()
        fleet.provide()
        try:
            fleet.rollout(AGENT).ok()
            ways: dict[str, tuple[Callable[[], object], int]] = {
                "rotate.yml": (lambda: fleet.rotate(AGENT, "-e", f"keys={TOKEN}").ok(), REPEATS),
                "by hand, annotated": (lambda: _by_hand(annotate=True), REPEATS),
            }
            if full:
                ways["by hand, ESO's minute"] = (lambda: _by_hand(annotate=False), 1)
            found: dict[str, list[Taken]] = {}
            for name, (way, repeats) in ways.items():
                for _again in range(repeats):
                    print(f"bench: a rotation by {name}", flush=True)
                    found.setdefault(name, []).append(_measure(way))
                    if name != "rotate.yml":
                        fleet.rollout(AGENT).ok()  # what runs is a release again
            _show(found)
        finally:
            fleet.remove()


def _show(found: dict[str, list[Taken]]) -> None:
    ours = statistics.median(one.whole for one in found["rotate.yml"])
    print(f"\n{'A rotation, median; only the first proves anything':50}   whole      x    net of the pod")
    for name, taken in found.items():
        whole, net = (statistics.median(getattr(one, what) for one in taken) for what in ("whole", "net"))
        print(f"  {name:48}{whole:6.2f} s {whole / ours:6.2f} {net:10.2f} s")
    net = statistics.median(one.net for one in found["rotate.yml"])
    print(f"  rotate.yml, net of the pod's stop, start and window: {net:.2f} s (aim: under {AIM:g}) "
          f"{'ok' if net < AIM else 'MISSED'}")  # fmt: skip

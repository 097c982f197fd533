# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches that are opened again when they end: several kinds into one queue, never a sleep of seconds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._core.http import FAULTS
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import WATCH, WATCH_AGAIN
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import Kind

#: Of a watch, besides its own end: AttributeError where the answer was closed while it was read.
_ENDS: tuple[type[Exception], ...] = (*FAULTS, AgentError, ValueError, AttributeError)


@dataclass(frozen=True)
class Known:
    """Objects as they were at a resourceVersion: of a list, or of one object that was just written."""

    items: tuple[Object, ...]
    version: str


#: What is there comes with the watch's own first events: for whoever waits until something is there, and to whom not
#: there and not told yet are the same.
TO_BE_TOLD = Known((), "")


@dataclass(frozen=True)
class Selection:
    """What is watched of a kind: by labels, or one object by fields. known: what needs no list to begin with."""

    kind: Kind
    labels: str = ""
    fields: str = ""
    known: Known | None = None


class Watching:
    """The objects of some selections as they are now, and a wake-up whenever one of them changes.

    A context manager. objects(kind) is a snapshot; wait(seconds) returns at the next change or when the time is up.
    An error of the API is retried inside; a refusal (403, …) is raised by wait().
    """

    def __init__(self, kube: Kube, namespace: str, selections: tuple[Selection, ...]) -> None:
        self._kube = kube
        self._namespace = namespace
        self._selections = selections
        self._objects: dict[str, dict[str, Object]] = {one.kind.name: {} for one in selections}
        self._changes: queue.SimpleQueue[AgentError | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._guard = threading.Lock()

    def __enter__(self) -> Watching:
        for selection in self._selections:
            version = self._begin(selection)
            thread = threading.Thread(
                target=self._follow, args=(selection, version), daemon=True, name=f"watch-{selection.kind.plural}"
            )
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        # The threads are daemons that hold nothing: each ends with its stream, at the latest with the process.
        self._stopped.set()

    def objects(self, kind: Kind) -> list[Object]:
        with self._guard:
            return list(self._objects[kind.name].values())

    def wait(self, seconds: float) -> None:
        try:
            change = self._changes.get(timeout=max(seconds, 0.001))
            while change is None:
                # What came in one burst is looked at once.
                change = self._changes.get_nowait()
        except queue.Empty:
            return
        if change is not None:
            raise change

    def _begin(self, selection: Selection) -> str:
        if selection.known is None:
            return self._list(selection)
        self._objects[selection.kind.name] = {item["metadata"]["uid"]: item for item in selection.known.items}
        return selection.known.version

    def _list(self, selection: Selection) -> str:
        items, version = self._kube.list_objects(
            selection.kind, self._namespace, labels=selection.labels, fields=selection.fields
        )
        with self._guard:
            self._objects[selection.kind.name] = {item["metadata"]["uid"]: item for item in items}
        return version

    def _events(self, selection: Selection, version: str) -> Iterator[tuple[str, Object]]:
        return self._kube.watch(
            selection.kind,
            self._namespace,
            resource_version=version,
            seconds=WATCH,
            labels=selection.labels,
            fields=selection.fields,
        )

    def _follow(self, selection: Selection, version: str) -> None:
        while not self._stopped.is_set():
            opened = time.monotonic()
            try:
                for kind_of_event, item in self._events(selection, version):
                    if self._stopped.is_set():
                        return
                    if kind_of_event == "ERROR":
                        version = ""
                        break
                    version = item["metadata"]["resourceVersion"]
                    if kind_of_event != "BOOKMARK":
                        self._keep(selection.kind, kind_of_event, item)
            except _ENDS:
                version = ""
                self._kube.broke()
            if self._stopped.is_set():
                return
            if not version or time.monotonic() - opened < 1:
                # Ended in error, or at once: list anew (with its bounded retries), so that nothing is missed.
                try:
                    version = self._list(selection)
                except AgentError as error:
                    self._changes.put(error)
                    return
                self._changes.put(None)
                self._stopped.wait(WATCH_AGAIN)

    def _keep(self, kind: Kind, kind_of_event: str, item: Object) -> None:
        item.setdefault("kind", kind.name)
        item.setdefault("apiVersion", kind.api_version)
        with self._guard:
            if kind_of_event == "DELETED":
                self._objects[kind.name].pop(item["metadata"]["uid"], None)
            else:
                self._objects[kind.name][item["metadata"]["uid"]] = item
        self._changes.put(None)

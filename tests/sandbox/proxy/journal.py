"""What reached the proxy, in order, and who wants to be told after the n-th write. Never bodies, never headers."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True)
class Request:
    """One request as the proxy saw it.

    `status` is the upstream's answer (also of one that was lost), or the proxy's own for a fault that answers; None
    while there is none. `fault` names what the proxy or the network did to it, "" for nothing.
    """

    number: int  # from 1, over all fronts of the proxy
    front: str
    method: str
    path: str
    query: str
    is_write: bool
    connection: int
    time: float  # time.monotonic() when its head had arrived
    status: int | None = None
    fault: str = ""

    @property
    def target(self) -> str:
        """Path and query, as rules and hooks match them."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def __str__(self) -> str:
        end = f" ({self.fault})" if self.fault else ""
        return f"#{self.number} {self.front} {self.method} {self.target} -> {self.status}{end}"


@dataclass(frozen=True)
class Mark:
    """A moment: everything that was sent before it has a number up to this one."""

    number: int
    time: float  # time.monotonic()


When = Literal["before", "after"]


@dataclass
class Hook:
    """Calls `call` once, at the n-th write that an upstream has answered since the hook was set.

    Only writes of `front` ("" is any) whose "path?query" holds the regular expression `path` are counted: what a
    timer writes (a lease that is renewed) can be left out. With `start`, counting begins after the first write whose
    "path?query" holds that.
    "before": the answer is not passed on until the call has returned. "after": the answer went out first.
    It runs in the proxy's thread, where nothing else is forwarded meanwhile: it must be quick, and must not talk
    through the proxy.
    """

    n: int
    call: Callable[[Request], None]
    when: When
    front: str
    path: str
    start: str = ""
    started: bool = False
    seen: int = 0
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def counts(self, request: Request) -> bool:
        """Whether this is one of the writes that are counted. Asked once for each write, in order."""
        if self.start and not self.started:
            self.started = re.search(self.start, request.target) is not None
            return False
        return self.front in ("", request.front) and re.search(self.path, request.target) is not None

    def run(self, request: Request) -> None:
        """An error is kept for the owner of the proxy: raised when the proxy is closed."""
        try:
            self.call(request)
        except Exception as error:
            self.error = error
        finally:
            self.done.set()


class Journal:
    """The list of requests. Written by the proxy's thread, read from any."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._requests: list[Request] = []
        self._hooks: list[Hook] = []

    def begin(self, front: str, method: str, path: str, query: str, is_write: bool, connection: int) -> Request:
        """Numbers a request whose head has arrived."""
        with self._lock:
            number = len(self._requests) + 1
            request = Request(number, front, method, path, query, is_write, connection, time.monotonic())
            self._requests.append(request)
            self._lock.notify_all()
            return request

    def note(self, request: Request, *, status: int | None = None, fault: str = "") -> Request:
        """What became of it; returns the entry as it stands now."""
        with self._lock:
            now = self._requests[request.number - 1]
            now = replace(now, status=now.status if status is None else status, fault=fault or now.fault)
            self._requests[request.number - 1] = now
            self._lock.notify_all()
            return now

    def answered(self, request: Request, status: int) -> list[Hook]:
        """Notes the upstream's answer; the hooks that it is the n-th write for."""
        now = self.note(request, status=status)
        if not now.is_write:
            return []
        with self._lock:
            due = []
            for hook in self._hooks:
                if hook.counts(now):
                    hook.seen += 1
                    if hook.seen == hook.n:
                        due.append(hook)
            return due

    def add_hook(self, hook: Hook) -> Hook:
        """Counting begins now."""
        with self._lock:
            self._hooks.append(hook)
        return hook

    def drop_hook(self, hook: Hook) -> None:
        """It is not called any more."""
        with self._lock:
            self._hooks.remove(hook)

    def mark(self) -> Mark:
        """The number of the last request so far (for the proxy: see FaultProxy.mark, which looks into the sockets)."""
        with self._lock:
            return Mark(len(self._requests), time.monotonic())

    def requests(self, since: Mark | None = None) -> list[Request]:
        """All requests, or those after the mark, as they stand now."""
        with self._lock:
            return self._requests[since.number if since else 0 :]

    def wait_for(self, wanted: Callable[[Request], bool], since: Mark | None, timeout: float) -> Request:
        """The first request that is `wanted`; waits for it. TimeoutError after `timeout` seconds."""
        with self._lock:

            def found() -> Request | None:
                return next((entry for entry in self._requests[since.number if since else 0 :] if wanted(entry)), None)

            entry = self._lock.wait_for(found, timeout)
            if entry is None:
                raise TimeoutError(f"no such request within {timeout} s; {len(self._requests)} seen")
            return entry

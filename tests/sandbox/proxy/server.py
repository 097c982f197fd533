"""The proxy itself: a thread with its own event loop, one loopback port for each front."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar

from .exchange import Connection, Front
from .journal import Hook, Journal, Mark, Request, When
from .rules import Armed, Rule

T = TypeVar("T")

#: Rounds of the event loop within which everything that lies in the sockets has been read, up to a request's head:
#: accept, connect, read, decrypt, wake the task and parse take six.
_ROUNDS = 20


class FaultProxy:
    """Stands in front of one or more servers, records every request, and does what the rules say.

    A context manager: inside it the ports are open. Leaving it ends every connection and raises the first error of a
    hook or of the proxy itself, so that no test passes on a broken proxy. All methods are for threads other than the
    proxy's own.
    """

    def __init__(self, fronts: Sequence[Front]) -> None:
        self._fronts = tuple(fronts)
        self._journal = Journal()
        self._rules: list[Armed] = []
        self._hooks: list[Hook] = []
        self._ports: dict[str, int] = {}
        self._errors: list[BaseException] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="fault-proxy", daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        try:
            self._ports = self._in_loop(self._listen())
        except BaseException:
            self._stop_loop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._in_loop(self._close())
        self._stop_loop()
        errors = [*self._errors, *(hook.error for hook in self._hooks if hook.error is not None)]
        if errors and error is None:
            raise errors[0]

    def port(self, front: str) -> int:
        """The front's port on 127.0.0.1."""
        return self._ports[front]

    def add(self, rule: Rule) -> Armed:
        """Arms a rule. Of several that would fire for one request the one that was added first does."""
        armed = Armed(rule)
        self._rules.append(armed)
        return armed

    def remove(self, armed: Armed) -> None:
        """Disarms the rule and lets go what it holds."""
        armed.release()
        self._rules.remove(armed)

    def clear(self) -> None:
        """Disarms all rules."""
        for armed in list(self._rules):
            self.remove(armed)

    def after_write(
        self,
        n: int,
        call: Callable[[Request], None],
        *,
        when: When = "before",
        front: str = "",
        path: str = "",
        start: str = "",
    ) -> Hook:
        """Calls `call` once at the n-th answered write from now (of all, or those of a front and path): see Hook."""
        hook = Hook(n, call, when, front, path, start)
        self._hooks.append(hook)
        return self._journal.add_hook(hook)

    def drop(self, hook: Hook) -> None:
        """The hook is not called any more."""
        self._journal.drop_hook(hook)

    def mark(self) -> Mark:
        """This moment. What lies in the sockets by now is counted as sent before it."""
        return self._in_loop(self._barrier())

    def requests(self, since: Mark | None = None) -> list[Request]:
        """What reached the proxy, in order; all of it, or what was sent after the mark."""
        if since is not None:
            self.mark()  # what was sent just now belongs to the answer
        return self._journal.requests(since)

    def requests_since(self, mark: Mark) -> list[Request]:
        """What was sent after the mark."""
        return self.requests(mark)

    def writes(self, since: Mark | None = None) -> list[Request]:
        """The requests that may have changed something."""
        return [request for request in self.requests(since) if request.is_write]

    def wait_for(
        self, wanted: Callable[[Request], bool], *, since: Mark | None = None, timeout: float = 30.0
    ) -> Request:
        """The first request for which `wanted` is true; waits for it. TimeoutError after `timeout` seconds."""
        return self._journal.wait_for(wanted, since, timeout)

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> dict[str, int]:
        self._servers = [await self._listen_for(front) for front in self._fronts]
        ports = [server.sockets[0].getsockname()[1] for server in self._servers]
        return {front.name: port for front, port in zip(self._fronts, ports, strict=True)}

    async def _listen_for(self, front: Front) -> asyncio.Server:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            self._accepted += 1
            try:
                await Connection(front, self._accepted, self._journal, self._rules, (reader, writer)).serve()
            except asyncio.CancelledError:
                pass  # the proxy is closing; asyncio's streams would log a cancelled task as an error
            except Exception as error:
                self._errors.append(error)
            finally:
                self._connections.discard(task)

        return await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=front.serving_tls, backlog=1024)

    async def _barrier(self) -> Mark:
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        return self._journal.mark()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        ending = list(self._connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self._barrier()  # lets the closed transports go

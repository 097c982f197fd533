"""One client connection: request after request, each with at most one fault, on one upstream connection."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

from .classify import is_write
from .journal import Hook, Journal, Request
from .rules import Action, Armed, Match, Rule
from .wire import Body, BrokenMessage, Head, Source, UntilClose, answer_body, request_body

_NO_FAULT = Rule(Match())
#: SO_LINGER on with zero seconds: closing sends RST.
_RESET = struct.pack("ii", 1, 0)
_REASONS = {401: "Unauthorized", 403: "Forbidden", 409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}
_REASONS |= {503: "ServiceUnavailable", 504: "Timeout"}


@dataclass(frozen=True)
class Front:
    """What the proxy stands in front of.

    `name` is how rules and the journal call it. `upstream_tls` trusts the upstream's certificate and `serving_tls`
    holds the proxy's own; both None for plain HTTP. Both must offer HTTP/1.1 only.
    """

    name: str
    host: str
    port: int
    upstream_tls: ssl.SSLContext | None = None
    serving_tls: ssl.SSLContext | None = None
    errors: str = "kubernetes"  # or "vault": the form of the answers that the proxy makes up


class _Next(Enum):
    REQUEST = "the connection stays"
    TUNNEL = "bytes both ways from here on"
    CLOSE = "the connection ends"


@dataclass
class _Upstream:
    source: Source
    writer: asyncio.StreamWriter


def canned_answer(form: str, status: int, retry_after: str | None) -> bytes:
    """An error answer as the API server or Vault would write it."""
    phrase = HTTPStatus(status).phrase
    message = f"fault proxy: {phrase}"
    reply: dict[str, object] = {"errors": [message]}
    if form == "kubernetes":
        reply = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
        reply |= {"reason": _REASONS.get(status, ""), "code": status}
    body = json.dumps(reply).encode()
    retry = f"Retry-After: {retry_after}\r\n" if retry_after is not None else ""
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\n{retry}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection:
    """Serves one client until either side ends it."""

    def __init__(
        self,
        front: Front,
        number: int,
        journal: Journal,
        rules: Sequence[Armed],
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._front = front
        self._number = number
        self._journal = journal
        self._rules = rules  # the proxy's own list: it changes while we serve
        self._client = Source(streams[0])
        self._writer = streams[1]
        self._upstream: _Upstream | None = None

    async def serve(self) -> None:
        """Returns when the connection is over; what a network can do to it is no error."""
        try:
            while await self._serve_one() is _Next.REQUEST:
                pass
        except (OSError, BrokenMessage):
            self._reset_client()
        finally:
            self._drop_upstream()
            self._writer.close()

    async def _serve_one(self) -> _Next:
        head = await self._client.head()
        if head is None:
            return _Next.CLOSE
        method, target, _ = head.start
        path, _, query = target.partition("?")
        write = is_write(method, path, query)
        request = self._journal.begin(self._front.name, method, path, query, write, self._number)
        raw = head.raw
        if head.says("expect", "100-continue"):
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            raw = head.without("expect")
        body = b"".join([piece async for piece in self._client.pieces(request_body(head))])
        fault = self._fault_for(request)
        work = asyncio.create_task(self._answer(request, head, raw + body, fault))
        gone = asyncio.create_task(self._client.until_end())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(gone)
            if not work.done():
                # As at a real server: who hangs up ends its watch, and what waits here is not forwarded any more.
                self._journal.note(request, fault="the client was gone")
                await _cancel(work)
        if work.cancelled():
            return _Next.CLOSE
        if work.result() is _Next.TUNNEL:
            await self._tunnel()
            return _Next.CLOSE
        return work.result()

    def _fault_for(self, request: Request) -> tuple[Rule, Armed | None]:
        for armed in list(self._rules):
            rule = armed.meet(request.front, request.method, request.target, request.is_write)
            if rule is not None:
                return rule, armed
        return _NO_FAULT, None

    async def _answer(self, request: Request, head: Head, message: bytes, fault: tuple[Rule, Armed | None]) -> _Next:
        rule, armed = fault
        if rule.delay:
            self._journal.note(request, fault=f"delayed by {rule.delay} s")
            await asyncio.sleep(rule.delay)
        if rule.action is not Action.PASS:
            self._journal.note(request, fault=rule.action.value)
        if rule.action is Action.HOLD and armed is not None:
            await asyncio.shield(asyncio.wrap_future(armed.released))
        if rule.action is Action.RESET:
            self._reset_client()
            return _Next.CLOSE
        if rule.action is Action.ANSWER:
            self._journal.note(request, status=rule.status)
            self._writer.write(canned_answer(self._front.errors, rule.status, rule.retry_after))
            await self._writer.drain()
            return _Next.CLOSE if head.says("connection", "close") else _Next.REQUEST
        try:
            answer = await self._forward(message)
        except (OSError, BrokenMessage):
            self._journal.note(request, fault="no answer from upstream")
            raise
        if rule.action is Action.HOLD_ANSWER and armed is not None:
            await asyncio.shield(asyncio.wrap_future(armed.released))
        return await self._pass_on(request, head, answer, rule)

    async def _forward(self, message: bytes) -> Head:
        upstream = await self._connect()
        upstream.writer.write(message)
        await upstream.writer.drain()
        while True:
            answer = await upstream.source.head()
            if answer is None:
                raise BrokenMessage("no answer")
            if answer.start[1][:1] != "1" or answer.start[1] == "101":
                return answer
            self._writer.write(answer.raw)  # an interim answer; the real one follows

    async def _pass_on(self, request: Request, head: Head, answer: Head, rule: Rule) -> _Next:
        hooks = self._journal.answered(request, int(answer.start[1]))
        _run(hooks, "before", self._journal, request)
        if rule.action is Action.LOSE:
            self._reset_client()
            _run(hooks, "after", self._journal, request)
            return _Next.CLOSE
        self._writer.write(answer.raw)
        if answer.start[1] == "101":
            await self._writer.drain()
            return _Next.TUNNEL
        body = answer_body(request.method, answer)
        try:
            whole = await self._pass_body(body, rule.keep if rule.action is Action.TRUNCATE else None)
        finally:
            _run(hooks, "after", self._journal, request)
        close = body.until_close or head.says("connection", "close") or answer.says("connection", "close")
        return _Next.REQUEST if whole and not close else _Next.CLOSE

    async def _pass_body(self, body: Body, keep: int | None) -> bool:
        """Whether all of it was passed on."""
        assert self._upstream is not None
        async for piece in self._upstream.source.pieces(body):
            self._writer.write(piece[:keep])
            await self._writer.drain()
            if keep is not None:
                keep -= min(keep, len(piece))
                if not keep:
                    return False
        await self._writer.drain()
        return keep is None

    async def _connect(self) -> _Upstream:
        if self._upstream is not None and self._upstream.source.ended:
            self._drop_upstream()  # the server ended an idle connection; nothing was sent on it yet
        if self._upstream is None:
            front = self._front
            name = front.host if front.upstream_tls else None
            reader, writer = await asyncio.open_connection(
                front.host, front.port, ssl=front.upstream_tls, server_hostname=name
            )
            self._upstream = _Upstream(Source(reader), writer)
        return self._upstream

    async def _tunnel(self) -> None:
        assert self._upstream is not None
        ways = {
            asyncio.create_task(_pump(self._client, self._upstream.writer)),
            asyncio.create_task(_pump(self._upstream.source, self._writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                await _cancel(way)

    def _reset_client(self) -> None:
        raw = self._writer.get_extra_info("socket")
        if raw is not None and not self._writer.is_closing():
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._writer.transport.abort()

    def _drop_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.writer.transport.abort()
            self._upstream = None


def _run(hooks: list[Hook], when: str, journal: Journal, request: Request) -> None:
    for hook in hooks:
        if hook.when == when:
            hook.run(journal.note(request))


async def _pump(source: Source, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        async for piece in source.pieces(UntilClose()):
            writer.write(piece)
            await writer.drain()


async def _cancel(task: asyncio.Task[Any]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})

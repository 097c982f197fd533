"""HTTP/1.1 as bytes: heads are read just far enough to know where a message ends; what is passed on is what came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

_PIECE = 64 * 1024
_LONGEST_HEAD = 1024 * 1024


class BrokenMessage(Exception):
    """The other side ended in the middle of a message, or did not speak HTTP/1."""


@dataclass(frozen=True)
class Head:
    """The first lines of a request or an answer: `raw` as it came, with its empty line."""

    raw: bytes
    start: tuple[str, str, str]  # method, target, version; or version, status, reason
    fields: tuple[tuple[str, str], ...]  # names in lower case

    def get(self, name: str) -> str:
        """The field's value; "" when it is not there."""
        return next((value for key, value in self.fields if key == name), "")

    def says(self, name: str, token: str) -> bool:
        """Whether a comma-separated field holds the token, in any case."""
        return any(
            token == part.strip().lower() for key, value in self.fields if key == name for part in value.split(",")
        )

    def without(self, name: str) -> bytes:
        """The raw head less one field."""
        lines = self.raw.split(b"\r\n")
        return b"\r\n".join(line for line in lines if line.split(b":", 1)[0].lower() != name.encode())


def parse_head(raw: bytes) -> Head:
    """BrokenMessage when it is not a head of HTTP/1."""
    lines = raw.decode("latin-1").split("\r\n")
    start = [*lines[0].split(" ", 2), "", ""][:3]
    if "HTTP/1." not in (start[0][:7], start[2][:7]):
        raise BrokenMessage("not HTTP/1")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return Head(
        raw, (start[0], start[1], start[2]), tuple((key.strip().lower(), value.strip()) for key, _, value in pairs)
    )


class Length:
    """A body of so many bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0
        self.until_close = False

    def feed(self, data: bytes | bytearray) -> int:
        """How many of these bytes belong to the body."""
        taken = min(self._left, len(data))
        self._left -= taken
        self.done = self._left == 0
        return taken


class UntilClose:
    """A body that ends with the connection."""

    done = False
    until_close = True

    def feed(self, data: bytes | bytearray) -> int:
        """All of them."""
        return len(data)


class Chunked:
    """A chunked body: finds its end without taking the chunks apart."""

    def __init__(self) -> None:
        self.done = False
        self.until_close = False
        self._skip = 0  # bytes of a chunk, its line end included, that are still to come
        self._line = b""
        self._in_trailers = False

    def feed(self, data: bytes | bytearray) -> int:
        """How many of these bytes belong to the body. BrokenMessage when a chunk's size is none."""
        at = 0
        while at < len(data) and not self.done:
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            end = data.find(b"\n", at) + 1 or len(data)
            self._line += data[at:end]
            at = end
            if self._line.endswith(b"\n"):
                self._end_of_line(self._line.strip())
                self._line = b""
        return at

    def _end_of_line(self, line: bytes) -> None:
        if self._in_trailers:
            self.done = not line
            return
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            raise BrokenMessage("a chunk without a size") from None
        self._skip = size + 2 if size else 0
        self._in_trailers = size == 0


Body = Length | UntilClose | Chunked


def request_body(head: Head) -> Body:
    """How the body of a request ends."""
    if head.says("transfer-encoding", "chunked"):
        return Chunked()
    return Length(int(head.get("content-length") or 0))


def answer_body(method: str, head: Head) -> Body:
    """How the body of an answer ends."""
    status = int(head.start[1])
    if method == "HEAD" or status < 200 or status in (204, 304):
        return Length(0)
    if head.says("transfer-encoding", "chunked"):
        return Chunked()
    length = head.get("content-length")
    return Length(int(length)) if length else UntilClose()


class Source:
    """The bytes from one side, with the look-ahead that asyncio's StreamReader does not offer."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    @property
    def ended(self) -> bool:
        """Nothing is left and nothing will come."""
        return not self._buffer and (self._reader.at_eof() or self._reader.exception() is not None)

    async def _more(self) -> bool:
        try:
            piece = await self._reader.read(_PIECE)
        except OSError:  # a reset is an end like any other
            return False
        self._buffer += piece
        return bool(piece)

    async def until_end(self) -> None:
        """Returns when the other side is gone; what it sends until then is kept."""
        while await self._more():
            pass

    async def head(self) -> Head | None:
        """The next head; None when the other side ended before it was whole."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise BrokenMessage("no end of head within 1 MiB")
            if not await self._more():
                return None
        raw = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        return parse_head(raw)

    async def pieces(self, body: Body) -> AsyncIterator[bytes]:
        """The body as it was sent, each piece as soon as it is there."""
        while not body.done:
            if not self._buffer and not await self._more():
                if body.until_close:
                    return
                raise BrokenMessage("ended in the middle of a body")
            taken = body.feed(self._buffer)
            piece = bytes(self._buffer[:taken])
            del self._buffer[:taken]
            yield piece

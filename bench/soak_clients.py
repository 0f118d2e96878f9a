"""The clients of a soak: so many at once, each call after call, and what each of them saw.

A call has a name of its own, which it sends as X-Request-ID, and by which its record is found (`client_request_id`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field

from bench.soak_traffic import Kind, choose

#: seconds between two attempts of a client that nobody listened to
AGAIN = 0.05
#: seconds that any one call may take: far beyond the proxy's own limits here
CALL_MAX = 60.0
#: bytes of a body's end that are looked at for the end of a stream
TAIL = 256


@dataclass(slots=True)
class Call:
    """One call, as its client saw it.  Times are of ``time.monotonic``."""

    name: str
    kind: Kind
    began: float
    ended: float = 0.0
    #: the request line went out
    sent: bool = False
    #: None: no head came
    status: int | None = None
    request_id: str | None = None
    #: the end of the answer came
    whole: bool = False
    left: bool = False
    #: the name of the call before it on the same connection
    after: str | None = None


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    last: str | None = None


@dataclass(slots=True)
class Crowd:
    """All clients.

    :param ports: by name of the port
    """

    ports: dict[str, int]
    chance: random.Random
    calls: list[Call] = field(default_factory=list)
    running: int = 0
    _resting: bool = False
    _over: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, clients: int) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._client()) for _ in range(clients)]

    async def rest(self) -> None:
        """Begin no call, and close connections; returns when none runs any longer."""
        self._resting = True
        while self.running:
            await asyncio.sleep(0.02)

    def go_on(self) -> None:
        """After a rest."""
        self._resting = False

    async def stop(self) -> None:
        """End for good."""
        await self.rest()
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        kept: dict[str, _Connection] = {}
        while not self._over:
            if self._resting:
                _close_all(kept)
                await asyncio.sleep(AGAIN)
                continue
            call = Call(f"soak-{len(self.calls)}", choose(self.chance), time.monotonic())
            self.calls.append(call)
            self.running += 1
            try:
                await asyncio.wait_for(self._call(call, kept), CALL_MAX)
            finally:
                call.ended = time.monotonic()
                self.running -= 1
            if call.status is None:
                await asyncio.sleep(AGAIN)
        _close_all(kept)

    async def _call(self, call: Call, kept: dict[str, _Connection]) -> None:
        kind = call.kind
        connection = kept.pop(kind.port, None)
        keep = False
        try:
            if connection is None or connection.reader.at_eof() or connection.writer.is_closing():
                if connection is not None:
                    connection.writer.close()
                port = self.ports[kind.port]
                connection = _Connection(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 21))
            call.after, connection.last = connection.last, call.name
            body = kind.body
            head = (
                f"POST {kind.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                f"X-Request-ID: {call.name}\r\nContent-Length: {len(body)}\r\n{kind.headers}\r\n"
            )
            connection.writer.write(head.encode() + (body[: len(body) // 2] if kind.half else body))
            call.sent = True
            reading = _read(call, connection.reader)
            if kind.leaves is None:
                keep = await reading
            else:
                try:
                    keep = await asyncio.wait_for(reading, self.chance.uniform(*kind.leaves))
                except TimeoutError:
                    call.left = True
        except (OSError, EOFError, ValueError):
            pass
        if connection is None:
            return
        if keep:
            kept[kind.port] = connection
        elif call.left and self.chance.random() < 0.5:
            connection.writer.transport.abort()
        else:
            connection.writer.close()


async def _read(call: Call, reader: asyncio.StreamReader) -> bool:
    """Fill in what is heard; whether the connection can be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    call.request_id = fields.get("x-request-id")
    call.status = int(head[0].split()[1])
    tail = b""

    def came(piece: bytes) -> None:
        nonlocal tail
        tail = (tail + piece)[-TAIL:]
        if call.kind.end is not None and call.status == 200 and tail.endswith(call.kind.end):
            call.whole = True

    if fields.get("transfer-encoding") == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).decode(), 16):
            while size:
                piece = await reader.read(min(size, 1 << 16))
                if not piece:
                    raise EOFError
                size -= len(piece)
                came(piece)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    else:
        left = int(fields["content-length"])
        while left:
            piece = await reader.read(min(left, 1 << 16))
            if not piece:
                raise EOFError
            left -= len(piece)
            came(piece)
    call.whole = True
    return fields.get("connection", "").lower() != "close"


def _close_all(kept: dict[str, _Connection]) -> None:
    for each in kept.values():
        with contextlib.suppress(OSError):
            each.writer.close()
    kept.clear()

"""Many clients at once, for tests: on an event loop of its own, in a thread of its own.

The test's own thread has a reactor in it, which must not run while real processes are waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

Result = TypeVar("Result")


class Heard(msgspec.Struct):
    """What one client heard of one call."""

    #: what the client called it: its X-Request-ID
    name: str
    #: None: no head came
    status: int | None = None
    #: the proxy's X-Request-ID
    request_id: str | None = None
    body: bytes = b""
    #: the body came to its end, as the framing tells it
    whole: bool = False
    #: the client's own port of the connection that it went over
    own_port: int = 0


def run(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """The result of a coroutine function, run on a loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(main())).result()


class Client:
    """One keep-alive connection to a port of the loopback."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._port = port
        self._host = host
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def call(
        self,
        path: str,
        body: bytes,
        name: str,
        headers: str = "",
        heard: Callable[[Heard], Awaitable[None] | None] | None = None,
    ) -> Heard:
        """One POST, read as far as it goes.

        :param heard: called with what has come so far, at the head and at each piece of the body
        :raises OSError: no connection could be made
        """
        result = Heard(name)
        if self._writer is None or self._writer.is_closing() or (self._reader is not None and self._reader.at_eof()):
            self.close()
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 20)
        assert self._reader is not None
        result.own_port = self._writer.get_extra_info("sockname")[1]
        request = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
            f"X-Request-ID: {name}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        )
        try:
            self._writer.write(request.encode() + body)
            keep = await self._read(self._reader, result, heard)
        except (OSError, EOFError):
            keep = False
        if not keep:
            self.close()
        return result

    async def _read(
        self, reader: asyncio.StreamReader, result: Heard, heard: Callable[[Heard], Awaitable[None] | None] | None
    ) -> bool:
        """Fill in ``result``; whether the connection can be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        result.status = int(head[0].split()[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        result.request_id = fields.get("x-request-id")

        async def more(piece: bytes) -> None:
            result.body += piece
            if heard is not None and (waiting := heard(result)) is not None:
                await waiting

        await more(b"")
        if fields.get("transfer-encoding") == "chunked":
            while size := int((await reader.readuntil(b"\r\n")).decode(), 16):
                await more((await reader.readexactly(size + 2))[:-2])
            await reader.readexactly(2)
        else:
            left = int(fields["content-length"])
            while left:
                piece = await reader.read(min(left, 65536))
                if not piece:
                    raise EOFError
                left -= len(piece)
                await more(piece)
        result.whole = True
        return fields.get("connection", "").lower() != "close"

    def close(self) -> None:
        """Let go of the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

"""An upstream whose events say when they were sent, so that a client can tell how long each took.

Streams of chat: an event each `PACE` seconds for as long as the request's ``X-Last`` says, with the time of
``time.monotonic`` in it, then usage and ``[DONE]``.  On the event loop of the test's clients (`crowd`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: seconds between two events of a stream
PACE = 0.05
#: tokens that each answer reports
INPUT, OUTPUT = 3, 5

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_STAMP = re.compile(rb'"content":"([0-9.]+)"')


def stamps(data: bytes) -> list[float]:
    """The times in a piece of a stream."""
    return [float(each) for each in _STAMP.findall(data)]


@asynccontextmanager
async def stamped_upstream(port: int) -> AsyncIterator[None]:
    """One on this port of the loopback."""
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        await _serve(reader, writer)
        open_now.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        while open_now:
            for each in open_now:
                each.transport.abort()
            await asyncio.sleep(PACE)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, EOFError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
            until = time.monotonic() + float(head.partition(b"x-last: ")[2].split(b"\r\n")[0])
            writer.write(_HEAD)
            while time.monotonic() < until and not writer.is_closing():
                _event(writer, {"choices": [{"index": 0, "delta": {"content": f"{time.monotonic():.6f}"}}]})
                await asyncio.sleep(PACE)
            usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
            _event(writer, {"choices": [], "usage": usage})
            _chunk(writer, b"data: [DONE]\n\n")
            writer.write(b"0\r\n\r\n")
    writer.close()


def _event(writer: asyncio.StreamWriter, event: dict[str, object]) -> None:
    data = {"object": "chat.completion.chunk", "model": "gpt-4o"} | event
    _chunk(writer, b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n")


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))

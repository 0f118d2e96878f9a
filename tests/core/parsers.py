"""Every parser of the ground floor that takes bytes in pieces, in one shape, for the tests of their common promises."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import brotli

from awfproxy.core.awsstream import AwsEventStream
from awfproxy.core.decoders import DecoderMemory, Undecodable, chain, zstd
from awfproxy.core.finder import Finder
from awfproxy.core.jsonbody import JsonBody
from awfproxy.core.lines import LineStream
from awfproxy.core.longevent import LongEvent, LongLine
from awfproxy.core.sample import Sample
from awfproxy.core.scanner import Scanner
from awfproxy.core.sse import EventStream
from awfproxy.core.usage import Reading

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def raw_deflate(data: bytes) -> bytes:
    """The other form of ``deflate``."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at these offsets."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def figures(reading: Reading) -> dict[str, Any]:
    """All that a reading says."""
    return {
        "usage": reading.usage,
        "model": reading.model,
        "final": reading.final,
        "framing": reading.framing,
        "errors": dict(reading.errors),
        "truncated": reading.usage_truncated,
    }


class Run(NamedTuple):
    """One parser at work: how it is fed and finished, and what it says in the end."""

    feed: Callable[[bytes], object]
    finish: Callable[[], object]
    answer: Callable[[], object]


def _finder() -> Run:
    found: list[Any] = []
    finder = Finder(lambda outline, whole: found.append((outline, whole)) if len(found) < 50 else None)
    return Run(finder.feed, finder.finish, lambda: (found, finder.broken))


def _framing(make: Callable[[Reading], Any], ends: bool) -> Callable[[], Run]:
    def start() -> Run:
        reading = Reading()
        body = make(reading)
        return Run(body.feed, body.finish, lambda: (figures(reading), body.cut, body.ended if ends else None))

    return start


def _scanner(content_type: bytes, coding: bytes, take_out: bool = False) -> Callable[[], Run]:
    def start() -> Run:
        scanner = Scanner(content_type, coding, DecoderMemory(), take_out=take_out)
        return Run(
            lambda data: scanner.feed(data),
            scanner.finish,
            lambda: (figures(scanner.reading), scanner.cut, scanner.ended),
        )

    return start


def _long(make: Callable[[], LongLine]) -> Callable[[], Run]:
    def start() -> Run:
        long = make()
        said: list[object] = []
        return Run(long.feed, lambda: said.append(long.finish()) if not said else None, lambda: said)

    return start


def _decoder(name: bytes) -> Callable[[], Run]:
    def start() -> Run:
        decoders = chain([name], DecoderMemory())
        assert decoders is not None
        out: list[bytes] = []
        failed: list[str] = []

        def feed(data: bytes) -> None:
            if not failed:
                try:
                    out.extend(decoders.decode(data))
                except Undecodable as error:
                    failed.append(error.reason)

        return Run(feed, decoders.close, lambda: None if failed else b"".join(out))

    return start


PARSERS: dict[str, Callable[[], Run]] = {
    "finder": _finder,
    "events": _framing(lambda reading: EventStream(reading, 0, False), True),
    "events, taking out": _framing(lambda reading: EventStream(reading, 0, True), True),
    "lines": _framing(lambda reading: LineStream(reading, 0), True),
    "aws messages": _framing(lambda reading: AwsEventStream(reading, 0), True),
    "json": _framing(lambda reading: JsonBody(reading, 0, False, Sample()), True),
    "json array": _framing(lambda reading: JsonBody(reading, 0, True, Sample()), True),
    "long event": _long(LongEvent),
    "long line": _long(LongLine),
    "scanner": _scanner(b"", b""),
    "scanner of events, taking out": _scanner(b"text/event-stream", b"", True),
    **{f"scanner of {name}": _scanner(b"", name.encode()) for name in CODINGS},
    **{f"decoder of {name}": _decoder(name.encode()) for name in CODINGS},
}


def run(name: str, parts: list[bytes]) -> object:
    """The answer of one parser to these pieces."""
    parser = PARSERS[name]()
    for part in parts:
        parser.feed(part)
    parser.finish()
    return parser.answer()


def event(data: object, end: str = "\n") -> bytes:
    """A server-sent event with this JSON."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return f"data: {text}{end}{end}".encode()


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of an OpenAI chat stream; without text and finish reason one without choices."""
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]
    return {"object": "chat.completion.chunk", "model": "m-1", "choices": choices if text or finish else []} | more

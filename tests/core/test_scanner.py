"""The scanner: what a body is, in which coding and framing, whatever its headers say."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
import zlib

import brotli
import pytest

from awfproxy.core.decoders import DecoderMemory, zstd
from awfproxy.core.jsonbody import BODY_MAX
from awfproxy.core.scanner import Scanner

from .parsers import CODINGS, chunk, event, figures, pieces, raw_deflate

USAGE = {"prompt_tokens": 5, "completion_tokens": 7}
JSON = json.dumps({"model": "m-1", "choices": [{"finish_reason": "stop"}], "usage": USAGE}).encode()
SSE = event(chunk("a")) + event(chunk(usage=USAGE)) + event("[DONE]")
OLLAMA = b"".join(
    json.dumps(line).encode() + b"\n"
    for line in (
        {"model": "m-1", "message": {"content": "a"}, "done": False},
        {"model": "m-1", "done": True, "prompt_eval_count": 5, "eval_count": 7},
    )
)
ARRAY = json.dumps(
    [
        {"modelVersion": "m-1", "usageMetadata": {"promptTokenCount": 5}},
        {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7}},
    ],
    indent=1,
).encode()
BODIES = {"json": JSON, "sse": SSE, "ndjson": OLLAMA, "json-array": ARRAY}
PACKERS = {
    "plain": (b"", lambda data: data),
    "gzip": (b"gzip", gzip.compress),
    "deflate": (b"deflate", zlib.compress),
    "raw deflate": (b"deflate", raw_deflate),
    "br": (b"br", brotli.compress),
    "zstd": (b"zstd", zstd.compress),
    "gzip, br": (b"gzip, br", lambda data: brotli.compress(gzip.compress(data))),
    "gzip without a header": (b"", gzip.compress),
    "zlib without a header": (b"", zlib.compress),
    "zstd without a header": (b"", zstd.compress),
    "plain under gzip": (b"gzip", lambda data: data),
    "plain under br": (b"br", lambda data: data),
    "plain under deflate": (b"deflate", lambda data: data),
    "gzip under br": (b"br", gzip.compress),
    "zstd under gzip": (b"gzip", zstd.compress),
    "zlib under zstd": (b"zstd", zlib.compress),
}


def scan(body: bytes, content_type: bytes = b"", coding: bytes = b"", cuts: list[int] | None = None) -> Scanner:
    """A finished scanner."""
    scanner = Scanner(content_type, coding, DecoderMemory())
    for part in pieces(body, cuts or []):
        scanner.feed(part)
    scanner.finish()
    return scanner


@pytest.mark.parametrize("packer", sorted(PACKERS))
@pytest.mark.parametrize("framing", sorted(BODIES))
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" \r\n\n", b"\n" * 13 + b" ", b"\n" * 40])
def test_a_body_is_read_for_what_it_is(framing: str, packer: str, before: bytes) -> None:
    """Every framing in every coding, rightly or wrongly declared, byte by byte too."""
    coding, pack = PACKERS[packer]
    body = pack(before + BODIES[framing])
    for content_type in (
        b"",
        b"text/event-stream; charset=utf-8",
        b"application/json",
        b"text/plain",
        b"application/x-ndjson",
    ):
        for cuts in ([], list(range(len(body))), [1, 5, len(body) // 2]):
            scanner = scan(body, content_type, coding, cuts)
            reading = scanner.reading
            assert reading.framing == framing
            assert reading.usage is not None
            assert (reading.usage.input_tokens, reading.usage.output_tokens) == (5, 7)
            assert reading.model == "m-1"
            assert reading.final
            assert reading.errors == {}


@pytest.mark.parametrize("framing", sorted(BODIES))
def test_long_bodies_are_read_like_short_ones(framing: str) -> None:
    """Past what is kept, the finder reads the same."""
    filler = json.dumps({"output": [{"text": 'x "usage":{"input_tokens":1}\\ ' * 20}] * 1000})[1:-1].encode()
    body = BODIES[framing].replace(b"{", b"{" + filler + b",", 1)
    assert len(body) > BODY_MAX
    for size in (1000, 65536, len(body)):
        scanner = scan(body, cuts=list(range(0, len(body), size)))
        assert figures(scanner.reading) == figures(scan(BODIES[framing]).reading)


@pytest.mark.parametrize("coding", sorted(CODINGS))
def test_a_coded_stream_ends_too(coding: str) -> None:
    """The piece that completes the terminal event is the one to be held; memory comes back at once."""
    memory = DecoderMemory()
    packed = CODINGS[coding](SSE)
    scanner = Scanner(b"text/event-stream", coding.encode(), memory)
    assert scanner.feed(packed[:20])
    assert scanner.safe == 20
    assert not scanner.feed(packed[20:])
    assert scanner.ended
    assert scanner.safe == 20
    assert scanner.position == len(packed)
    assert memory.free == memory.limit
    scanner.finish()
    assert scanner.safe == 20


@pytest.mark.parametrize("coding", sorted(CODINGS))
def test_a_coded_body_cut_in_the_middle(coding: str) -> None:
    """What could be read is read, as partial, and the memory comes back."""
    chunks = [event(chunk(str(number) * 40, usage=USAGE)) for number in range(3000)]
    packed = CODINGS[coding](b"".join(chunks) + event("[DONE]"))
    memory = DecoderMemory()
    scanner = Scanner(b"", coding.encode(), memory)
    scanner.feed(packed[: len(packed) * 3 // 4])
    scanner.finish()
    if scanner.reading.usage is not None:
        assert not scanner.reading.final
    assert not scanner.ended
    assert scanner.reading.errors == {}
    assert memory.free == memory.limit


def test_what_cannot_be_read_says_why() -> None:
    """One reason each; the bytes go on."""
    assert scan(b"\x1f\x9d\x90" + JSON, coding=b"compress").reading.errors == {"encoding": 1}
    assert scan(gzip.compress(JSON)[:30] + b"damage" * 100, coding=b"gzip").reading.errors == {"decode": 1}
    assert scan(gzip.compress(bytes(1 << 24)), coding=b"gzip").reading.errors == {"ratio": 1}
    assert scan(brotli.compress(bytes(10_000_000), lgwin=24), coding=b"br").reading.errors == {"decoder-memory": 1}
    assert scan(b'data: {"a":}\n\n').reading.errors == {"bad-json": 1}
    assert scan(b'{"usage":{"prompt_tokens":-5,"completion_tokens":3}}').reading.errors == {"bad-count": 1}
    scanner = Scanner(b"", b"gzip", DecoderMemory(1000))
    assert scanner.feed(gzip.compress(JSON))
    scanner.finish()
    assert scanner.reading.errors == {"decoder-memory": 1}
    assert scanner.reading.usage is None


def test_a_json_body_cut_off_gives_what_stood_before() -> None:
    """Usage that was complete counts, as not final."""
    body = b'{"usage":' + json.dumps(USAGE).encode() + b',"model":"m-1","choices":[{"mess'
    reading = scan(body).reading
    assert reading.usage is not None
    assert reading.model == "m-1"
    assert not reading.final


@pytest.mark.parametrize("body", [b"", b" ", b"dat", b"\xef", b"plain text", b"<html>", b"\x1f", b"\x28\xb5", b"x"])
def test_what_is_nothing_is_let_pass(body: bytes) -> None:
    """No body, text, pages of errors."""
    for coding in (b"", b"gzip", b"br"):
        scanner = scan(body, coding=coding)
        assert scanner.reading.usage is None
        assert scanner.safe == scanner.position == len(body)


def test_keeping_the_first_feed_is_safe() -> None:
    """`feed` is rebound, but a caller may keep the method it got first."""
    scanner = Scanner(b"", b"", DecoderMemory())
    feed = scanner.feed
    for part in pieces(SSE, [3, 100, 300]):
        feed(part)
    assert scanner.ended
    assert scanner.position == len(SSE)


def test_a_json_body_never_holds() -> None:
    """Its last piece is the framing's to hold."""
    scanner = Scanner(b"", b"", DecoderMemory(), take_out=True)
    for part in pieces(JSON, [10, 30]):
        assert scanner.feed(part)
        assert scanner.safe == scanner.position
    scanner.finish()
    assert not scanner.ended


def test_an_open_stream_needs_little_memory() -> None:
    """10,000 of them idle between events: under 1.5 KB each."""
    first, delta = event(chunk("a")), event(chunk("b"))
    memory = DecoderMemory()
    Scanner(b"text/event-stream", b"", memory).feed(first)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    scanners = []
    for _ in range(1000):
        scanner = Scanner(b"text/event-stream", b"", memory, take_out=True)
        scanner.feed(first)
        scanner.feed(delta)
        scanners.append(scanner)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / len(scanners) < 1536


def test_nothing_is_left_for_the_collector() -> None:
    """A finished scan has no cycle: it goes when its last user does."""
    scanner = scan(SSE)
    reading = scanner.reading
    users = sys.getrefcount(reading)
    del scanner
    assert sys.getrefcount(reading) < users


def test_lines_are_told_by_the_first_bytes_whatever_the_pieces() -> None:
    """A first line that is longer than what is kept makes no NDJSON, in one piece or in many."""
    for size, framing in ((1000, "ndjson"), (BODY_MAX, "json")):
        body = json.dumps({"model": "m-1", "x": "y" * size}).encode() + b"\n"
        short = body + b'{"model":"m-1","done":true,"prompt_eval_count":5}'
        found = [scan(short, cuts=cuts).reading for cuts in ([], [BODY_MAX - 10], list(range(0, len(short), 5000)))]
        assert len({(reading.framing, reading.usage is None, tuple(reading.errors)) for reading in found}) == 1
        assert found[0].usage is not None
        if framing == "ndjson":
            assert found[0].framing == framing

"""Answers that have no end, or promise more than they hold: made piece by piece, measured in a process of their own.

``python -m tests.core.hostile NAME BYTES PIECE`` reads one and prints a line of JSON (`Measured`); without arguments it
reads every one at `GIGABYTE` bytes in pieces of 16 KB and prints a table.
"""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from ctypes import CDLL
from itertools import chain, repeat
from pathlib import Path
from typing import Final, NamedTuple

import brotli
import msgspec

from awfproxy.core.decoders import TABLES_MEMORY, WINDOW_MAX, DecoderMemory, zstd
from awfproxy.core.jsonbody import BODY_MAX
from awfproxy.core.scanner import Scanner
from awfproxy.core.sse import EVENT_MAX, HOLD_MAX
from tests.fuzz import aws_messages as aws

GIGABYTE: Final = 1_000_000_000
#: what a read from a socket brings
PIECE: Final = 16 * 1024
#: what the interpreter's and the C library's own allocators take in larger units than they were asked for
SLACK: Final = 1 << 20
#: an open event, or what is held of it, while it is copied once
EVENT_BOUND: Final = 2 * EVENT_MAX + HOLD_MAX + SLACK
#: a JSON body in pieces, while it is joined
BODY_BOUND: Final = 2 * BODY_MAX + SLACK
#: the decoder's window, its tables, and what it is read into
DECODER_BOUND: Final = WINDOW_MAX + TABLES_MEMORY + BODY_BOUND

_MIB: Final = 1 << 20
_SSE: Final = b"text/event-stream"
_JSON: Final = b"application/json"
_USAGE: Final = b'"usage":{"prompt_tokens":3,"completion_tokens":4}'
#: the usage that comes before a bomb, and must not be lost with it
START: Final = b'data: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":5}}}\n\n'


class Case(NamedTuple):
    """``first``, then ``rest`` over and over, then ``last``, which brings the usage where ``told``."""

    content_type: bytes
    first: bytes
    rest: bytes
    #: bytes that are read where nothing else is asked for: about a second's worth
    size: int
    bound: int = EVENT_BOUND
    last: bytes = b""
    coding: bytes = b""
    #: (input, output) tokens that are to be read of it
    told: tuple[int | None, int | None] | None = None
    #: the scan error that is to be counted
    error: str | None = None


class Measured(msgspec.Struct):
    """One case as read."""

    #: bytes fed, and bytes that were read once codings were undone
    fed: int
    decoded: int
    #: of process time, for the first half of the bytes and for all
    half: float
    whole: float
    #: bytes by which the process grew at its peak
    grown: int
    told: tuple[int | None, int | None] | None
    errors: dict[str, int]
    #: all of it might go on at once
    passed: bool


def _json(first: bytes, rest: bytes, size: int, last: bytes = b"", told: bool = True) -> Case:
    return Case(_JSON, first, rest, size, BODY_BOUND, last, told=(3, 4) if told else None)


def _events(first: bytes, rest: bytes, size: int, last: bytes = b"", told: bool = True) -> Case:
    return Case(_SSE, first, rest, size, EVENT_BOUND, last, told=(3, 4) if told else None)


_DELTA: Final = b'data: {"choices":[{"delta":{"content":"'
_END_DELTA: Final = b'"}}],' + _USAGE + b"}\n\ndata: [DONE]\n\n"
_LAST_EVENT: Final = b'\n\ndata: {"choices":[],' + _USAGE + b"}\n\ndata: [DONE]\n\n"
_CONTENT: Final = b'{"choices":[{"message":{"content":"'
_END_CONTENT: Final = b'"}}],' + _USAGE + b"}"
_CHUNK: Final = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
_DECOY: Final = rb"\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9},"

_AWS: Final = b"application/vnd.amazon.eventstream"
_AWS_TEXT: Final = aws.event("contentBlockDelta", b'{"delta":{"text":"' + b"hello " * 20 + b'"}}')
_AWS_LAST: Final = aws.event("metadata", b'{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}')
#: the beginning of a message whose length is the largest that can be said
_AWS_ENDLESS: Final = aws.endless()
#: far longer than what is kept, all of it model text
_LONG_MESSAGE: Final = aws.event(
    "chunk", b'{"bytes":"' + b64encode(b'{"text":"' + b"hello! " * (1 << 16) + b'"}') + b'"}'
)


def _messages(rest: bytes, size: int) -> Case:
    return Case(_AWS, _AWS_TEXT, rest, size, EVENT_BOUND, _AWS_LAST, told=(3, 4))


PLAIN: Final[dict[str, Case]] = {
    "events: one line": _events(b"event: ", b"name and ", GIGABYTE // 24, _LAST_EVENT),
    "events: one data line": _events(_DELTA, b"abc def ", GIGABYTE // 24, _END_DELTA),
    "events: one data line of escapes": _events(_DELTA, rb"\"\\\n", GIGABYTE // 32, _END_DELTA),
    "events: one comment": _events(b": ", b"keep alive ", GIGABYTE // 24, _LAST_EVENT),
    "events: comments": _events(b": x\n", b": ping\n", GIGABYTE // 400, _LAST_EVENT),
    "events: data lines of one event": _events(b"data: {\n", b"data: \n", GIGABYTE // 1000, b"data: " + _USAGE + b"}\n\n"),
    "events: blank lines": _events(b"data: {}\n", b"\n", GIGABYTE // 8, _LAST_EVENT),
    "events: carriage returns": _events(b"data: {}\n", b"\r", GIGABYTE // 8, _LAST_EVENT),
    "events: of text": _events(_CHUNK, _CHUNK, GIGABYTE // 4, _LAST_EVENT),
    "events: decoys of usage": _events(_CHUNK, _CHUNK.replace(b"hello", _DECOY), GIGABYTE // 200, _LAST_EVENT),
    "events: decoys in one data line": _events(_DELTA, _DECOY, GIGABYTE // 32, _END_DELTA),
    "events: usage in each": _events(_CHUNK, b'data: {"choices":[{"delta":{"content":"x"}}],' + _USAGE + b"}\n\n", GIGABYTE // 400),
    "events: half a terminal event": _events(b'data: {"type":"response.completed","x":"', b"abc ", GIGABYTE // 24, told=False),
    "events: deep in one": _events(b'data: {"x":', b"[", GIGABYTE // 24, told=False),
    "json: string": _json(_CONTENT, b"abc def ", GIGABYTE, _END_CONTENT),
    "json: string of escapes": _json(_CONTENT, rb"\"\\\n", GIGABYTE // 8, _END_CONTENT),
    "json: backslashes": _json(_CONTENT, b"\\\\" * 7, GIGABYTE // 8, _END_CONTENT),
    "json: decoys of usage": _json(_CONTENT, _DECOY, GIGABYTE // 8, _END_CONTENT),
    "json: key": _json(b'{"', b"key ", GIGABYTE, b'":1,' + _USAGE + b"}"),
    "json: number": _json(b'{"created":', b"1234567890", GIGABYTE // 8, b"," + _USAGE + b"}"),
    "json: white space": _json(b"{", b" \r\n\t", GIGABYTE // 8, _USAGE + b"}"),
    "json: white space before": Case(_JSON, b"", b" \r\n\t", GIGABYTE // 8, BODY_BOUND, b"{" + _USAGE + b"}", told=(3, 4)),
    "json: arrays in arrays": _json(b'{"output":', b"[", GIGABYTE // 8, told=False),
    "json: objects in objects": _json(b'{"x":', b'{"a":', GIGABYTE // 24, told=False),
    "json: array of objects": _json(b'{"data":[', b'{"a":1,"b":[2,3]},', GIGABYTE // 8, b"{}]," + _USAGE + b"}"),
    "json: members": _json(b"{", b'"a":1,', GIGABYTE // 1000, _USAGE + b"}"),
    "json: usage over and over": _json(b"{", _USAGE + b",", GIGABYTE // 1000, _USAGE + b"}"),
    "array: of objects": _json(b"[", b'{"a":1},', GIGABYTE // 800, b"{" + _USAGE + b"}]"),
    "array: of one long object": _json(b'[{"a":"', b"abc ", GIGABYTE, b'",' + _USAGE + b"}]"),
    "lines: one": _json(b'{"a":1}\n{"a":"', b"abc ", GIGABYTE // 8, b'"}\n{' + _USAGE + b"}\n"),
    "lines: many": _json(b'{"a":1}\n', b'{"a":1}\n', GIGABYTE // 8, b"{" + _USAGE + b"}\n"),
    "messages: text": _messages(_AWS_TEXT, GIGABYTE // 8),
    "messages: documents": _messages(aws.event("messageStop", b"{}"), GIGABYTE // 200),
    "messages: chunks": _messages(aws.event("chunk", b'{"bytes":"eyJ4IjoxfQ=="}'), GIGABYTE // 200),
    "messages: empty": _messages(aws.message({}, b""), GIGABYTE // 400),
    "messages: of 4 GB": Case(
        _AWS, _AWS_ENDLESS, b"abc ", GIGABYTE, EVENT_BOUND, told=None, error="bad-frame"
    ),
    "messages: long": _messages(_LONG_MESSAGE, GIGABYTE // 8),
    "noise": Case(b"", b"\xff", bytes(range(128, 256)), GIGABYTE),
    "noise under event-stream": Case(_SSE, b"\xff", bytes(range(128, 256)), GIGABYTE // 24),
}  # fmt: skip




class _Packer:
    """Codings applied one after the other, piece by piece."""

    def __init__(self, codes: list[str]) -> None:
        self._steps = [_STEPS[code]() for code in codes]

    def piece(self, data: bytes) -> bytes:
        for pack, _ in self._steps:
            data = pack(data)
        return data

    def finish(self) -> bytes:
        data = b""
        for pack, finish in self._steps:
            data = (pack(data) if data else b"") + finish()
        return data


def _squeezer(wbits: int) -> Callable[[], tuple[Callable[[bytes], bytes], Callable[[], bytes]]]:
    def make() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
        packer = zlib.compressobj(9, wbits=wbits)
        return packer.compress, packer.flush

    return make


def _brotli() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    packer = brotli.Compressor(quality=1)
    return packer.process, packer.finish


def _zstd() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    packer = zstd.ZstdCompressor()
    return packer.compress, packer.flush


_STEPS: Final = {
    "gzip": _squeezer(31), "deflate": _squeezer(15), "raw deflate": _squeezer(-15), "br": _brotli, "zstd": _zstd,
}  # fmt: skip
#: hexadecimal digits, of which half is noise, that make a MiB of blanks compress 200 to 400 times, which is allowed
_NOISE: Final = 6000


def packed(codes: str, size: int, thin: bool) -> Iterator[bytes]:
    """An answer that begins with `START`, in these codings, whose `size` bytes are white space.

    ``thin``: with some noise between, so that it stays within the ratio that is allowed.
    """
    packer = _Packer(codes.split(", "))
    chance = random.Random(size)
    yield packer.piece(START)
    blanks = b"\n" * (_MIB - (_NOISE + 4 if thin else 0))
    for _ in range(max(size // _MIB, 1)):
        yield packer.piece((b": %b\n\n" % chance.randbytes(_NOISE // 2).hex().encode() if thin else b"") + blanks)
    yield packer.finish()


BOMBS: Final = (
    "gzip", "deflate", "raw deflate", "br", "zstd", "gzip, gzip", "gzip, gzip, gzip", "zstd, zstd", "br, br",
    "deflate, br, zstd, gzip",
)  # fmt: skip
THIN: Final = ("gzip", "deflate", "raw deflate", "br", "zstd", "gzip, br")


def _coded(codes: str, thin: bool) -> Case:
    coding = codes.replace("raw ", "").encode()
    bound = DECODER_BOUND * len(codes.split(","))
    error = None if thin else "ratio"
    return Case(_SSE, b"", b"", GIGABYTE // 10, bound, coding=coding, told=(5, None), error=error)


CASES: Final = PLAIN | {f"bomb: {codes}": _coded(codes, False) for codes in BOMBS} | {
    f"thin: {codes}": _coded(codes, True) for codes in THIN
}  # fmt: skip


def _pieces(name: str, size: int, piece: int) -> Iterator[bytes]:
    """The answer, in pieces of about this size, none of them made anew for each."""
    case = CASES[name]
    kind, _, codes = name.partition(": ")
    if kind in ("bomb", "thin"):
        body = b"".join(packed(codes, size, kind == "thin"))
        return (body[at : at + piece] for at in range(0, len(body), piece))
    rest = case.rest * max(piece // len(case.rest), 1)
    parts = [rest[at : at + piece] for at in range(0, len(rest), piece)]
    return chain([case.first], chain.from_iterable(repeat(parts, max(size // len(rest), 1))), [case.last])


def _forget_peak() -> int:
    """Begin to measure anew; the size of this process now, in bytes."""
    gc.collect()
    with suppress(AttributeError, OSError):  # glibc: what making the answer has left must not hide what reading it takes
        CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak
    return _peak()


def _peak() -> int:
    """The largest size of this process since it was asked to forget it, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not tell the largest size of a process")


def read(name: str, size: int, piece: int) -> Measured:
    """Read one case in this process."""
    case = CASES[name]
    pieces = _pieces(name, size, piece)
    scanner = Scanner(case.content_type, case.coding, DecoderMemory())
    total = sum(map(len, _pieces(name, size, piece)))
    fed = 0
    half = 0.0
    passed = True
    before = _forget_peak()
    start = time.process_time()
    for part in pieces:
        passed &= scanner.feed(part)
        fed += len(part)
        if not half and 2 * fed >= total:
            half = time.process_time() - start
    decoded = scanner.decoded
    scanner.finish()
    whole = time.process_time() - start
    grown = _peak() - before
    usage = scanner.reading.usage
    told = None if usage is None else (usage.input_tokens, usage.output_tokens)
    return Measured(fed, decoded, half, whole, grown, told, scanner.reading.errors, passed)


def measured(name: str, size: int, piece: int = PIECE) -> Measured:
    """Read one case in a process of its own."""
    command = [sys.executable, "-m", "tests.core.hostile", name, str(size), str(piece)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2])
    return msgspec.json.decode(done.stdout, type=Measured)


def main(arguments: list[str]) -> None:
    """Read the case that is named, or all of them."""
    if arguments:
        name, size, piece = arguments
        print(msgspec.json.encode(read(name, int(size), int(piece))).decode())
        return
    print(f"{'case':36} {'MB read':>8} {'MB/s':>7} {'2n/n':>5} {'grew KiB':>9}  bound KiB, errors")
    for name, case in CASES.items():
        seen = measured(name, int(os.environ.get("AWFPROXY_HOSTILE_BYTES", GIGABYTE)))
        speed = seen.decoded / max(seen.whole, 1e-9) / 1e6
        print(
            f"{name:36} {seen.decoded / 1e6:8.0f} {speed:7.0f} {seen.whole / max(seen.half, 1e-9):5.2f}"
            f" {seen.grown // 1024:9}  {case.bound // 1024} {seen.errors or ''}"
        )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])

"""Answers in content codings: each coding and chain, missing and wrong headers, cut at every byte, with things behind."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import permutations

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.core.decoders import CHAIN_MAX, DecoderMemory, zstd
from awfproxy.core.scanner import Scanner

from .parsers import CODINGS, event, figures, pieces, raw_deflate
from .test_decoders import PACKERS

_EVENTS = [
    event({"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 5, "output_tokens": 1}}}),
    event({"type": "content_block_delta", "delta": {"text": "the word usage: {\"output_tokens\": 99}"}}),
    event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
    event({"type": "message_stop"}),
]
_MEMBERS = [
    b'{"model":"claude","type":"message",',
    b'"content":[{"text":"\\"usage\\": {\\"output_tokens\\": 99}"}],',
    b'"usage":{"input_tokens":5,"output_tokens":7}',
    b',"id":"msg_1"}',
]
ANSWERS: dict[str, tuple[bytes, list[bytes]]] = {
    "events": (b"text/event-stream", _EVENTS),
    "json": (b"application/json", _MEMBERS),
}
NAMED = st.sampled_from(sorted(PACKERS))


def scan(content_type: bytes, coding: bytes, parts: list[bytes]) -> Scanner:
    """A scanner that has read all of it; its memory has come back."""
    memory = DecoderMemory()
    scanner = Scanner(content_type, coding, memory)
    for part in parts:
        scanner.feed(part)
    scanner.finish()
    assert memory.free == memory.limit
    return scanner


def told(scanner: Scanner) -> tuple[int | None, int | None, bool]:
    """Input, output, and whether they are final."""
    usage = scanner.reading.usage
    return (None, None, False) if usage is None else (usage.input_tokens, usage.output_tokens, scanner.reading.final)


@settings(max_examples=200, deadline=None)
@given(name=NAMED, kind=st.sampled_from(sorted(ANSWERS)), cuts=st.lists(st.integers(0, 600), max_size=8), typed=st.booleans())
def test_every_coding_of_every_framing_at_any_split(name: str, kind: str, cuts: list[int], typed: bool) -> None:
    """The figures are those of the plain body, with and without a content type."""
    content_type, parts = ANSWERS[kind]
    names, pack = PACKERS[name]
    hint = content_type if typed else b""
    scanner = scan(hint, names, pieces(pack(b"".join(parts)), cuts))
    assert told(scanner) == (5, 7, True)
    assert figures(scanner.reading) == figures(scan(hint, b"", [b"".join(parts)]).reading)


@settings(max_examples=100, deadline=None)
@given(
    shown=st.sampled_from(["gzip", "zstd", "deflate", "gzip members", "zstd frames"]),
    header=st.sampled_from([b"", b"identity", b"gzip", b"br", b"zstd", b"deflate", b"x-gzip"]),
    kind=st.sampled_from(sorted(ANSWERS)),
    cuts=st.lists(st.integers(0, 600), max_size=5),
)
def test_a_missing_or_wrong_header_is_no_harm(shown: str, header: bytes, kind: str, cuts: list[int]) -> None:
    """gzip, zstd and zlib show themselves, whatever the header says."""
    content_type, parts = ANSWERS[kind]
    packed = PACKERS[shown][1](b"".join(parts))
    assert told(scan(content_type, header, pieces(packed, cuts))) == (5, 7, True)


@settings(max_examples=100, deadline=None)
@given(
    header=st.sampled_from([b"gzip", b"deflate", b"br", b"zstd", b"gzip, br", b"unheard-of"]),
    kind=st.sampled_from(sorted(ANSWERS)),
    cuts=st.lists(st.integers(0, 600), max_size=5),
)
def test_a_plain_body_under_the_header_of_a_coding_is_read(header: bytes, kind: str, cuts: list[int]) -> None:
    """Servers decode on the way and leave the header."""
    content_type, parts = ANSWERS[kind]
    assert told(scan(content_type, header, pieces(b"".join(parts), cuts))) == (5, 7, True)


@pytest.mark.parametrize("kind", sorted(ANSWERS))
@pytest.mark.parametrize("count", range(1, CHAIN_MAX + 1))
def test_chains_in_every_order(kind: str, count: int) -> None:
    """All orders of up to `CHAIN_MAX` codings, whole and in pieces of seven bytes; one more than that is not undone."""
    content_type, parts = ANSWERS[kind]
    for names in permutations(sorted(CODINGS), count):
        body = b"".join(parts)
        for name in names:
            body = CODINGS[name](body)
        header = ", ".join(names).encode()
        for step in (len(body), 7):
            scanner = scan(content_type, header, [body[at : at + step] for at in range(0, len(body), step)])
            assert told(scanner) == (5, 7, True), names
    scanner = scan(content_type, b"gzip, " * CHAIN_MAX + b"br", [b"\x1b\0\0\0" * 9])
    assert scanner.reading.errors == {"encoding": 1}


def _deflated(wbits: int) -> Callable[[list[bytes]], Iterator[bytes]]:
    def pack(parts: list[bytes]) -> Iterator[bytes]:
        packer = zlib.compressobj(wbits=wbits)
        for part in parts:
            yield packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield packer.flush()

    return pack


def _brotli(parts: list[bytes]) -> Iterator[bytes]:
    packer = brotli.Compressor()
    for part in parts:
        yield packer.process(part) + packer.flush()
    yield packer.finish()


def _zstd(parts: list[bytes]) -> Iterator[bytes]:
    packer = zstd.ZstdCompressor()
    for part in parts:
        yield packer.compress(part, packer.FLUSH_BLOCK)
    yield packer.flush()


FLUSHED: dict[str, tuple[bytes, Callable[[list[bytes]], Iterator[bytes]]]] = {
    "gzip": (b"gzip", _deflated(31)),
    "deflate": (b"deflate", _deflated(15)),
    "raw deflate": (b"deflate", _deflated(-15)),
    "br": (b"br", _brotli),
    "zstd": (b"zstd", _zstd),
}
#: input, output and whether they are final, when so many parts have come whole (the last is the coding's own end); when
#: the next has come in part it is this or what stands there next
KNOWN = {
    "events": [(None, None, False), *[(5, 1, False)] * 2, *[(5, 7, True)] * 3],
    "json": [*[(None, None, False)] * 3, (5, 7, False), *[(5, 7, True)] * 2],
}


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize("kind", sorted(ANSWERS))
@pytest.mark.parametrize("name", sorted(FLUSHED))
def test_a_body_cut_at_every_byte_tells_what_came(name: str, kind: str, step: int) -> None:
    """Figures of what a server had flushed are read, and final only if the terminal ones came."""
    content_type, parts = ANSWERS[kind]
    names, pack = FLUSHED[name]
    flushed = list(pack(parts))
    ends = [sum(map(len, flushed[: number + 1])) for number in range(len(flushed))]
    body = b"".join(flushed)
    for cut in range(len(body) + 1):
        head = body[:cut]
        scanner = scan(content_type, names, [head[at : at + step] for at in range(0, cut, step)])
        whole = sum(end <= cut for end in ends)
        assert told(scanner) in KNOWN[kind][whole : whole + 2], cut


@pytest.mark.parametrize("garbage", [b"\0", b"\r\n", b"garbage that is longer", b"\xff" * 3000])
@pytest.mark.parametrize("kind", sorted(ANSWERS))
@pytest.mark.parametrize("name", sorted(FLUSHED))
def test_what_follows_a_coded_body_is_no_harm(name: str, kind: str, garbage: bytes) -> None:
    """In the same piece as its end, in the next, byte by byte: the figures are final, and no error is counted."""
    content_type, parts = ANSWERS[kind]
    names, pack = FLUSHED[name]
    body = b"".join(pack(parts))
    for split in ([body + garbage], [body, garbage], [body[:-1], body[-1:] + garbage[:1], garbage[1:]]):
        scanner = scan(content_type, names, split)
        assert told(scanner) == (5, 7, True)
        assert scanner.reading.errors == {}


@pytest.mark.parametrize("kind", sorted(ANSWERS))
@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_a_wrong_checksum_is_counted_and_the_figures_stand(name: str, kind: str) -> None:
    """The text was whole, and its figures are believed; a stream is committed at its terminal event, before that."""
    content_type, parts = ANSWERS[kind]
    body = CODINGS[name](b"".join(parts))
    scanner = scan(content_type, name.encode(), [body[:-1] + bytes([body[-1] ^ 1])])
    assert told(scanner) == (5, 7, True)
    assert scanner.reading.errors == ({"decode": 1} if kind == "json" else {})


def test_the_two_forms_of_deflate_are_told_apart() -> None:
    """By their first bytes, of which the second may come later."""
    body = b"".join(_MEMBERS)
    for packed in (zlib.compress(body), raw_deflate(body), zlib.compress(body, 0), zlib.compress(body, wbits=9)):
        assert told(scan(b"", b"deflate", [packed[:1], packed[1:2], packed[2:]])) == (5, 7, True)

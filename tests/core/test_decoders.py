"""Content codings undone piece by piece, in bounded memory."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.core.decoders import (
    RATIO_MAX,
    STEP,
    WINDOW_MAX,
    DecoderMemory,
    Undecodable,
    brotli_window_log,
    chain,
    codings,
    decode_body,
    is_zlib,
    sniff,
    zstd,
    zstd_window,
)

from .parsers import CODINGS, pieces, raw_deflate

PACKERS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    **{name: (name.encode(), pack) for name, pack in CODINGS.items()},
    "raw deflate": (b"deflate", raw_deflate),
    "x-gzip": (b"x-gzip", gzip.compress),
    "gzip members": (
        b"gzip",
        lambda data: gzip.compress(data[:50]) + gzip.compress(b"") + gzip.compress(data[50:]) + b"\0\0",
    ),
    "zstd frames": (b"zstd", lambda data: zstd.compress(data[:50]) + zstd.compress(data[50:])),
    "zstd with a skippable frame": (b"zstd", lambda data: b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd.compress(data)),
    "gzip, then br": (b"gzip, br", lambda data: brotli.compress(gzip.compress(data))),
    "identity around zstd": (b"identity, zstd,identity", zstd.compress),
}


def unpack(names: bytes, parts: list[bytes], memory: DecoderMemory | None = None) -> list[bytes]:
    """The decoded pieces.  Raises Undecodable."""
    decoders = chain(codings(names), memory or DecoderMemory())
    assert decoders is not None
    try:
        return [piece for part in parts for piece in decoders.decode(part)]
    finally:
        decoders.close()


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(PACKERS)),
    body=st.one_of(st.binary(max_size=500), st.binary(min_size=1, max_size=20).map(lambda piece: piece * 9000)),
    cuts=st.lists(st.integers(0, 5000), max_size=10),
)
def test_what_was_packed_comes_out_at_any_split(name: str, body: bytes, cuts: list[int]) -> None:
    """Each coding and chain, in steps of bounded size, and all memory comes back."""
    names, pack = PACKERS[name]
    memory = DecoderMemory()
    out = unpack(names, pieces(pack(body), cuts), memory)
    assert b"".join(out) == body
    assert all(len(piece) <= 4 * STEP for piece in out)
    assert memory.free == memory.limit
    assert decode_body(pack(body), names, len(body)) == body


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(CODINGS)), keep=st.integers(0, 3000))
def test_cut_input_gives_what_could_be_read(name: str, keep: int) -> None:
    """A beginning of the body, and no error; a request's body is refused."""
    body = b"".join(b"data: %d\n\n" % number for number in range(2000))
    packed = CODINGS[name](body)[:keep]
    assert body.startswith(b"".join(unpack(name.encode(), [packed])))
    if packed and keep < len(CODINGS[name](body)):
        assert decode_body(packed, name.encode(), len(body)) is None


@pytest.mark.parametrize("pack", [*CODINGS.values(), lambda body: brotli.compress(body, quality=1)])
def test_output_that_waits_in_a_decoder_is_asked_for(pack: Callable[[bytes], bytes]) -> None:
    """br takes all its input at once and still has output left: the end of a long answer, with its usage, is not lost."""
    body = b"".join(b'data: {"delta":"%d"}\n\n' % (number * 7919 % 10007) for number in range(15_000))
    packed = pack(body)
    name = next((name for name, other in CODINGS.items() if other is pack), "br")
    for step in (len(packed), 4096, 100):
        parts = [packed[at : at + step] for at in range(0, len(packed), step)]
        assert b"".join(unpack(name.encode(), parts)) == body


def test_flushed_events_come_out_at_once() -> None:
    """A server that flushes after each event: each can be read when it comes."""
    packer = zlib.compressobj(wbits=31)
    decoders = chain([b"gzip"], DecoderMemory())
    assert decoders is not None
    for number in range(5):
        event = b"data: %d\n\n" % number
        packed = packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(decoders.decode(packed)) == event


BOMBS = {
    "gzip": gzip.compress(bytes(1 << 25)),
    "deflate": zlib.compress(bytes(1 << 25)),
    "br": brotli.compress(bytes(1 << 25)),
    "zstd": zstd.compress(bytes(1 << 25)),
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bomb_is_stopped_in_fixed_memory(name: str) -> None:
    """32 MB of zeros: the ratio ends it; what was made by then stays under 2 MB at any time."""
    decoders = chain([name.encode()], DecoderMemory())
    assert decoders is not None
    made = 0
    tracemalloc.start()
    with pytest.raises(Undecodable, match="ratio"):  # noqa: PT012
        for piece in decoders.decode(BOMBS[name]):
            made += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 1024 * 1024
    assert made <= max(RATIO_MAX * len(BOMBS[name]), 1 << 20) + 4 * STEP


def test_many_members_take_linear_time() -> None:
    """20,000 empty gzip members in one piece are no quadratic copying of the rest."""

    def spent(count: int) -> float:
        body = gzip.compress(b"") * count
        start = time.process_time()
        assert unpack(b"gzip", [body]) == []
        return time.process_time() - start

    assert any(spent(20_000) < 30 * max(spent(2_000), 0.001) for _ in range(3))


@pytest.mark.parametrize("name", sorted(CODINGS))
def test_what_is_not_of_the_coding_is_undecodable(name: str) -> None:
    """Noise, and damage in the middle, raise the one error there is."""
    with pytest.raises(Undecodable) as raised:
        unpack(name.encode(), [b"\xff\xfenoise that is no stream at all"])
    assert raised.value.reason in ("decode", "decoder-memory")
    packed = CODINGS[name](bytes(range(256)) * 30)
    broken = packed[:20] + bytes(byte ^ 0x5A for byte in packed[20:40]) + packed[40:]
    assert decode_body(broken, name.encode(), 1 << 20) != bytes(range(256)) * 30


def test_memory_is_lent_and_refused() -> None:
    """A decoder that gets none does not start; one more after another has given back does."""
    packed = gzip.compress(b"text")
    memory = DecoderMemory(64 * 1024)
    first = chain([b"gzip"], memory)
    second = chain([b"gzip"], memory)
    assert first is not None
    assert second is not None
    assert b"".join(first.decode(packed)) == b"text"
    with pytest.raises(Undecodable, match="decoder-memory"):
        list(second.decode(packed))
    first.close()
    first.close()
    assert memory.free == memory.limit
    assert unpack(b"gzip", [packed], memory) == [b"text"]


def test_windows_over_the_bound_are_refused() -> None:
    """br with 16 MiB, zstd with 128 MiB: not decoded, whatever memory there is."""
    with pytest.raises(Undecodable, match="decoder-memory"):
        unpack(b"br", [brotli.compress(b"x" * 100_000, lgwin=24)])
    large = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    packed = large.compress(b"x" * 100_000) + large.flush()
    with pytest.raises(Undecodable, match="decoder-memory"):
        unpack(b"zstd", [packed[:3], packed[3:]])


@pytest.mark.parametrize("log", range(10, 25))
def test_the_window_of_br_is_told_by_its_first_byte(log: int) -> None:
    """RFC 7932 section 9.1, against the encoder (which may choose a smaller one)."""
    assert brotli_window_log(brotli.compress(bytes(1 << 20), lgwin=log)[0]) <= max(log, 16)


@pytest.mark.parametrize(("log", "window"), [(10, 1 << 10), (17, 1 << 17), (23, 1 << 23), (27, 1 << 27)])
def test_the_window_of_zstd_is_told_by_its_header(log: int, window: int) -> None:
    """RFC 8878 section 3.1.1.1, against the encoder."""
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    packed = packer.compress(b"abc", packer.FLUSH_BLOCK)
    assert zstd_window(packed) == window
    assert [zstd_window(packed[:size]) for size in range(6)] == [None] * 6
    single = zstd.compress(b"abc" * 1000)
    assert zstd_window(single) == 3000
    assert zstd_window(b"text") == -1
    assert WINDOW_MAX == 1 << 23


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (b"", []),
        (b"identity", []),
        (b"GZIP", [b"gzip"]),
        (b" gzip , br,", [b"gzip", b"br"]),
        (b"aws-chunked", [b"aws-chunked"]),
    ],
)
def test_names_of_codings(header: bytes, names: list[bytes]) -> None:
    """Case and empty elements do not matter (RFC 9110 section 8.4)."""
    assert codings(header) == names


def test_unknown_or_endless_chains_are_not_undone() -> None:
    """An unknown coding, or more of them than anyone applies."""
    assert chain([b"compress"], DecoderMemory()) is None
    assert chain([b"gzip"] * 5, DecoderMemory()) is None
    assert decode_body(b"x", b"compress", 100) is None


def test_a_request_body_has_a_limit() -> None:
    """One byte more than the limit is too much, decoded or plain."""
    assert decode_body(b"abc", b"", 3) == b"abc"
    assert decode_body(b"abc", b"", 2) is None
    assert decode_body(gzip.compress(b"abc"), b"gzip", 2) is None
    assert decode_body(gzip.compress(bytes(10**8)), b"gzip", 10**9) is None


def test_codings_are_told_by_their_first_bytes() -> None:
    """gzip, zstd and zlib show themselves; text does not look like them."""
    assert sniff(gzip.compress(b"")) == b"gzip"
    assert sniff(zstd.compress(b"")) == b"zstd"
    assert [sniff(zlib.compress(b"", level)) for level in (0, 1, 6, 9)] == [b"deflate"] * 4
    for text in (b"{", b"[", b"data: ", b"x", b"xyz", b"(x)", b""):
        assert sniff(text) is None
    assert is_zlib(zlib.compress(b"a"))
    assert not is_zlib(raw_deflate(b"a"))

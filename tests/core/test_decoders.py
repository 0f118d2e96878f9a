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
    INPUT_STEP,
    KEPT_MAX,
    MEMBERS_FLOOR,
    RATIO_FLOOR,
    RATIO_MAX,
    STEP,
    DecoderMemory,
    Undecodable,
    chain,
    codings,
    decode_body,
    zstd,
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


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_many_members_take_linear_time(name: str) -> None:
    """20,000 small gzip members, or zstd frames, in one piece are no quadratic copying of the rest."""
    member = CODINGS[name](bytes(range(64)))

    def spent(count: int) -> float:
        body = member * count
        start = time.process_time()
        assert sum(map(len, unpack(name.encode(), [body]))) == 64 * count
        return time.process_time() - start

    assert any(spent(20_000) < 30 * max(spent(2_000), 0.001) for _ in range(3))


@pytest.mark.parametrize(
    "member",
    [gzip.compress(b""), zstd.compress(b""), b"\x50\x2a\x4d\x18\0\0\0\0"],
    ids=["gzip", "zstd", "skippable zstd"],
)
def test_endless_empty_members_are_stopped(member: bytes) -> None:
    """Each costs 10 µs for 8 to 20 bytes: more than an event of its own for each member would bring end the decoding."""
    name = b"gzip" if member.startswith(b"\x1f") else b"zstd"
    assert unpack(name, [member * MEMBERS_FLOOR]) == []
    with pytest.raises(Undecodable, match="ratio"):
        unpack(name, [member * 2 * MEMBERS_FLOOR])


@pytest.mark.parametrize("inner", sorted(CODINGS))
@pytest.mark.parametrize("outer", sorted(CODINGS))
def test_the_ratio_is_that_of_the_whole_chain(inner: str, outer: str) -> None:
    """Two codings of 400:1 each are 160,000:1: what comes out is bounded by what was transferred."""
    body = CODINGS[outer](CODINGS[inner](bytes(1 << 25)))
    decoders = chain([inner.encode(), outer.encode()], DecoderMemory())
    assert decoders is not None
    made = 0
    with pytest.raises(Undecodable, match="ratio"):  # noqa: PT012
        for piece in decoders.decode(body):
            made += len(piece)
    assert made <= max(RATIO_FLOOR, RATIO_MAX * min(len(body), INPUT_STEP)) + 4 * STEP


GARBAGE = [b"\0", b"\0\0\0\0", b"x", b"\r\n", b"garbage " * 20, b"(\xb5", b"\x1f"]


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["gzip", "deflate", "br", "zstd", "raw deflate"]),
    garbage=st.sampled_from(GARBAGE),
    again=st.booleans(),
    cuts=st.lists(st.integers(0, 600), max_size=6),
)
def test_what_follows_the_end_is_passed_over(name: str, garbage: bytes, again: bool, cuts: list[int]) -> None:
    """At any split; and a member after garbage is garbage too."""
    names, pack = PACKERS[name]
    body = b"".join(b"data: %d\n\n" % number for number in range(50))
    packed = pack(body) + garbage + (pack(b"not this") if again and not garbage.isspace() and garbage[0] else b"")
    assert b"".join(unpack(names, pieces(packed, cuts))) == body


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(CODINGS)),
    at=st.integers(4, 10_000),
    by=st.integers(1, 255),
    cuts=st.lists(st.integers(0, 10_000), max_size=6),
)
def test_what_comes_before_the_damage_is_read_at_any_split(name: str, at: int, by: int, cuts: list[int]) -> None:
    """A byte of a small body is changed: what comes out, and why it ends, does not depend on the pieces."""
    packed = bytearray(CODINGS[name](b"".join(b"data: %d\n\n" % (number * 7919 % 10007) for number in range(300))))
    packed[at % len(packed)] ^= by
    assert len(packed) < KEPT_MAX

    def out(parts: list[bytes]) -> tuple[bytes, str | None]:
        decoders = chain([name.encode()], DecoderMemory())
        assert decoders is not None
        read = b""
        try:
            for part in parts:
                for piece in decoders.decode(part):
                    read += piece
        except Undecodable as error:
            return read, error.reason
        return read, None

    assert out(pieces(bytes(packed), cuts)) == out([bytes(packed)])


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_a_wrong_checksum_loses_nothing_of_a_small_body(name: str) -> None:
    """zlib says so in the call that decodes the end of the body, which would be lost with it."""
    body = b"".join(b"data: %d\n\n" % number for number in range(100))
    packed = CODINGS[name](body)
    out = b""
    with pytest.raises(Undecodable, match="decode"):  # noqa: PT012
        decoders = chain([name.encode()], DecoderMemory())
        assert decoders is not None
        for piece in decoders.decode(packed[:-4] + bytes(byte ^ 1 for byte in packed[-4:])):
            out += piece
    assert out == body


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
    # the encoder's own extension of br, with windows up to 1 GB: a first byte that RFC 7932 does not allow
    with pytest.raises(Undecodable, match="decoder-memory"):
        unpack(b"br", [b"\x11\x1e" + bytes(100)])
    # a frame that says 3.75 TB, the largest that can be said (RFC 8878 section 3.1.1.1.2), in single bytes
    with pytest.raises(Undecodable, match="decoder-memory"):
        unpack(b"zstd", [b"\x28", b"\xb5", b"\x2f", b"\xfd", b"\0", b"\xff", b"\0"])


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

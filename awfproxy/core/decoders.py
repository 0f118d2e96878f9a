"""Content codings undone on the side, piece by piece: gzip, deflate (zlib's and raw), br, zstd, and chains of them.

* Output comes in bounded steps, whatever the input promises; more than `RATIO_MAX` times the input ends the decoding.
* A decoder's window is at most `WINDOW_MAX`; what all decoders of the process may need together is lent by one
  `DecoderMemory`, and a decoder that gets none does not start.
* Cut-off input gives what could be read.  Several gzip members or zstd frames in a row are one body (RFC 1952 section
  2.2, RFC 8878 section 3.1).
* What cannot be decoded raises `Undecodable`, with a short reason, and nothing else.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

#: All decoders of the process together: 32 of the largest, or 5,000 of gzip.
MEMORY_MAX = 256 * 1024 * 1024
#: The largest window, as RFC 8878 section 3.1.1.1.2 recommends for decoders; br's largest common one is 4 MiB.
WINDOW_LOG_MAX = 23
WINDOW_MAX = 1 << WINDOW_LOG_MAX
#: zlib's inflate state and window, as measured.
INFLATE_MEMORY = 48 * 1024
#: What a br or zstd decoder needs beside its window, as measured.
TABLES_MEMORY = 384 * 1024
#: Output is asked for in steps of this size, input is given in these.
STEP = 64 * 1024
INPUT_STEP = 16 * 1024
#: Output beyond this many times the input is an attack, not an answer; gzip itself cannot exceed 1032.
RATIO_MAX = 500
#: Up to here any ratio is fine: white space that keeps a connection alive compresses without end.
RATIO_FLOOR = 1024 * 1024
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
#: More codings in one chain than any server applies.
CHAIN_MAX = 4


class Undecodable(Exception):
    """The body cannot be decoded (further): "decode", "decoder-memory", "encoding" or "ratio"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DecoderMemory:
    """The bytes that decoders may use together; one per process."""

    __slots__ = ("free", "limit")

    def __init__(self, limit: int = MEMORY_MAX) -> None:
        self.limit = limit
        self.free = limit

    def take(self, n: int) -> bool:
        """Borrow `n` bytes; False when they are not there."""
        if n > self.free:
            return False
        self.free -= n
        return True

    def give(self, n: int) -> None:
        """Return `n` bytes."""
        self.free += n


class Decoder:
    """One coding.  Feed it pieces; it yields the decoded ones, each of about `STEP` bytes at most."""

    __slots__ = ("_lent", "_memory", "_read", "_written", "complete")

    def __init__(self, memory: DecoderMemory) -> None:
        self._memory = memory
        self._lent = 0
        self._read = 0
        self._written = 0
        #: the coded body has come to its end
        self.complete = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next piece.  Raises Undecodable."""
        for at in range(0, len(data), INPUT_STEP):
            part = data[at : at + INPUT_STEP]
            self._read += len(part)
            try:
                for piece in self._decode(part):
                    self._written += len(piece)
                    if self._written > RATIO_FLOOR and self._written > RATIO_MAX * self._read:
                        raise Undecodable("ratio")
                    if piece:
                        yield piece
            except (zlib.error, brotli.error, zstd.ZstdError, EOFError, MemoryError) as error:
                raise Undecodable("decode") from error

    def close(self) -> None:
        """Give the memory back; nothing can be decoded after it."""
        self._memory.give(self._lent)
        self._lent = 0
        self.complete = True

    def _borrow(self, n: int) -> None:
        """Have `n` bytes lent from now on."""
        if n > WINDOW_MAX + TABLES_MEMORY or not self._memory.take(n - self._lent):
            raise Undecodable("decoder-memory")
        self._lent = n

    def _decode(self, data: bytes) -> Iterator[bytes]:
        raise NotImplementedError


class Inflate(Decoder):
    """gzip (RFC 1952) with several members, and what the HTTP coding ``deflate`` stands for: zlib or raw."""

    __slots__ = ("_pending", "_unpacker", "_wbits")

    def __init__(self, memory: DecoderMemory, wbits: int | None) -> None:
        """`wbits` as zlib's: 31 for gzip, 15 for zlib, -15 for raw; None: zlib if its header is there, else raw."""
        super().__init__(memory)
        self._wbits = wbits
        self._unpacker: zlib._Decompress | None = None
        #: the first bytes of a member that is not begun
        self._pending = b""

    def _decode(self, data: bytes) -> Iterator[bytes]:
        data = self._pending + data
        self._pending = b""
        while data and not (self.complete and self._wbits != 31):
            if self._unpacker is None:
                if self.complete:
                    data = data.lstrip(b"\0")  # members may be padded
                if len(data) < 2:
                    self._pending = data
                    return
                if self.complete and not data.startswith(b"\x1f\x8b"):
                    return  # garbage after the last member
                if self._wbits is None:
                    self._wbits = 15 if is_zlib(data) else -15
                if not self._lent:
                    self._borrow(INFLATE_MEMORY)
                self.complete = False
                self._unpacker = zlib.decompressobj(wbits=self._wbits)
            unpacker = self._unpacker
            out = unpacker.decompress(data, STEP)
            yield out
            while not unpacker.eof and (unpacker.unconsumed_tail or len(out) == STEP):
                out = unpacker.decompress(unpacker.unconsumed_tail, STEP)
                yield out
            data = b""
            if unpacker.eof:
                data = unpacker.unused_data
                self._unpacker = None
                self.complete = True


class Brotli(Decoder):
    """br (RFC 7932)."""

    __slots__ = ("_unpacker",)

    def __init__(self, memory: DecoderMemory) -> None:
        super().__init__(memory)
        self._unpacker: brotli.Decompressor | None = None

    def _decode(self, data: bytes) -> Iterator[bytes]:
        if self.complete:
            return
        if self._unpacker is None:
            log = brotli_window_log(data[0])
            if log > WINDOW_LOG_MAX:
                raise Undecodable("decoder-memory")
            self._borrow((1 << log) + TABLES_MEMORY)
            self._unpacker = brotli.Decompressor()
        unpacker = self._unpacker
        piece = unpacker.process(data, output_buffer_limit=STEP)
        # input that was taken whole may still have output waiting, and only asking tells
        while piece or not (unpacker.can_accept_more_data() or unpacker.is_finished()):
            yield piece
            piece = b"" if unpacker.is_finished() else unpacker.process(b"", output_buffer_limit=STEP)
        self.complete = unpacker.is_finished()


class Zstandard(Decoder):
    """zstd (RFC 8878) with several frames."""

    __slots__ = ("_pending", "_unpacker")

    def __init__(self, memory: DecoderMemory) -> None:
        super().__init__(memory)
        self._unpacker: zstd.ZstdDecompressor | None = None
        #: the first bytes of a frame, until its window is known
        self._pending = b""

    def _decode(self, data: bytes) -> Iterator[bytes]:
        data = self._pending + data
        self._pending = b""
        while data:
            if self._unpacker is None:
                window = zstd_window(data)
                if window is None:
                    self._pending = data
                    return
                if window < 0:
                    if self.complete:
                        return  # garbage after the last frame
                    raise Undecodable("decode")
                if window > WINDOW_MAX:
                    raise Undecodable("decoder-memory")
                self._borrow(max(self._lent, window + TABLES_MEMORY))
                self.complete = False
                self._unpacker = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
            unpacker = self._unpacker
            yield unpacker.decompress(data, max_length=STEP)
            while not unpacker.eof and not unpacker.needs_input:
                yield unpacker.decompress(b"", max_length=STEP)
            data = b""
            if unpacker.eof:
                data = unpacker.unused_data
                self._unpacker = None
                self.complete = True


class Chain:
    """The codings of one body, undone in reverse order."""

    __slots__ = ("_decoders",)

    def __init__(self, decoders: list[Decoder]) -> None:
        self._decoders = decoders

    @property
    def complete(self) -> bool:
        """Every coding has come to its end."""
        return all(decoder.complete for decoder in self._decoders)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next piece.  Raises Undecodable."""
        return self._decode(data, 0)

    def _decode(self, data: bytes, index: int) -> Iterator[bytes]:
        if index == len(self._decoders) - 1:
            yield from self._decoders[index].decode(data)
        else:
            for piece in self._decoders[index].decode(data):
                yield from self._decode(piece, index + 1)

    def close(self) -> None:
        """Give the memory back."""
        for decoder in self._decoders:
            decoder.close()


_BY_NAME: dict[bytes, Callable[[DecoderMemory], Decoder]] = {
    b"gzip": lambda memory: Inflate(memory, 31),
    b"x-gzip": lambda memory: Inflate(memory, 31),
    b"deflate": lambda memory: Inflate(memory, None),
    b"br": Brotli,
    b"zstd": Zstandard,
}


def codings(header: bytes) -> list[bytes]:
    """The codings that a Content-Encoding names, in the order applied; ``identity`` is none (RFC 9110 section 8.4)."""
    names = (name.strip().lower() for name in header.split(b","))
    return [name for name in names if name and name != b"identity"]


def chain(names: list[bytes], memory: DecoderMemory) -> Chain | None:
    """What undoes these codings; None when one is not known."""
    if len(names) > CHAIN_MAX or not all(name in _BY_NAME for name in names):
        return None
    return Chain([_BY_NAME[name](memory) for name in reversed(names)])


def decode_body(data: bytes, encodings: bytes, limit: int) -> bytes | None:
    """A whole body decoded.

    `encodings` is its Content-Encoding, `limit` the longest result in bytes.  None: it cannot be decoded, is cut off,
    or is longer.
    """
    names = codings(encodings)
    if not names:
        return data if len(data) <= limit else None
    decoders = chain(names, DecoderMemory((WINDOW_MAX + TABLES_MEMORY) * CHAIN_MAX))
    if decoders is None:
        return None
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in decoders.decode(data):
            size += len(piece)
            if size > limit:
                return None
            pieces.append(piece)
    except Undecodable:
        return None
    return b"".join(pieces) if decoders.complete else None


def is_zlib(data: bytes) -> bool:
    """Does it begin with a zlib header (RFC 1950 section 2.2)?"""
    return len(data) >= 2 and data[0] & 0x8F == 0x08 and (data[0] << 8 | data[1]) % 31 == 0


def sniff(head: bytes) -> bytes | None:
    """The coding that the first bytes of a body show; None: none, or one that cannot be told so."""
    if head.startswith(b"\x1f\x8b\x08"):
        return b"gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return b"zstd"
    # Only with zlib's own largest window: other headers might begin a text.
    if head.startswith((b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")):
        return b"deflate"
    return None


def brotli_window_log(first: int) -> int:
    """The logarithm of a br stream's window from its first byte (RFC 7932 section 9.1); 31 for what is not allowed."""
    if not first & 1:
        return 16
    if first & 0x0E:
        return 17 + (first >> 1 & 7)
    rest = first >> 4 & 7
    if rest == 0:
        return 17
    return 31 if rest == 1 else 8 + rest


def zstd_window(head: bytes) -> int | None:
    """The window of a zstd frame in bytes (RFC 8878 section 3.1.1.1); None: needs more bytes; -1: not a frame."""
    if len(head) < 4:
        return None if b"\x28\xb5\x2f\xfd".startswith(head) or head[1:4] == b"\x2a\x4d\x18"[: len(head) - 1] else -1
    magic = int.from_bytes(head[:4], "little")
    if magic & 0xFFFFFFF0 == 0x184D2A50:
        return 0  # a skippable frame
    if magic != 0xFD2FB528:
        return -1
    if len(head) < 18:
        return None if len(head) < _zstd_header(head) else _zstd_window(head)
    return _zstd_window(head)


def _zstd_header(head: bytes) -> int:
    """How many bytes of the header tell the window."""
    if len(head) < 5:
        return 5
    single = head[4] >> 5 & 1
    if not single:
        return 6
    return 5 + (0, 1, 2, 4)[head[4] & 3] + (1, 2, 4, 8)[head[4] >> 6]


def _zstd_window(head: bytes) -> int:
    descriptor = head[4]
    if not descriptor >> 5 & 1:
        base = 1 << (10 + (head[5] >> 3))
        return base + (base >> 3) * (head[5] & 7)
    # A single segment: its window is its content's size.
    at = 5 + (0, 1, 2, 4)[descriptor & 3]
    size = (1, 2, 4, 8)[descriptor >> 6]
    content = int.from_bytes(head[at : at + size], "little")
    return content + 256 if size == 2 else content

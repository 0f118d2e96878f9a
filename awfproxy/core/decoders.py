"""Content codings undone on the side, piece by piece: gzip, deflate (zlib's and raw), br, zstd, and chains of them.

* Output comes in bounded steps, whatever the input promises; more than `RATIO_MAX` times the body as transferred ends
  the decoding, whichever coding of a chain makes it: two that are each within it would make 250,000 times.
* A decoder's window is at most `WINDOW_MAX`; what all decoders of the process may need together is lent by one
  `DecoderMemory`, and a decoder that gets none does not start.
* Cut-off input gives what could be read.  Several gzip members or zstd frames in a row are one body (RFC 1952 section
  2.2, RFC 8878 section 3.1); what follows the last is passed over.
* Reading is the same for every split.  Of damaged input everything before the damage is read, as long as the damage is
  in the first `KEPT_MAX` bytes; further on the last step may be lost.
* What cannot be decoded raises `Undecodable`, with a short reason, and nothing else.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

from .codedheads import brotli_window_log, is_zlib, zstd_window

#: All decoders of the process together: 30 of the largest, or 4,000 of gzip.
MEMORY_MAX = 256 * 1024 * 1024
#: The largest window, as RFC 8878 section 3.1.1.1.2 recommends for decoders; br's largest common one is 4 MiB.
WINDOW_LOG_MAX = 23
WINDOW_MAX = 1 << WINDOW_LOG_MAX
#: The beginning of a coded body that is kept.  The libraries do not give what they decoded in the call that failed, so
#: it is decoded again, byte by byte: a small answer with a wrong checksum, or something behind its end, is read whole.
KEPT_MAX = 16 * 1024
#: zlib's inflate state and window, as measured, and what is kept.
INFLATE_MEMORY = 48 * 1024 + KEPT_MAX
#: What a br or zstd decoder needs beside its window, as measured, and what is kept.
TABLES_MEMORY = 384 * 1024 + KEPT_MAX
#: Output is asked for in steps of this size, input is given in these.
STEP = 64 * 1024
INPUT_STEP = 16 * 1024
#: Output beyond this many times the input is an attack, not an answer; gzip itself cannot exceed 1032.
RATIO_MAX = 500
#: Up to here any ratio is fine: white space that keeps a connection alive compresses without end.
RATIO_FLOOR = 1024 * 1024
#: gzip members or zstd frames: so many are fine, and after them one for so many bytes transferred.  Beginning a frame
#: costs 10 µs, and an empty one has 9 bytes: without a bound 64 KB of them would take 80 ms.
MEMBERS_FLOOR = 1000
MEMBER_BYTES = 64
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
#: More codings in one chain than any server applies.
CHAIN_MAX = 4
_FAULTS = (zlib.error, brotli.error, zstd.ZstdError, EOFError, MemoryError)


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

    __slots__ = ("_kept", "_lent", "_members", "_memory", "_transferred", "_unpacker", "_written", "complete")

    def __init__(self, memory: DecoderMemory) -> None:
        self._memory = memory
        self._lent = 0
        self._members = 0
        self._transferred = 0
        self._written = 0
        #: the library's decoder
        self._unpacker: Any = None
        #: the coded body so far; None: it is too long to be kept
        self._kept: bytearray | None = bytearray()
        #: the coded body has come to its end
        self.complete = False

    def decode(self, data: bytes, transferred: int) -> Iterator[bytes]:
        """Decode the next piece; `transferred`: bytes of the body so far, in all its codings.  Raises Undecodable."""
        self._transferred = transferred
        for at in range(0, len(data), INPUT_STEP):
            part = data[at : at + INPUT_STEP]
            try:
                yield from self._counted(self._decode(part))
            except _FAULTS as error:
                self._unpacker = None
                if self._kept is None:
                    raise Undecodable("decode") from error
                yield from self._counted(self._again(bytes(self._kept), part))
            if self._kept is not None:
                self._kept += part
                if len(self._kept) > KEPT_MAX:
                    self._kept = None

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        limit = max(RATIO_FLOOR, RATIO_MAX * self._transferred)
        for piece in pieces:
            self._written += len(piece)
            if self._written > limit:
                raise Undecodable("ratio")
            if piece:
                yield piece

    def _again(self, before: bytes, part: bytes) -> Iterator[bytes]:
        """What comes out up to the damage in `part`, and has not yet."""
        known = self._written
        fresh = self._anew(DecoderMemory())
        fresh._transferred = self._transferred
        try:
            for piece in filter(None, (before, *(part[at : at + 1] for at in range(len(part))))):
                for out in fresh._decode(piece):
                    yield out[known:]
                    known = max(known - len(out), 0)
        except _FAULTS as error:
            raise Undecodable("decode") from error
        if not fresh.complete:
            raise Undecodable("decode")
        self.complete = True  # it was no damage, but followed the end

    def close(self) -> None:
        """Give the memory back; nothing can be decoded after it."""
        self._memory.give(self._lent)
        self._lent = 0
        self._unpacker = self._kept = None
        self.complete = True

    def _borrow(self, n: int) -> None:
        """Have `n` bytes lent from now on."""
        if n > WINDOW_MAX + TABLES_MEMORY or not self._memory.take(n - self._lent):
            raise Undecodable("decoder-memory")
        self._lent = n

    def _begin_member(self) -> None:
        """A gzip member or zstd frame begins."""
        self._members += 1
        self.complete = False
        if self._members > MEMBERS_FLOOR + self._transferred // MEMBER_BYTES:
            raise Undecodable("ratio")

    def _decode(self, data: bytes) -> Iterator[bytes]:
        raise NotImplementedError

    def _anew(self, memory: DecoderMemory) -> Decoder:
        """A decoder of the same coding, at its beginning."""
        raise NotImplementedError


class Inflate(Decoder):
    """gzip (RFC 1952) with several members, and what the HTTP coding ``deflate`` stands for: zlib or raw."""

    __slots__ = ("_form", "_over", "_pending", "_wbits")

    def __init__(self, memory: DecoderMemory, wbits: int | None) -> None:
        """`wbits` as zlib's: 31 for gzip, 15 for zlib, -15 for raw; None: zlib if its header is there, else raw."""
        super().__init__(memory)
        self._form = self._wbits = wbits
        #: the first bytes of a member that is not begun
        self._pending = b""
        #: what is no member came after the last one
        self._over = False

    def _decode(self, data: bytes) -> Iterator[bytes]:
        data = self._pending + data
        self._pending = b""
        while data and not self._over:
            if self._unpacker is None:
                if self.complete:
                    data = data.lstrip(b"\0")  # members may be padded
                if len(data) < 2:
                    self._pending = data
                    return
                if self.complete and not data.startswith(b"\x1f\x8b"):
                    self._over = True
                    return
                if self._wbits is None:
                    self._wbits = 15 if is_zlib(data) else -15
                if not self._lent:
                    self._borrow(INFLATE_MEMORY)
                self._begin_member()
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
                self._over = self._wbits != 31  # only gzip has members

    def _anew(self, memory: DecoderMemory) -> Decoder:
        return Inflate(memory, self._form)


class Brotli(Decoder):
    """br (RFC 7932)."""

    __slots__ = ()

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

    def _anew(self, memory: DecoderMemory) -> Decoder:
        return Brotli(memory)


class Zstandard(Decoder):
    """zstd (RFC 8878) with several frames."""

    __slots__ = ("_over", "_pending")

    def __init__(self, memory: DecoderMemory) -> None:
        super().__init__(memory)
        #: the first bytes of a frame, until its window is known
        self._pending = b""
        #: what is no frame came after the last one
        self._over = False

    def _decode(self, data: bytes) -> Iterator[bytes]:
        data = self._pending + data
        self._pending = b""
        while data and not self._over:
            if self._unpacker is None:
                window = zstd_window(data)
                if window is None:
                    self._pending = data
                    return
                if window < 0:
                    if self.complete:
                        self._over = True
                        return
                    raise Undecodable("decode")
                if window > WINDOW_MAX:
                    raise Undecodable("decoder-memory")
                self._borrow(max(self._lent, window + TABLES_MEMORY))
                self._begin_member()
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

    def _anew(self, memory: DecoderMemory) -> Decoder:
        return Zstandard(memory)


class Chain:
    """The codings of one body, undone in reverse order."""

    __slots__ = ("_decoders", "_read")

    def __init__(self, decoders: list[Decoder]) -> None:
        self._decoders = decoders
        #: bytes of the body as transferred
        self._read = 0

    @property
    def complete(self) -> bool:
        """Every coding has come to its end."""
        return all(decoder.complete for decoder in self._decoders)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next piece.  Raises Undecodable."""
        for at in range(0, len(data), INPUT_STEP):
            part = data[at : at + INPUT_STEP]
            self._read += len(part)
            yield from self._decode(part, 0)

    def _decode(self, data: bytes, index: int) -> Iterator[bytes]:
        if index == len(self._decoders) - 1:
            yield from self._decoders[index].decode(data, self._read)
        else:
            for piece in self._decoders[index].decode(data, self._read):
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

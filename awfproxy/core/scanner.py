"""The usage scanner: bytes of an answer in, usage out; never in their way.

* What the body is (coding, framing) is told by its first bytes; the headers are a hint.
* `feed` is rebound to the framing's own method as soon as that is known: the steady state is one call.
* No input raises; reading is the same for every split; `finish` may come at any moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from .awsmessage import begins
from .awsstream import AwsEventStream
from .codedheads import sniff
from .decoders import Chain, DecoderMemory, Undecodable, chain, codings
from .jsonbody import JsonBody
from .sample import Sample
from .sse import EventStream
from .usage import Reading, Usage

__all__ = ["DecoderMemory", "Reading", "Scanner", "Usage"]

#: The first bytes that tell a coding that its header names from plain text; white space before it comes on top.
HEAD = 16

#: The first bytes that tell a coding that no header names; what such a body begins with.
_MAGIC = 4
_MAGIC_FIRST = (b"\x1f", b"\x28", b"\x78")
_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
#: How a server-sent event may begin; a comment's colon besides.
_EVENT_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b"data\n", b"data\r")
#: No coding's stream begins so: in br "{" alone is an empty one, but many begin with "[".
_PLAIN = re.compile(rb'\{[\s"}]|\[(?:\s+\{|\s{8}|\{\s*")|data:|event:|id: |: ')


class Framing(Protocol):
    """A body's framing, from its first byte of content on."""

    position: int

    @property
    def hold(self) -> int:
        """Absolute offset from where on nothing may go on; -1: all may."""

    @property
    def cut(self) -> tuple[int, int] | None:
        """What is to be taken out."""

    @property
    def ended(self) -> bool:
        """The terminal event was read."""

    def feed(self, data: bytes) -> bool:
        """Read the next piece."""

    def finish(self) -> None:
        """The body is over."""


class Unread:
    """A body that is not read, or no longer."""

    __slots__ = ("position",)

    hold = -1
    cut = None
    ended = False

    def __init__(self, position: int) -> None:
        self.position = position

    def feed(self, data: bytes) -> bool:
        """Let it pass."""
        self.position += len(data)
        return True

    def finish(self) -> None:
        """Nothing is left."""


class Coded:
    """A body in content codings: decoded on the side, and scanned as what comes out."""

    __slots__ = ("_chain", "_inner", "ended", "hold", "position")

    cut = None

    def __init__(self, position: int, decoders: Chain, inner: Scanner) -> None:
        self.position = position
        #: when the terminal event came: the offset of the piece that completed it
        self.hold = -1
        self.ended = False
        self._chain: Chain | None = decoders
        self._inner = inner

    def feed(self, data: bytes) -> bool:
        """Read the next piece; all of it may go on, unless the terminal event ends in it."""
        start = self.position
        self.position = start + len(data)
        if self._chain is None:
            return not self.ended
        try:
            for piece in self._chain.decode(data):
                self._inner.feed(piece)
                if self._inner.ended:
                    self.ended = True
                    self.hold = start
                    self._close()
                    return False
        except Undecodable as error:
            self._inner.reading.count_error(error.reason)
            self.finish()
        return True

    @property
    def decoded(self) -> int:
        """Bytes that came out."""
        return self._inner.position

    def _close(self) -> None:
        if self._chain is not None:
            self._chain.close()
            self._chain = None

    def finish(self) -> None:
        """The body is over: read what has come out."""
        self._close()
        self._inner.finish()


class Scanner:
    """Reads one answer's body.

    Offsets count body bytes as transferred, from 0.  After `feed` returned False, or `finish`, look at `safe`, `cut`
    and `ended`.
    """

    __slots__ = (
        "_codings", "_framed", "_head", "_hint", "_memory", "_skipped", "_take_out", "feed", "reading", "sample",
    )  # fmt: skip

    def __init__(
        self,
        content_type: bytes,
        content_encoding: bytes,
        memory: DecoderMemory,
        *,
        take_out: bool = False,
        reading: Reading | None = None,
    ) -> None:
        """`take_out`: find the usage-only event of an OpenAI chat stream, to be kept from the client."""
        self.reading = Reading() if reading is None else reading
        #: of the first text, its codings undone: for estimates
        self.sample = Sample()
        self._hint = content_type.lower()
        #: as the header names them; empty: told by content; None: there is none
        self._codings: list[bytes] | None = codings(content_encoding)
        self._memory = memory
        self._take_out = take_out
        #: what came so far, after `_skipped` bytes of no account
        self._head = b""
        self._skipped = 0
        self._framed: Framing | None = None
        #: read the next piece; True: everything fed so far may go to the client
        self.feed: Callable[[bytes], bool] = self._begin

    @property
    def position(self) -> int:
        """Bytes fed."""
        return self._skipped + len(self._head) if self._framed is None else self._framed.position

    @property
    def decoded(self) -> int:
        """Bytes that came of the body once its codings were undone, as far as it was read."""
        framed = self._framed
        return framed.decoded if isinstance(framed, Coded) else self.position

    @property
    def safe(self) -> int:
        """What comes before this offset may go to the client now."""
        if self._framed is None:
            return self._skipped if self._take_out else self._skipped + len(self._head)
        return self._framed.position if self._framed.hold < 0 else self._framed.hold

    @property
    def cut(self) -> tuple[int, int] | None:
        """With `take_out`: the range of the one event that the client is not to get; None: none, or not yet."""
        return None if self._framed is None else self._framed.cut

    @property
    def ended(self) -> bool:
        """The terminal event is complete: commit now; nothing after it is read."""
        return self._framed is not None and self._framed.ended

    def finish(self) -> None:
        """The body is over, whole or cut off: gives decoder memory back.  May be called twice; `feed` is over."""
        if self._framed is None:
            self._start(self._choose(over=True) or Unread(self._skipped))
        assert self._framed is not None
        self._framed.finish()
        self.feed = _ignore
        _ = self.reading.usage  # so that what is wrong with it is counted

    def _begin(self, data: bytes) -> bool:
        """The first pieces, until they tell what this is."""
        if self._framed is not None:  # the caller kept this method
            return self._framed.feed(data)
        self._head += data
        if not self._codings:
            self._skip_space()
        framed = self._choose(over=False)
        if framed is not None:
            return self._start(framed)
        return not (self._take_out and self._head)

    def _skip_space(self) -> None:
        """A mark of the byte order, and white space, may come before a text (servers send it to keep alive)."""
        head = self._head.removeprefix(_BOM) if self._skipped == 0 else self._head
        head = head.lstrip(_SPACE)
        self._skipped += len(self._head) - len(head)
        self._head = head

    def _start(self, framed: Framing) -> bool:
        head, self._head = self._head, b""
        self._framed = framed
        self.feed = self._sampled if isinstance(framed, (EventStream, AwsEventStream)) else framed.feed
        return self.feed(head)

    def _sampled(self, data: bytes) -> bool:
        """The first pieces of a stream, until there is enough for an estimate."""
        assert self._framed is not None
        if not self.sample.take(data):
            self.feed = self._framed.feed
        return self._framed.feed(data)

    def _choose(self, over: bool) -> Framing | None:
        """The framing that `_head` shows; None: it does not tell yet.  `over`: there is no more of it."""
        head = self._head
        if self._codings:
            text = head.removeprefix(_BOM).lstrip(_SPACE)
            if len(head) - len(text) < HEAD:  # no coding's stream begins with so much white space
                if len(text) < HEAD and not over:
                    return None
                if not _PLAIN.match(text[:HEAD]) and not begins(head):
                    shown = sniff(head)
                    fits = shown is None or shown == self._codings[-1].removeprefix(b"x-")
                    return self._coded(self._codings if fits else [shown])  # type: ignore[list-item]
            self._codings = None  # the header is wrong
            self._skip_space()
            head = self._head
        elif self._codings is not None and head[:1] in _MAGIC_FIRST:
            if len(head) < _MAGIC and not over:
                return None
            shown = sniff(head)
            if shown is not None:
                return self._coded([shown])
        return self._text(head, over)

    def _text(self, head: bytes, over: bool) -> Framing | None:
        if head.startswith((b"{", b"[")):
            array = head.startswith(b"[")
            self.reading.framing = "json-array" if array else "json"
            return JsonBody(self.reading, self._skipped, array, self.sample)
        framed = begins(head)
        if framed is None and not over:
            return None
        if framed:
            self.reading.framing = "eventstream"
            return AwsEventStream(self.reading, self._skipped)
        events = head.startswith((b":", *_EVENT_FIELDS))
        if not events and not over and any(begin.startswith(head) for begin in (*_EVENT_FIELDS, _BOM)):
            return None
        if events or (head and b"event-stream" in self._hint):
            self.reading.framing = "sse"
            return EventStream(self.reading, self._skipped, self._take_out)
        if head and b"amazon.eventstream" in self._hint:
            self.reading.count_error("bad-frame")
        return Unread(self._skipped) if head else None

    def _coded(self, names: list[bytes]) -> Framing:
        decoders = chain(names, self._memory)
        if decoders is None:
            self.reading.count_error("encoding")
            return Unread(self._skipped)
        inner = Scanner(self._hint, b"", self._memory, reading=self.reading)
        inner._codings = None  # what comes out is not looked at for codings again
        inner.sample = self.sample
        return Coded(self._skipped, decoders, inner)


def _ignore(data: bytes) -> bool:
    """What `feed` is after `finish`."""
    return True

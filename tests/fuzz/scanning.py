"""Any bytes as an answer's body, under the headers that the input chooses: the scanner's promises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final, NamedTuple

from awfproxy.core import awsstream, document, jsonbody, sse
from awfproxy.core.codedheads import sniff
from awfproxy.core.decoders import DecoderMemory
from awfproxy.core.scanner import Scanner
from awfproxy.core.usage import Reading
from tests.core.parsers import figures
from tests.fuzz.aws_messages import mended
from tests.fuzz.choices import Choices
from tests.fuzz.packing import PACK

_TYPES: Final = (
    b"", b"text/event-stream", b"application/json", b"application/x-ndjson", b"application/vnd.amazon.eventstream",
    b"text/plain; charset=utf-8",
)  # fmt: skip
#: codings and how a body gets them; without a header where the first bytes tell
_PACKED: Final = (
    (b"gzip", PACK["gzip"]),
    (b"deflate", PACK["deflate"]),
    (b"deflate", PACK["raw deflate"]),
    (b"br", PACK["br"]),
    (b"zstd", PACK["zstd"]),
    (b"", PACK["gzip"]),
    (b"", PACK["zstd"]),
    (b"br", PACK["gzip"]),
    (b"gzip, br", lambda body: PACK["br"](PACK["gzip"](body))),
)
#: bounds of what is kept, so low that a fuzzer's short inputs get past them
_LOW: Final[tuple[tuple[Any, str, Any], ...]] = (
    (sse, "EVENT_MAX", 64),
    (sse, "HOLD_MAX", 48),
    (jsonbody, "BODY_MAX", 128),
    (awsstream, "MESSAGE_MAX", 64),
    # and no gate: of an event of another dialect than its stream's, it says no more than it has to
    (sse, "LEARN_MAX", 1 << 30),
    (sse, "recognise", lambda outline: None),
)
#: the longest open event, what is held of it, and half a line end
_HELD_MAX: Final = sse.EVENT_MAX + sse.HOLD_MAX + 2


#: A terminal event that has more lines after its data: it may be read as soon as its data's line is complete, since
#: clients stop there, and nothing after it is.
_CONTINUED: Final = re.compile(
    rb"(?:\[DONE\]|message_stop|response|interaction|message-end|stream-end)[^\r\n]*(?:\r\n?|\n)(?=[^\r\n])"
)


class Seen(NamedTuple):
    """What one scan says in the end."""

    figures: dict[str, Any]
    cut: tuple[int, int] | None
    ended: bool


def scan(data: bytes) -> None:
    """The law over all bodies; raises AssertionError, or whatever the scanner raised."""
    choices = Choices(data)
    content_type = choices.one_of(_TYPES)
    form = choices.below(8)
    body = choices.body
    if form & 1 and content_type.endswith(b"eventstream"):
        body = mended(body)
    low = bool(form & 4)
    with _low_bounds() if low else nullcontext():
        whole = _split(content_type, body, choices.pieces(body), bool(form & 2) and not low)
        match choices.below(3):  # one more law for each input: a fuzzer's time is many inputs
            case 0 if not _looks_coded(body):
                coding, pack = choices.one_of(_PACKED)
                packed = _seen(content_type, coding, choices.pieces(pack(body)))
                assert packed.figures == whole.figures
            case 1:  # the end may come at any moment
                _seen(content_type, b"", [body[: len(body) * choices.below(256) // 256]], not low)
            case _:
                assert _seen(content_type, b"", [body]).figures == whole.figures


@contextmanager
def _low_bounds() -> Iterator[None]:
    usual = [getattr(module, name) for module, name, _ in _LOW]
    for module, name, low in _LOW:
        setattr(module, name, low)
    try:
        yield
    finally:
        for (module, name, _), value in zip(_LOW, usual, strict=True):
            setattr(module, name, value)


def _looks_coded(body: bytes) -> bool:
    """Would it be taken for coded, though no header says so?"""
    return sniff(body.removeprefix(b"\xef\xbb\xbf").lstrip()[:16]) is not None


def _split(content_type: bytes, body: bytes, pieces: list[bytes], take_out: bool) -> Seen:
    """What the whole body says; its pieces say the same, and what it says is true."""
    whole = _seen(content_type, b"", [body], take_out)
    parts = _seen(content_type, b"", pieces, take_out)
    if not _CONTINUED.search(body):
        assert parts == whole
    if whole.cut is not None:
        _is_usage_event(body[slice(*whole.cut)])
    if whole.figures["framing"] == "sse" and whole.figures["usage"] is not None:
        _is_told(body, whole.figures["usage"].raw)
    return whole


def _seen(content_type: bytes, coding: bytes, pieces: list[bytes], take_out: bool = False) -> Seen:
    memory = DecoderMemory()
    scanner = Scanner(content_type, coding, memory, take_out=take_out)
    fed = released = 0
    ended = False
    cut: tuple[int, int] | None = None
    for piece in pieces:
        gone = scanner.feed(piece)
        fed += len(piece)
        assert scanner.position == fed
        assert scanner.safe <= fed
        assert scanner.ended >= ended
        assert not (scanner.ended and gone and piece)
        if scanner.cut != cut:
            assert cut is None
            cut = scanner.cut
            assert cut is not None
            assert released <= cut[0] < cut[1] <= fed  # none of it has gone on
        released = fed if gone else max(released, scanner.safe)
        if not ended:
            assert fed - released <= _HELD_MAX + len(piece)
        ended = scanner.ended
    scanner.finish()
    said = figures(scanner.reading)
    assert scanner.cut is None or scanner.cut[1] <= fed
    if cut is None and scanner.cut is not None:
        assert released <= scanner.cut[0]
    result = Seen(said, scanner.cut, scanner.ended)
    scanner.finish()
    assert figures(scanner.reading) == said
    assert memory.free == memory.limit
    return result


_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


def _events(body: bytes) -> Iterator[bytes]:
    """The data of each event, read the plain way."""
    lines: list[bytes] = []
    for line in [*_LINE_END.split(body.removeprefix(b"\xef\xbb\xbf")), b""]:
        if not line:
            if lines:
                yield b"\n".join(lines)
            lines = []
        elif line == b"data":
            lines.append(b"")
        elif line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))


def _is_usage_event(event: bytes) -> None:
    """What is taken from the client is one whole event without choices and with usage."""
    found = list(_events(event))
    assert len(found) == 1
    told = json.loads(found[0].decode("utf-8", "replace"), strict=False)
    assert told["choices"] == []
    assert told["usage"]


def _is_told(body: bytes, raw: dict[str, Any]) -> None:
    """Every figure stands in the usage of some event: none was made of text."""
    told: list[dict[str, Any]] = []
    for data in _events(body):
        outline = document.read(data)
        if outline is None:
            return  # broken or cut off: what the finder makes of it is not to be had in another way
        alone = Reading()
        alone.take(outline)
        if alone.usage is not None:
            told.append(alone.usage.raw)
    for name, value in raw.items():
        assert any(name in one and one[name] == value for one in told), name

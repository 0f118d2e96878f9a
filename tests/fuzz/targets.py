"""What is fuzzed: each target takes any bytes and raises if a promise of a ground-floor parser is broken by them.

The promises (docs/design.md): no input raises, any split gives the same answer, the end may come at any moment; and
those of each parser's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from awfproxy.core import document, finder, heads, hints, holdback, kinds, labels, origin, request, targets
from awfproxy.core.decoders import DecoderMemory, Undecodable, chain, codings, decode_body
from awfproxy.core.message import RequestHead
from awfproxy.core.outline import Outline
from awfproxy.core.providers import PROVIDERS
from awfproxy.wire.requests import RequestReader
from awfproxy.wire.responses import ResponseReader
from tests.fuzz.choices import Choices
from tests.fuzz.packing import PACK
from tests.fuzz.scanning import scan

__all__ = ["TARGETS"]

#: bytes of a record's hints: a record is one line of at most 16 KB
HINTS_MAX: Final = 16 * 1024


def outlines(data: bytes) -> None:
    """The finder agrees with whole decoding on what is JSON, and with itself at any split of anything."""
    choices = Choices(data)
    body = choices.body

    def found(pieces: list[bytes]) -> tuple[list[tuple[Outline, bool]], bool]:
        said: list[tuple[Outline, bool]] = []
        reader = finder.Finder(lambda outline, whole: said.append((outline, whole)))
        for piece in pieces:
            reader.feed(piece)
        broken = reader.broken
        reader.finish()
        return said, broken

    whole = found([body])
    assert found(choices.pieces(body)) == whole
    outline = document.read(body)
    assert (outline is None) or isinstance(_json(body), (dict, type(None)))
    if outline is not None and _strict(body):
        assert whole == ([(outline, True)], False)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def _strict(body: bytes) -> bool:
    """Is it JSON by the letter?"""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def decoders(data: bytes) -> None:
    """Anything under any name of a coding: one error there is, and all memory comes back."""
    choices = Choices(data)
    names = codings(choices.one_of([b"gzip", b"deflate", b"br", b"zstd", b"gzip, br", b"deflate, zstd", b"gzip, gzip"]))
    body = choices.body
    packed = choices.below(3)
    if packed:  # sound to begin with: then what comes out is known
        plain, body = body, _packed(names, body)
    cut = len(body) * choices.below(256) // 255 if packed == 2 else len(body)

    def undone(pieces: list[bytes]) -> tuple[bytes, str | None]:
        memory = DecoderMemory()
        chained = chain(names, memory)
        assert chained is not None
        out = bytearray()
        try:
            for piece in pieces:
                for part in chained.decode(piece):
                    out += part
        except Undecodable as error:
            assert not packed
            return bytes(out), error.reason
        finally:
            chained.close()
            assert memory.free == memory.limit
        return bytes(out), None

    whole, reason = undone([body[:cut]])
    assert undone(choices.pieces(body[:cut])) == (whole, reason)
    if packed:
        assert plain.startswith(whole)
        assert len(whole) == len(plain) or cut < len(body)
        assert decode_body(body, b",".join(names), len(plain)) == plain
    else:
        decode_body(body, b",".join(names), 1 << 20)


def _packed(names: list[bytes], body: bytes) -> bytes:
    for name in names:
        body = PACK[name.decode()](body)
    return body


def peek(data: bytes) -> None:
    """A request's body: what is said of it is of the right type, and asking for usage adds only that."""
    choices = Choices(data)
    kind = choices.one_of(
        [b"application/json", b"", b"text/plain", b"multipart/form-data; boundary=x", b"multipart/mixed", b"audio/wav"]
    )
    body = choices.body
    seen = request.peek(body, kind)
    assert seen.model is None or 0 < len(seen.model) <= request.MODEL_MAX
    for count in (seen.max_output_tokens, seen.n):
        assert count is None or 0 <= count <= request.COUNT_MAX
    asked = request.ask_for_usage(body, seen)
    if asked is None or kind.startswith((b"multipart", b"audio")):
        return
    before, after = _json(body), _json(asked)
    if isinstance(before, dict) and _strict(body) and _strict(asked):
        options = before.get("stream_options")
        wanted = (options if isinstance(options, dict) else {}) | {"include_usage": True}
        assert after == before | {"stream_options": wanted}
        again = request.peek(asked, kind)
        assert again.asks_usage
        assert (again.model, again.stream, again.n) == (seen.model, seen.stream, seen.n)


_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_RULES: Final = [
    heads.RequestRules(provider, host=b"upstream.test", base=base, credential=b"the-port-s-own-key")
    for provider in PROVIDERS.values()
    for base in (b"", b"/v1")
]
_ANSWERS: Final = heads.ResponseRules()


def fields(data: bytes) -> None:
    """Heads for the upstream: no line is added by what a client sends, and none of its credentials pass."""
    choices = Choices(data)
    rules = choices.one_of(_RULES)
    first, _, rest = choices.body.partition(b"\n")
    lines = [found.groups() for line in rest.split(b"\n")[:100] if (found := _LINE.fullmatch(line))]
    headers = [(name.lower(), name, value.rstrip(b" \t")) for name, value in lines]
    method = choices.one_of([b"POST", b"GET", b"HEAD", b"DELETE"])
    head = RequestHead(
        method, first, 1, headers, {lower: value for lower, _, value in headers}, None, False, True, False
    )
    origin.foreign(head, frozenset({b"allowed.test"}), frozenset({b"https://allowed.test"}))
    for label in msgspec.structs.astuple(labels.labels(head)):
        assert label is None or (label.isprintable() and len(label.encode()) <= labels.LABEL_MAX)
    heads.wants_websocket(head)
    kinds.kind(method, first)
    kinds.url_model(first)
    path = targets.record_path(first)
    assert "?" not in path and len(path.encode()) <= targets.RECORD_PATH_MAX
    target = rules.target(first)
    if target is None:
        return
    assert target.startswith(b"/") and b" " not in target and b"\r" not in target and b"\n" not in target
    made = rules.head(head, target, choices.one_of([None, 0, 5]), b"req_1", streaming=bool(choices.below(2)))
    assert made.endswith(b"\r\n\r\n") and made.count(b"\r\n\r\n") == 1
    told = [line.partition(b":")[0].lower() for line in made[:-4].split(b"\r\n")[1:]]
    assert told.count(b"host") == 1
    assert not {b"proxy-authorization", b"cookie", b"forwarded", b"via", b"transfer-encoding", b"upgrade"} & set(told)
    for name in (b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"):
        assert told.count(name) <= 1
    credentials = [line for line in made.split(b"\r\n") if b"the-port-s-own-key" in line]
    assert len(credentials) >= 1


class _Told:
    """Writes down what a reader of requests tells."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.reader = RequestReader(self)

    def request_head(self, head: RequestHead) -> None:
        self.events.append((head.method, head.target, head.minor, head.headers, head.content_length, head.chunked))

    def request_body(self, piece: bytes) -> None:
        if self.events and isinstance(self.events[-1], bytes):
            self.events[-1] += piece
        elif piece:
            self.events.append(piece)

    def request_complete(self) -> None:
        self.events.append("complete")


def requests(data: bytes) -> None:
    """A client's bytes: the same requests and the same fault at any split."""
    choices = Choices(data)

    def told(pieces: list[bytes]) -> tuple[list[Any], bool]:
        sink = _Told()
        for piece in pieces:
            fault = sink.reader.feed(piece)
            while fault is None and not sink.reader.hungry:
                fault = sink.reader.proceed()
            if fault is not None:
                return sink.events, True
        return sink.events, False

    whole, wrong = told([choices.body])
    parts, wrong_too = told(choices.pieces(choices.body))
    assert wrong == wrong_too
    if wrong:  # how much of the broken request was told before the fault depends on the pieces
        whole, parts = _completed(whole), _completed(parts)
    assert parts == whole


def _completed(events: list[Any]) -> list[Any]:
    """What was told of whole requests."""
    ends = [at for at, event in enumerate(events) if event == "complete"]
    return events[: ends[-1] + 1] if ends else []


def responses(data: bytes) -> None:
    """An upstream's bytes: the same answer at any split, and a fault in both or in neither."""
    choices = Choices(data)
    method = choices.one_of([b"POST", b"HEAD"])

    def told(pieces: list[bytes]) -> tuple[Any, bool]:
        reader = ResponseReader()
        reader.expect(method)
        head: Any = None
        body = b""
        for piece in pieces:
            fault = reader.feed(piece)
            if reader.head is not None:
                head = (reader.head.status, reader.head.headers, reader.framing, reader.keep_alive)
                reader.head = None
            if fault is not None:
                return None, True
            body += reader.body()
        ended = reader.complete or reader.end_of_stream()
        return (head, body, ended, reader.surplus), False

    assert told(choices.pieces(choices.body)) == told([choices.body])


_HASH: Final = re.compile(r"[0-9a-f]{4,64}").fullmatch
_HINTERS: Final = [hints.Hinter(b"k" * 32) for _ in range(2)]


def conversation(data: bytes) -> None:
    """A conversation's hints: the same whenever they are made, and nothing of the content among them."""
    choices = Choices(data)
    agent = choices.one_of([b"", b"claude-cli/2.0", b"codex_cli_rs/0.5", b"copilot/1.0"])
    fields = {b"user-agent": agent, b"session_id": b"s-1", b"x-initiator": b"agent"}
    seen, members = request.look(choices.body, b"application/json", conversation=True)
    assert seen == request.peek(choices.body, b"application/json")
    first, second = (hinter.hints(fields, members) for hinter in _HINTERS)
    assert first == second == _HINTERS[0].hints(fields, members)
    if first is None:
        return
    assert len(msgspec.json.encode(first)) <= HINTS_MAX
    for name in ("conversation_hash", "system_hash", "tools_hash", "previous_response_id_hash"):
        hashed = getattr(first, name)
        assert hashed is None or _HASH(hashed)
    for several in (first.tool_call_hashes, first.tool_result_hashes):
        assert several is None or all(_HASH(one) for one in several)


def held(data: bytes) -> None:
    """What is held of an answer comes out in order, every byte once, but for what is cut out."""
    choices = Choices(data)
    body = choices.body
    start = choices.below(50)
    begin = start + choices.below(256)
    cut = (begin, begin + choices.below(256)) if choices.below(2) else None
    kept = holdback.Holdback(start)
    out = b""
    at = start
    for piece in choices.pieces(body):
        at += len(piece)
        out += kept.take(piece, at - choices.below(64), cut)
    out += kept.rest(cut)
    expected = body if cut is None else body[: max(cut[0] - start, 0)] + body[max(cut[1] - start, 0) :]
    assert out == expected


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "scan": scan,
    "outlines": outlines,
    "decoders": decoders,
    "peek": peek,
    "conversation": conversation,
    "fields": fields,
    "requests": requests,
    "responses": responses,
    "held": held,
}

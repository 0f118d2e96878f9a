"""Bedrock's streams: what is read, what is believed, what is held, where they end."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.core.awsstream import MESSAGE_MAX, AwsEventStream
from awfproxy.core.decoders import DecoderMemory
from awfproxy.core.scanner import Scanner
from awfproxy.core.usage import Reading

from .aws import CONVERSE, FAILED, INVOKE, METRICS, USAGE, aws_event, header, message, wrapped
from .parsers import figures, pieces

STREAMS = {"converse": CONVERSE, **INVOKE}
CUTS = st.lists(st.integers(0, 10_000), max_size=12)


def scan(parts: list[bytes], content_type: bytes = b"") -> Scanner:
    """A finished scanner."""
    scanner = Scanner(content_type, b"", DecoderMemory())
    for part in parts:
        scanner.feed(part)
    scanner.finish()
    return scanner


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(STREAMS)), cuts=CUTS)
def test_every_model_is_read(name: str, cuts: list[int]) -> None:
    """At any split: its own figures, none of the decoys, final."""
    scanner = scan(pieces(b"".join(STREAMS[name]), cuts))
    reading = scanner.reading
    assert scanner.ended
    assert reading.framing == "eventstream"
    assert reading.final
    assert reading.errors == {}
    assert not reading.error_seen
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.usage.output_tokens) == (5, 7)
    assert reading.model == ("claude" if name == "anthropic" else None)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(STREAMS)), cuts=CUTS)
def test_the_last_message_is_held(name: str, cuts: list[int]) -> None:
    """From where it begins, of the piece that completes it; what came before has gone."""
    body = b"".join(STREAMS[name])
    last = len(body) - len(STREAMS[name][-1])
    scanner = Scanner(b"", b"", DecoderMemory())
    begun = 0
    for part in pieces(body, cuts):
        if scanner.feed(part):
            assert not scanner.ended
            assert scanner.safe == scanner.position
            begun += len(part)
        else:
            break
    assert scanner.ended
    assert scanner.safe == max(last, begun)
    assert not scanner.feed(b"more")
    assert scanner.position == len(body) + 4
    scanner.finish()
    assert scanner.safe == max(last, begun)


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_stream_that_is_cut_off_is_not_final(name: str) -> None:
    """Whatever message, or part of one, is the last: what came before it is read."""
    body = b"".join(STREAMS[name])
    for end in range(len(body)):
        scanner = scan([body[:end]])
        assert not scanner.ended
        assert scanner.reading.errors == {}
        if name != "anthropic":  # its last delta says that the model has finished
            assert not scanner.reading.final
    reading = scan([b"".join(INVOKE["llama"][:2])]).reading
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.usage.output_tokens) == (5, 7)
    assert scan([b"".join(INVOKE["anthropic"][:3])]).reading.final


@given(st.sampled_from(sorted(STREAMS)), st.integers(0, 4000), st.integers(1, 255))
def test_a_damaged_message_is_not_believed(name: str, at: int, flip: int) -> None:
    """Any one byte of the last message wrong: no figure of it, or none at all."""
    messages = STREAMS[name]
    last = bytearray(messages[-1])
    last[at % len(last)] ^= flip
    reading = scan([b"".join(messages[:-1]), bytes(last)]).reading
    begun = scan([b"".join(messages[:-1])]).reading
    assert reading.usage == begun.usage
    assert reading.final == begun.final


def test_damage_is_counted() -> None:
    """A wrong checksum of a message is one error and the reading goes on; one of a prelude ends it."""
    metadata = bytearray(aws_event("metadata", {"usage": USAGE}))
    metadata[-1] ^= 1
    reading = scan([bytes(metadata), *CONVERSE]).reading
    assert reading.errors == {"bad-frame": 1}
    assert reading.final
    metadata[-1] ^= 1
    metadata[3] ^= 1
    reading = scan([CONVERSE[0], bytes(metadata), *CONVERSE]).reading
    assert reading.errors == {"bad-frame": 1}
    assert reading.usage is None
    reading = scan([message(b"\xff", b"{}"), *CONVERSE]).reading
    assert reading.errors == {"bad-frame": 1}
    assert reading.final
    assert scan([aws_event("metadata", b'{"usage":')]).reading.errors == {"bad-json": 1}
    assert scan([aws_event("chunk", {"bytes": "?"})]).reading.errors == {"bad-json": 1}


def test_failures_are_seen_and_no_usage() -> None:
    """An exception in the middle, and an error: whatever they carry."""
    for failure in (FAILED, aws_event("InternalError", {"usage": USAGE}, "error")):
        reading = scan([CONVERSE[0], failure]).reading
        assert reading.error_seen
        assert reading.usage is None
    assert not scan(list(CONVERSE)).reading.error_seen
    assert scan([wrapped({"type": "error", "error": {"message": "x"}})]).reading.error_seen


def test_events_that_nobody_knows() -> None:
    """A document of an event to come is read like any other, if it looks like one that matters."""
    reading = scan([aws_event("somethingNew", {"usage": USAGE})]).reading
    assert reading.usage is not None
    assert not reading.final
    assert scan([aws_event("somethingNew", {"text": "x"})]).reading.documents == 0


def test_told_by_content() -> None:
    """Under any content type and coding that is not true; and what only claims to be one is none."""
    body = b"".join(CONVERSE)
    for content_type in (b"", b"application/json", b"text/event-stream", b"application/vnd.amazon.eventstream"):
        for coding in (b"", b"gzip", b"br"):
            scanner = Scanner(content_type, coding, DecoderMemory())
            for part in pieces(body, [1, 7, 13, 200]):
                scanner.feed(part)
            scanner.finish()
            assert scanner.reading.final
            assert scanner.reading.errors == {}
    hint = b"application/vnd.amazon.eventstream"
    assert scan([b"plain text, no frames"], hint).reading.errors == {"bad-frame": 1}
    assert scan([b"plain text, no frames"]).reading.errors == {}
    reading = scan([json.dumps({"usage": USAGE}).encode()], hint).reading
    assert reading.framing == "json"
    assert reading.usage is not None
    assert scan([b"\0\0"], hint).reading.usage is None


class Streamed(AwsEventStream):
    """One that keeps no message."""

    __slots__ = ()

    message_max = 0


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(STREAMS)),
    cuts=CUTS,
    drop=st.lists(st.integers(0, 5), max_size=2),
)
def test_kept_and_streamed_messages_say_the_same(name: str, cuts: list[int], drop: list[int]) -> None:
    """What is read as it passes is read like what is kept, also with messages missing."""
    body = b"".join(part for number, part in enumerate(STREAMS[name]) if number not in drop)
    answers = []
    for framing in (AwsEventStream, Streamed):
        reading = Reading()
        reading.framing = "eventstream"
        stream = framing(reading, 0)
        for part in pieces(body, cuts):
            stream.feed(part)
        stream.finish()
        answers.append((figures(reading), stream.ended, stream.hold))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("size", [100, 1000, 65536, 1 << 22])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_long_message_is_read_as_it_passes(size: int, escaped: bool) -> None:
    """An image in one chunk, a long document of Converse: figures before and after the bulk, decoys inside."""
    bulk = 'QUJD "usage":{"inputTokens":99}\\' * (MESSAGE_MAX // 16)
    document = json.dumps({"images": [bulk], "usage": USAGE, "text": bulk, **METRICS}).encode()
    text = b64encode(document).decode()
    payload = json.dumps({"bytes": text}).encode()
    if escaped:
        payload = payload.replace(b"/", b"\\/")
    for body in (aws_event("chunk", payload), aws_event("metadata", document), aws_event("other", document)):
        assert len(body) > MESSAGE_MAX
        scanner = scan([*CONVERSE[:3], *(body[at : at + size] for at in range(0, len(body), size))])
        reading = scanner.reading
        assert reading.errors == {}
        assert reading.usage is not None
        assert reading.usage.raw == USAGE
        assert reading.final
        assert scanner.ended


@pytest.mark.parametrize(
    "text",
    ["?", "QUJD?UJD", "QQ==QUJD", "QUJ", "QQ=", "QUJD\\nQUJD", "QUJDQUJD\\u0041"],
)
def test_a_long_message_that_is_not_base64(text: str) -> None:
    """It is one error, whether streamed or kept."""
    payload = b'{"bytes":"%b"}' % (b64encode(json.dumps({"usage": USAGE}).encode()[:-1] + b" }") + text.encode())
    for framing in (AwsEventStream, Streamed):
        reading = Reading()
        reading.framing = "eventstream"
        stream = framing(reading, 0)
        stream.feed(aws_event("chunk", payload))
        assert reading.usage is None, framing
        assert reading.errors == {"bad-json": 1}, framing


def test_long_headers_are_passed_over() -> None:
    """A message whose headers are too long to be read is no usage, and the next one is read."""
    long = message(header(":event-type", "metadata") + header("x", "y" * 60_000) * 2, json.dumps({"usage": USAGE}).encode())
    assert len(long) > MESSAGE_MAX
    reading = scan(pieces(long + b"".join(CONVERSE), [50, 5000, 100_000])).reading
    assert reading.errors == {"bad-frame": 1}
    assert reading.final

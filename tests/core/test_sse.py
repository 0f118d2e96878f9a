"""Event streams: what is read, what is held, what is taken out, where they end."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.core.scanner import DecoderMemory, Scanner
from awfproxy.core.sse import EVENT_HOLD, EVENT_MAX, HOLD_MAX

from .parsers import chunk, event, pieces

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
MESSAGES = [
    {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 3, "output_tokens": 1}}},
    {
        "type": "content_block_delta",
        "delta": {"type": "text_delta", "text": '"usage":{"input_tokens":99} message_stop'},
    },
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]
RESPONSES = [
    {"type": "response.created", "response": {"model": "gpt", "usage": None}},
    {"type": "response.output_text.delta", "delta": "response.completed [DONE]"},
    {"type": "response.completed", "response": {"model": "gpt", "usage": {"input_tokens": 3, "output_tokens": 9}}},
]
CHAT = [chunk("a", usage=None), chunk("b", "stop", usage=None), chunk(usage=USAGE), "[DONE]"]
COHERE = [
    {"type": "message-start"},
    {"type": "content-delta", "delta": {"message": "message-end"}},
    {"type": "message-end", "delta": {"usage": {"tokens": {"input_tokens": 3, "output_tokens": 9}}}},
]
ENDING: dict[str, list[Any]] = {"messages": MESSAGES, "responses": RESPONSES, "chat": CHAT, "cohere": COHERE}


def scan(parts: list[bytes], take_out: bool = False) -> tuple[Scanner, bytes, list[int]]:
    """The scanner after these pieces, what a server would have let go by then, and what was held after each piece."""
    scanner = Scanner(b"text/event-stream", b"", DecoderMemory(), take_out=take_out)
    body = b""
    sent = 0
    held = []
    for part in parts:
        body += part
        passed = scanner.feed(part)
        assert scanner.position == len(body)
        if passed:
            assert scanner.safe == len(body)
            assert not scanner.ended
        sent = max(sent, scanner.safe)
        held.append(len(body) - sent)
        if scanner.ended:
            break
    return scanner, body[:sent], held


def client(scanner: Scanner, body: bytes) -> bytes:
    """What the client gets of `body` in the end."""
    if scanner.cut is None:
        return body
    start, end = scanner.cut
    return body[:start] + body[end:]


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(ENDING)),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 2000), max_size=10),
)
def test_the_terminal_event_ends_the_stream_and_is_held(name: str, end: str, cuts: list[int]) -> None:
    """At any split: ended, figures complete, and its last byte not yet gone."""
    events = [event(document, end) for document in ENDING[name]]
    body = b"".join(events)
    scanner, sent, _ = scan(pieces(body, cuts))
    assert scanner.ended
    assert scanner.reading.final
    assert scanner.safe == len(body) - len(events[-1])
    assert body.startswith(sent)
    # The end of the data line is what clients wait for.
    assert len(sent) < len(body.rstrip(b"\r\n"))
    assert scanner.reading.usage is not None
    assert scanner.reading.usage.output_tokens in (7, 9)
    scanner.finish()
    assert scanner.safe == len(body) - len(events[-1])


@pytest.mark.parametrize("name", sorted(ENDING))
def test_the_terminal_event_in_one_piece_goes_no_further_than_its_start(name: str) -> None:
    """Everything before it goes on at once."""
    events = [event(document) for document in ENDING[name]]
    for parts in (events, [b"".join(events)], [b"".join(events[:2]), b"".join(events[2:])]):
        _, sent, _ = scan(parts)
        assert sent == b"".join(events[:-1])


@pytest.mark.parametrize("name", sorted(ENDING))
def test_the_end_of_the_data_line_is_enough(name: str) -> None:
    """Clients that read lines stop there: no need to wait for the blank line."""
    body = b"".join(event(document) for document in ENDING[name])
    scanner, _, _ = scan([body[:-1]])
    assert scanner.ended
    scanner, _, _ = scan([body[:-20], body[-20:-1]])
    assert scanner.ended


def test_words_in_texts_end_nothing() -> None:
    """The terminal words, whole events and usage objects inside strings stay text."""
    decoys = [
        "[DONE]",
        "data: [DONE]\n\n",
        '{"type":"message_stop"}',
        '"response":{"usage":{"input_tokens":1}}',
        json.dumps(json.dumps({"usage": USAGE, "type": "response.completed"})),
        'data: {"usage":{"prompt_tokens":1}}\r\n\r\n',
    ]
    for decoy in decoys:
        for document in (
            chunk(decoy),
            {"type": "content_block_delta", "delta": {"partial_json": decoy}},
            {"type": "response.output_text.delta", "delta": decoy},
            {
                "choices": [
                    {"delta": {"tool_calls": [{"function": {"arguments": json.dumps({"usage": USAGE, "x": decoy})}}]}}
                ]
            },
            {"output": {"usage": USAGE, "type": "message_stop", "response": {"usage": USAGE}}},
        ):
            scanner, _, _ = scan([event(chunk("a")), event(document), event(document)])
            scanner.finish()
            assert not scanner.ended
            assert scanner.reading.usage is None


def test_an_open_terminal_event_is_held_from_its_start() -> None:
    """As soon as it shows what it is, no more of it goes."""
    first, last = event(chunk("a")), event(MESSAGES[-1])
    scanner = Scanner(b"", b"", DecoderMemory())
    assert scanner.feed(event(MESSAGES[0]) + first)
    before = scanner.position
    assert not scanner.feed(last[:-3])
    assert scanner.safe == before
    assert not scanner.ended


def test_a_long_terminal_event_slides() -> None:
    """Half a megabyte of `response.completed`: at most `HOLD_MAX` is held, and the end of it is."""
    output = [{"content": [{"text": 'word "usage":{} ' * 30000}]}]
    last = event({"type": "response.completed", "response": {"output": output, "usage": {"input_tokens": 3}}})
    body = event(RESPONSES[0]) + last
    for size in (1000, 50_000):
        scanner, sent, held = scan([body[at : at + size] for at in range(0, len(body), size)])
        assert scanner.ended
        assert scanner.reading.usage is not None
        assert scanner.reading.usage.input_tokens == 3
        assert max(held) <= HOLD_MAX + size
        assert len(sent) < len(body) - 100


def test_a_long_event_is_read_like_a_short_one() -> None:
    """Same figures whether an event is decoded at once or read as it passes, and at any split."""
    for extra in (0, EVENT_MAX - 400, EVENT_MAX, 3 * EVENT_MAX):
        last = chunk(usage=USAGE, obfuscation="x" * extra)
        body = event(chunk("a")) + event(last) + event("[DONE]")
        for size in (len(body), 1000, 16 * 1024, 33):
            if extra > EVENT_MAX and size == 33:
                continue
            scanner, _, _ = scan([body[at : at + size] for at in range(0, len(body), size)])
            assert scanner.ended
            assert scanner.reading.usage is not None
            assert scanner.reading.usage.raw == USAGE


def test_an_event_that_the_end_cuts_off_is_read() -> None:
    """Its tokens were spent; what was complete of it counts, as not final if its JSON was not."""
    body = event(chunk("a", "stop")) + event(chunk(usage=USAGE))
    scanner, _, _ = scan([body[:-2]])
    scanner.finish()
    assert scanner.reading.usage is not None
    assert scanner.reading.final
    assert scanner.safe == scanner.position
    scanner, _, _ = scan([body[:-3]])
    scanner.finish()
    assert scanner.reading.usage is not None
    assert not scanner.reading.final
    scanner, _, _ = scan([body + b"data: [DONE]"])
    scanner.finish()
    assert scanner.reading.final


def test_usage_null_in_each_chunk_is_passed_over() -> None:
    """Both ways of writing it, until the one that says something."""
    for null in ('"usage":null', '"usage": null'):
        text = json.dumps(chunk("a"))[:-1] + "," + null + "}"
        body = event(text) * 50
        scanner, sent, _ = scan([body, event(text) + event(chunk(usage=USAGE)) + event(text)])
        assert len(sent) == scanner.position
        assert scanner.reading.usage is not None


# -- taking out the usage event

NOISE = st.sampled_from(
    [
        event(chunk("hello")),
        event(chunk("b", "stop")),
        event(chunk(usage=None)),
        event(chunk("c", usage=USAGE)),
        event(chunk(usage={})),
        b": ping\n\n",
        b"\n",
        event(chunk("long" * EVENT_HOLD)),
        b"event: x\ndata: [1]\n\n",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    before=st.lists(NOISE, max_size=5),
    after=st.lists(NOISE, max_size=2),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 60_000), max_size=10),
)
def test_exactly_the_usage_event_is_taken_out(
    before: list[bytes], after: list[bytes], end: str, cuts: list[int]
) -> None:
    """Any split: the client gets every other byte, and nothing of that event has gone before it was decided."""

    def styled(data: bytes) -> bytes:
        return data.replace(b"\n", end.encode())

    first, last = styled(b"".join(before)), styled(b"".join(after)) + styled(event("[DONE]"))
    if first.endswith(b"\r") and end == "\r":
        first += b": x\r\r"
    taken = event(chunk(usage=USAGE), end)
    body = first + taken + last
    scanner, _, _ = scan(pieces(body, cuts), take_out=True)
    assert scanner.ended
    assert scanner.cut == (len(first), len(first) + len(taken))
    assert client(scanner, body) == first + last
    assert scanner.reading.usage is not None


def test_nothing_of_it_goes_before_it_is_decided() -> None:
    """Byte by byte, nothing of the usage event is let go until `cut` is there."""
    first, taken = event(chunk("a")), event(chunk(usage=USAGE))
    scanner = Scanner(b"text/event-stream", b"", DecoderMemory(), take_out=True)
    assert scanner.feed(first)
    for at in range(len(taken)):
        scanner.feed(taken[at : at + 1])
        if scanner.cut is None:
            assert scanner.safe == len(first)
    assert scanner.cut == (len(first), len(first) + len(taken))
    assert scanner.safe == scanner.position


def test_an_open_event_is_held_only_so_far() -> None:
    """Past `EVENT_HOLD` it goes on as it came, and is not taken out."""
    scanner = Scanner(b"text/event-stream", b"", DecoderMemory(), take_out=True)
    assert scanner.feed(event(chunk("a")))
    before = scanner.position
    long = event(chunk(usage=USAGE, obfuscation="x" * EVENT_HOLD))
    assert not scanner.feed(long[:EVENT_HOLD])
    assert scanner.safe == before
    assert scanner.feed(long[EVENT_HOLD:-2])
    assert scanner.feed(long[-2:])
    assert scanner.cut is None
    assert scanner.reading.usage is not None


def test_a_usage_event_that_the_end_cuts_off_is_taken_out_too() -> None:
    """Its JSON is whole, only the blank line is missing; and only one event is ever taken."""
    first, taken = event(chunk("a")), event(chunk(usage=USAGE))
    scanner, _, _ = scan([first + taken[:-2]], take_out=True)
    scanner.finish()
    assert scanner.cut == (len(first), len(first) + len(taken) - 2)
    scanner, _, _ = scan([first, taken, taken], take_out=True)
    assert scanner.cut == (len(first), len(first) + len(taken))


def test_without_the_wish_nothing_is_taken_or_held() -> None:
    """`visible` and `off`."""
    body = event(chunk("a")) + event(chunk(usage=USAGE))
    scanner = Scanner(b"text/event-stream", b"", DecoderMemory())
    for part in pieces(body, [3, 50, 200]):
        assert scanner.feed(part)
    assert scanner.cut is None


def test_the_finish_reason_is_seen_in_passing() -> None:
    """Compact or spaced, without usage."""
    for separators in ((",", ":"), (", ", ": ")):
        scanner = Scanner(b"", b"", DecoderMemory())
        for document in (chunk("a"), chunk("b"), chunk("c", "stop")):
            assert not scanner.reading.finish_seen
            scanner.feed(event(json.dumps(document, separators=separators)))
        assert scanner.reading.finish_seen


@pytest.mark.parametrize("reason", ["", "null"])
@pytest.mark.parametrize("usage", [None, USAGE])
def test_a_finish_reason_that_is_none(reason: str, usage: Any) -> None:
    """Some servers write an empty text, or the word, until there is one: whoever leaves then leaves before the end."""
    for separators in ((",", ":"), (", ", ": ")):
        scanner = Scanner(b"", b"", DecoderMemory())
        for text in "abc":
            scanner.feed(event(json.dumps(chunk(text, reason) | {"usage": usage}, separators=separators)))
        assert not scanner.reading.finish_seen
        assert not scanner.reading.final
        scanner.feed(event(json.dumps(chunk("d", "stop") | {"usage": usage}, separators=separators)))
        assert scanner.reading.finish_seen
        assert scanner.reading.final is (usage is not None)


@pytest.mark.parametrize(
    "documents",
    [[{"odd": 1}] * 20 + [{"usage": USAGE}], [{"usage": USAGE}, {"usage": None}], [{"x": {"y": 1}}, {"usage": USAGE}]],
)
def test_unknown_streams_are_read_all_the_same(documents: list[Any]) -> None:
    """Whatever the events are, usage at its place counts."""
    scanner, _, _ = scan([event(document) for document in documents])
    scanner.finish()
    assert scanner.reading.usage is not None
    assert scanner.reading.final


@pytest.mark.parametrize(
    "failure",
    [
        '{"error":{"message":"overloaded","type":"server_error"}}',
        '{"type": "error", "error": {"type": "overloaded_error"}}',
        '{"event_type":"error","error":{"code":"x"}}',
        '{"type":"error","code":"rate_limit_exceeded","sequence_number":3}',
        '{"id":"c","object":"chat.completion.chunk","error":{"code":502},"choices":[{"finish_reason":"error"}]}',
        '{"error":"it broke"}',
    ],
)
@pytest.mark.parametrize("done", [b"", event("[DONE]")])
@pytest.mark.parametrize("name", [*sorted(ENDING), "gemini"])
def test_an_error_at_the_end_is_seen(name: str, done: bytes, failure: str) -> None:
    """Of any API, in a piece of its own or in any other split, also when the blank line is missing."""
    gemini = [{"candidates": [], "modelVersion": "g", "usageMetadata": {"promptTokenCount": 1}}] * 3
    begun = b"".join(event(document) for document in (ENDING | {"gemini": gemini})[name][:2])
    last = event(failure)
    for parts in ([begun, last, done], [begun + last + done], pieces(begun + last + done, list(range(0, 3000, 7)))):
        scanner, _, _ = scan([part for part in parts if part])
        scanner.finish()
        assert scanner.reading.error_seen
    scanner, _, _ = scan([begun, last[:-2]])
    scanner.finish()
    assert scanner.reading.error_seen


def test_what_is_no_error() -> None:
    """The word in a text, in tool arguments, deeper in the document, or null."""
    document: dict[str, Any]
    for document in (
        {"choices": [{"delta": {"content": '{"error": {"message": "x"}}', "x": {"error": "y"}}}]},
        {"choices": [], "error": None},
        {"choices": [{"error": {"message": "x"}}], "error": None},
        {"type": "content_block_delta", "delta": {"error": "x"}},
    ):
        for parts in ([event(chunk("a")), event(document)], [event(chunk("a")) * 20 + event(document)]):
            scanner, _, _ = scan(parts)
            scanner.finish()
            assert not scanner.reading.error_seen


@pytest.mark.parametrize("name", sorted(ENDING))
def test_a_long_event_is_gated_like_a_short_one(name: str) -> None:
    """One that holds none of the API's needles is not taken, in one piece or in many; one that does is."""
    begun = b"".join(event(document) for document in ENDING[name][:1])
    other = event({"filler": "x" * EVENT_MAX, "eval_count": 3, "error": None})
    usage = event({"filler": "x" * EVENT_MAX, "usage": {"prompt_tokens": 99}, "response": {}, "type": "message-end"})
    for long, taken in ((other, False), (usage, True)):
        for size in (1000, EVENT_MAX, 1 << 20):
            body = begun + long
            scanner, _, _ = scan([body[at : at + size] for at in range(0, len(body), size)])
            scanner.finish()
            assert (scanner.reading.documents > len(ENDING[name][:1])) == taken


def test_a_long_line_is_passed_quickly() -> None:
    """Half a terminal event of megabytes: line ends are sought at the speed of memory."""
    line = b'data: {"type":"response.completed","response":{"output":"' + b"x" * (8 << 20)
    start = time.process_time()
    scan([line[at : at + 65536] for at in range(0, len(line), 65536)])
    assert time.process_time() - start < 1

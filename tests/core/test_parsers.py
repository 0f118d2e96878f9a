"""The six promises of the ground floor (docs/design.md) over every parser of it."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .aws import CONVERSE, FAILED, INVOKE, aws_event
from .parsers import CODINGS, PARSERS, chunk, event, pieces, run

#: What bodies are made of: enough structure to get far into each parser, and enough noise to break it.
FRAGMENTS = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"event: x",
        b": c",
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b"[DONE]",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b'\\"',
        b'"usage"',
        b'"usage":null',
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}',
        b'{"choices":[],"usage":{"prompt_tokens":3}}',
        b'{"type":"message_start","message":{"model":"c","usage":{"input_tokens":5}}}',
        b'{"type":"message_delta","usage":{"output_tokens":5}}',
        b'{"type":"message_stop"}',
        b'{"type":"response.completed","response":{"model":"g","usage":{"input_tokens":5}}}',
        b'{"choices":[{"finish_reason":"stop"}],"model":"m"}',
        b'{"usageMetadata":{"promptTokenCount":1e3}}',
        b'{"eval_count":-1}',
        b"null",
        b"NaN",
        b"1e400",
        b" ",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\\u0075sage",
    ]
)
#: AWS messages, whole and damaged.
MESSAGES = st.sampled_from(
    [*CONVERSE[:-1], *INVOKE["anthropic"], *INVOKE["llama"], FAILED, FAILED[:-1] + b"x", FAILED[:9], CONVERSE[-1]]
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.lists(FRAGMENTS, max_size=30).map(b"".join),
    st.lists(MESSAGES, max_size=8).map(b"".join),
)
CUTS = st.lists(st.integers(0, 10_000), max_size=12)
NAMES = st.sampled_from(sorted(PARSERS))


@settings(max_examples=800, deadline=None)
@given(name=NAMES, body=BODIES, cuts=CUTS)
def test_any_split_gives_the_same_answer_and_nothing_raises(name: str, body: bytes, cuts: list[int]) -> None:
    """Promises 1 and 2, on anything."""
    assert run(name, pieces(body, cuts)) == run(name, [body])


@settings(max_examples=150, deadline=None)
@given(body=BODIES, cuts=CUTS, coding=st.sampled_from(sorted(CODINGS)))
def test_any_split_of_a_coded_body_gives_the_same_answer(body: bytes, cuts: list[int], coding: str) -> None:
    """Promise 1, with sound compression around anything."""
    coded = CODINGS[coding](body)
    assert run(f"scanner of {coding}", pieces(coded, cuts)) == run(f"scanner of {coding}", [coded])
    assert run(f"decoder of {coding}", pieces(coded, cuts)) == body


@settings(max_examples=150, deadline=None)
@given(name=NAMES, body=BODIES, cuts=CUTS, times=st.integers(1, 3))
def test_finish_may_come_at_any_moment(name: str, body: bytes, cuts: list[int], times: int) -> None:
    """Promise 5: after any prefix, and more than once; what is said then stays."""
    parser = PARSERS[name]()
    for part in pieces(body, cuts)[:times]:
        parser.feed(part)
    parser.finish()
    said = parser.answer()
    parser.finish()
    assert parser.answer() == said


CHAT = event(chunk("hello"))
ENDLESS = {
    "one line": (b'data: {"choices":[{"delta":{"content":"', b"abc def "),
    "one escaped string": (b'data: {"choices":[{"delta":{"content":"', b'\\"usage\\":{\\\\'),
    "nesting": (b'{"output":', b"["),
    "nesting of objects": (b'data: {"type":"x","output":', b'{"a":'),
    "one key": (b'{"', b"key"),
    "members": (b'{"a":1', b',"usage":{"prompt_tokens":7}'),
    "elements": (b'{"choices":[1', b',{"finish_reason":"stop"}'),
    "white space": (b"", b" \n"),
    "blank lines": (b"data: {}\n", b"\n\n\n"),
    "comments": (b": x\n", b": ping\n\n"),
    "open comments": (b": x\n", b": ping\n"),
    "data lines": (b"data: {\n", b"data: \n"),
    "events": (CHAT, CHAT),
    "array": (b"[", b'{"a":1},'),
    "lines": (b'{"a":1}\n', b'{"a":1}\n'),
    "scalar": (b'{"usage":', b"1"),
    "a wanted value": (b'{"usage":{"a":"', b"xyz"),
    "backslashes": (b'{"a":"', b"\\"),
    "aws messages": (b"", CONVERSE[1]),
    "aws chunks": (b"", INVOKE["llama"][1]),
    "a long aws message": (aws_event("metadata", b'{"a":"' + bytes(20_000_000))[:200], b"abc def "),
    "a long aws chunk": (aws_event("chunk", b'{"bytes":"' + bytes(20_000_000))[:110], b"QUJD"),
    "headers of aws": (b"\x01\0\0\0\0\x02\0\0\xaa\x0c\x0b\x99", b"\x01a\0"),
    "carriage returns": (b"data: {", b"\r"),
}
#: By how much what is kept may still move once every bound is passed.
GROWTH_MAX = 64 * 1024


@pytest.mark.parametrize("name", ["finder", "long event", "scanner", "scanner of events, taking out"])
@pytest.mark.parametrize("endless", sorted(ENDLESS))
def test_memory_is_bounded(name: str, endless: str) -> None:
    """Promise 3: past the bounds (256 KB of JSON, 64 KB of an event) nothing more of any hostile input is kept."""
    first, rest = ENDLESS[endless]
    parser = PARSERS[name]()
    parser.feed(first)
    piece = rest * (32 * 1024 // len(rest))
    for _ in range(9):
        parser.feed(piece)
    tracemalloc.start()
    for _ in range(4):
        parser.feed(piece)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < GROWTH_MAX
    parser.finish()


@pytest.mark.parametrize("endless", sorted(ENDLESS))
def test_time_is_linear(endless: str) -> None:
    """Promise 4: past every bound, four times the input takes about four times as long; quadratic is 16 times."""
    first, rest = ENDLESS[endless]

    def spent(size: int, piece: int) -> float:
        parser = PARSERS["scanner"]()
        parser.feed(first)
        body = rest * (size // len(rest))
        start = time.process_time()
        for at in range(0, len(body), piece):
            parser.feed(body[at : at + piece])
        parser.finish()
        return time.process_time() - start

    for piece in (512, 1 << 20):
        # the best of three: a shared machine may be slow once
        assert any(spent(1_200_000, piece) < 10 * max(spent(300_000, piece), 0.002) for _ in range(3))

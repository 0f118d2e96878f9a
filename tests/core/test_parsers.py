"""The six promises of HOUSE.md over every parser of the ground floor."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
BODIES = st.one_of(st.binary(max_size=200), st.lists(FRAGMENTS, max_size=30).map(b"".join))
CUTS = st.lists(st.integers(0, 10_000), max_size=12)
NAMES = st.sampled_from(sorted(PARSERS))


@settings(max_examples=1500, deadline=None)
@given(name=NAMES, body=BODIES, cuts=CUTS)
def test_any_split_gives_the_same_answer_and_nothing_raises(name: str, body: bytes, cuts: list[int]) -> None:
    """Promises 1 and 2, on anything."""
    assert run(name, pieces(body, cuts)) == run(name, [body])


@settings(max_examples=300, deadline=None)
@given(body=BODIES, cuts=CUTS, coding=st.sampled_from(sorted(CODINGS)))
def test_any_split_of_a_coded_body_gives_the_same_answer(body: bytes, cuts: list[int], coding: str) -> None:
    """Promise 1, with sound compression around anything."""
    coded = CODINGS[coding](body)
    assert run(f"scanner of {coding}", pieces(coded, cuts)) == run(f"scanner of {coding}", [coded])
    assert run(f"decoder of {coding}", pieces(coded, cuts)) == body


@settings(max_examples=300, deadline=None)
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
    "one line": (b'data: {"choices":[{"delta":{"content":"', b"abc def ", 1),
    "one escaped string": (b'data: {"choices":[{"delta":{"content":"', b'\\"usage\\":{\\\\', 1),
    "nesting": (b'{"output":', b"[", 1),
    "nesting of objects": (b'data: {"type":"x","output":', b'{"a":', 1),
    "one key": (b'{"', b"key", 1),
    "members": (b'{"a":1', b',"usage":{"prompt_tokens":7}', 1),
    "elements": (b'{"choices":[1', b',{"finish_reason":"stop"}', 1),
    "white space": (b"", b" \n", 1),
    "blank lines": (b"data: {}\n", b"\n\n\n", 1),
    "comments": (b": x\n", b": ping\n\n", 1),
    "open comments": (b": x\n", b": ping\n", 1),
    "data lines": (b"data: {\n", b"data: \n", 1),
    "events": (CHAT, CHAT, 0),
    "array": (b"[", b'{"a":1},', 1),
    "lines": (b'{"a":1}\n', b'{"a":1}\n', 1),
    "scalar": (b'{"usage":', b"1", 1),
    "a wanted value": (b'{"usage":{"a":"', b"xyz", 1),
    "backslashes": (b'{"a":"', b"\\", 1),
    "carriage returns": (b"data: {", b"\r", 1),
}
#: Kept by a JSON body, an open event and their copies while they are joined; no input may need more.
MEMORY_MAX = 2 * 1024 * 1024


@pytest.mark.parametrize("name", [name for name in sorted(PARSERS) if "decoder" not in name])
@pytest.mark.parametrize("endless", sorted(ENDLESS))
def test_memory_is_bounded(name: str, endless: str) -> None:
    """Promise 3: 6 MB of each hostile input stay under `MEMORY_MAX`."""
    first, rest, _ = ENDLESS[endless]
    parser = PARSERS[name]()
    parser.feed(first)
    piece = rest * (64 * 1024 // len(rest))
    tracemalloc.start()
    for _ in range(96):
        parser.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEMORY_MAX
    parser.finish()


@pytest.mark.parametrize("name", ["scanner", "scanner of events, taking out"])
@pytest.mark.parametrize("endless", sorted(ENDLESS))
def test_time_is_linear(name: str, endless: str) -> None:
    """Promise 4: eight times the input takes about eight times as long, in pieces of 1 KB."""
    first, rest, _ = ENDLESS[endless]

    def spent(size: int) -> float:
        best = float("inf")
        for _ in range(2):
            parser = PARSERS[name]()
            parser.feed(first)
            body = rest * (size // len(rest))
            start = time.process_time()
            for at in range(0, len(body), 1024):
                parser.feed(body[at : at + 1024])
            parser.finish()
            best = min(best, time.process_time() - start)
        return best

    assert spent(1 << 20) < 40 * max(spent(1 << 17), 0.001)

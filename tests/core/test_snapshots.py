"""Streams with usage in every event: what is passed over says the same as what is decoded."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.core.document import read
from awfproxy.core.fields import USAGE_LIMIT
from awfproxy.core.scanner import DecoderMemory, Scanner
from awfproxy.core.usage import Reading

from .parsers import event, pieces


def scan(parts: list[bytes]) -> Scanner:
    """A finished scanner."""
    scanner = Scanner(b"text/event-stream", b"", DecoderMemory())
    for part in parts:
        scanner.feed(part)
    scanner.finish()
    return scanner


#: Values that may stand where a count of Gemini's does, or beside it.
_COUNTS: st.SearchStrategy[Any] = st.one_of(
    st.integers(-3, 10**16), st.sampled_from([1.5, 1e3, None, True, "ON_DEMAND", "a b", [], {}])
)
_MODALITIES = st.lists(st.fixed_dictionaries({"modality": st.just("TEXT"), "tokenCount": st.integers(0, 9)}), max_size=2)
_METADATA = st.dictionaries(
    st.sampled_from(["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "trafficType", "x\\y"]),
    _COUNTS,
    max_size=4,
).flatmap(lambda counts: st.one_of(st.just(counts), _MODALITIES.map(lambda m: counts | {"promptTokensDetails": m})))
_TEXTS = st.sampled_from(["hello", '"usageMetadata":{"promptTokenCount":9}}', "x}\r\n\r\n", '\\"', '"finishReason"'])
_PARTS = st.one_of(
    _TEXTS.map(lambda text: {"text": text}),
    st.just({"functionCall": {"args": {"usageMetadata": {"promptTokenCount": 9}, "finishReason": "STOP", "usage": 3}}}),
)
_CHUNKS = st.builds(
    lambda part, finish, more, order: dict(sorted(
        ({"candidates": [{"content": {"parts": [part]}} | finish], "modelVersion": "gemini"} | more).items(),
        key=lambda item: item[0] > "n" if order else 0,
    )),
    _PARTS,
    st.sampled_from([{}, {}, {}, {"finishReason": "STOP"}, {"finishReason": None}]),
    st.one_of(
        _METADATA.map(lambda usage: {"usageMetadata": usage}),
        st.just({"responseId": "x"}),
        st.just({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}),
        st.just({"usageMetadata": {"promptTokenCount": 4}, "usage": {"prompt_tokens": 7}}),
        _METADATA.map(lambda usage: {"usageMetadata": usage, "responseId": 'a"b'}),
        st.just({'x"usageMetadata': {"promptTokenCount": 9}}),
    ),
    st.booleans(),
)  # fmt: skip
_WRITTEN = st.sampled_from([
    lambda text: f"data: {text}\r\n\r\n", lambda text: f"data: {text}\n\n", lambda text: f"data:{text}\n\n",
    lambda text: f"event: x\ndata: {text}\n\n", lambda text: f": {text}\n\n", lambda text: f"\ndata: {text} \n\n",
    lambda text: "data: " + text.replace(',"modelVersion"', ',\ndata: "modelVersion"') + "\n\n",
])  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    chunks=st.lists(st.tuples(_CHUNKS, _WRITTEN, st.sampled_from([(",", ":"), (", ", ": ")])), max_size=8),
    cuts=st.lists(st.integers(0, 5000), max_size=8),
)
def test_snapshots_that_are_passed_over_say_the_same(chunks: list[Any], cuts: list[int]) -> None:
    """A stream with usage in every event: as if each event had been decoded, at any split."""
    first = {"candidates": [], "modelVersion": "gemini", "usageMetadata": {"promptTokenCount": 1}}
    body = event(first).decode()
    right = Reading()
    right.framing = "sse"
    right.take(read(json.dumps(first).encode()) or {})
    for chunk_, write, separators in chunks:
        text = json.dumps(chunk_, separators=separators)
        body += write(text)
        if not write(text).startswith(":"):
            right.take(read(text.encode()) or {})
    scanner = scan(pieces(body.encode(), cuts))
    assert scanner.reading.usage == right.usage
    assert scanner.reading.final == right.final
    assert scanner.reading.errors == right.errors


def test_a_usage_too_long_to_be_read_is_not_passed_over() -> None:
    """As where it is decoded: the one before it counts."""
    first = {"candidates": [], "modelVersion": "gemini", "usageMetadata": {"promptTokenCount": 1}}
    long = first | {"usageMetadata": {"promptTokenCount": 2} | {f"a{n}": n for n in range(USAGE_LIMIT // 9)}}
    usage = scan([event(first), event(first), event(long)]).reading.usage
    assert usage is not None
    assert usage.input_tokens == 1


def test_snapshots_are_not_decoded() -> None:
    """Plain events of Gemini, spaced or not, with details of modalities: none but the first and the last is."""
    details = [{"modality": "TEXT", "tokenCount": 3}]
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 0, "promptTokensDetails": details}
    more = {"modelVersion": "gemini", "responseId": "abc-_1"}
    for separators in ((",", ":"), (", ", ": ")):
        for end in ("\n\n", "\r\n\r\n"):
            texts = [
                json.dumps({"candidates": [{"index": 0} | finish], "usageMetadata": usage | {"totalTokenCount": n}} | more,
                           separators=separators)
                for n, finish in enumerate([{}] * 9 + [{"finishReason": "STOP"}])
            ]  # fmt: skip
            body = "".join(f"data: {text}{end}" for text in texts).encode()
            for parts in ([body], pieces(body, list(range(0, len(body), 100)))):
                scanner = scan(parts)
                assert scanner.reading.documents == 2
                assert scanner.reading.usage is not None
                assert scanner.reading.usage.raw == usage | {"totalTokenCount": 9}
                assert scanner.reading.final

"""What is kept of an answer for an estimate: bounded, from where the text begins, the same for every split."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.decoders import DecoderMemory
from awfproxy.core.jsonbody import BEGINNING, BODY_MAX
from awfproxy.core.sample import SEARCHED, WINDOW, Sample
from awfproxy.core.scanner import Scanner

from .parsers import pieces

EVENT = b'data: {"type":"response.output_text.delta","item_id":"msg_1","delta":"hello"}\n\n'
SPOKEN = st.sampled_from([b'"text":"', b'"delta": "', b'"input":{', b'"bytes":"', b'"text"', b"x" * 700, b"\\", b'{"a":1}'])


def sampled(parts: list[bytes]) -> Sample:
    """A sample of a body in these pieces."""
    sample = Sample()
    for part in parts:
        if not sample.take(part):
            break
    return sample


@given(st.lists(st.one_of(SPOKEN, st.binary(max_size=50)), max_size=60), st.lists(st.integers(0, 20_000), max_size=8))
def test_the_sample_is_a_window_of_the_body_at_any_split(parts: list[bytes], edges: list[int]) -> None:
    """It is what it says it is, at most its bound, and does not depend on the pieces."""
    body = b"".join(parts)
    whole = sampled([body])
    assert len(whole.kept) <= WINDOW
    assert body[whole.passed_over :].startswith(whole.kept)
    split = sampled(pieces(body, [edge % (len(body) + 1) for edge in edges]))
    assert (split.kept, split.passed_over) == (whole.kept, whole.passed_over)


@given(st.integers(0, SEARCHED // 2))
def test_it_begins_where_the_text_does(before: int) -> None:
    """Instructions that an answer repeats are passed over, quotes in them too; deltas fill the window."""
    said = json.dumps('say "text":"no" ' * (before // 16))
    created = f'data: {{"type":"response.created","response":{{"instructions":{said}}}}}\n\n'.encode()
    sample = sampled([created, EVENT * 200])
    assert len(sample.kept) == WINDOW
    if before > WINDOW:
        assert sample.kept.startswith(b'"delta":"hello"')
        assert sample.kept.count(b'"delta":"hello"') > 40


@given(st.integers(0, 2 * WINDOW))
def test_a_beginning_across_the_end_of_a_window_is_found(before: int) -> None:
    """Wherever it lies."""
    sample = sampled([b"x" * before, b'"delta" : "', b"y" * 3 * WINDOW])
    assert sample.kept.startswith(b'"delta" : "')
    assert sample.passed_over == before


@pytest.mark.parametrize("byte", [b"x", b'"', b"\n", b"\\"])
def test_the_search_has_an_end(byte: bytes) -> None:
    """Without text a little more than `SEARCHED` is looked at, and then no more is taken."""
    sample = Sample()
    taken = 0
    while sample.take(byte * 1000):
        taken += 1000
        assert taken < SEARCHED + 3 * WINDOW
    assert len(sample.kept) == WINDOW
    assert not sample.take(b"more")


@pytest.mark.parametrize("coding", [b"", b"gzip"])
def test_the_scanner_samples_what_it_decoded(coding: bytes) -> None:
    """The same for a plain and a compressed answer, and its steady state is the framing's own method again."""
    import gzip

    body = b'data: {"choices":[{"delta":{"content":"hello"}}]}\n\n' * 200
    scanner = Scanner(b"text/event-stream", coding, DecoderMemory())
    for part in pieces(gzip.compress(body) if coding else body, list(range(0, 10_000, 300))):
        scanner.feed(part)
    passed_over = scanner.sample.passed_over
    assert passed_over == body.index(b'"content"')
    assert scanner.sample.kept == body[passed_over : passed_over + WINDOW]
    assert scanner.feed.__name__ == "feed"


def test_a_document_that_told_its_usage_is_not_searched() -> None:
    """What is reported needs no estimate."""
    for usage, kept in ((b',"usage":{"prompt_tokens":1}', False), (b"", True)):
        scanner = Scanner(b"application/json", b"", DecoderMemory())
        scanner.feed(b'{"choices":[{"message":{"content":"' + b"word " * 2000 + b'"}}]' + usage + b"}")
        scanner.finish()
        assert bool(scanner.sample.kept) is kept


def test_of_a_long_document_the_beginning_is_searched() -> None:
    """Up to its bound."""
    for before, found in ((BEGINNING // 2, True), (BEGINNING * 2, False)):
        body = b'{"a":[' + b"1," * (before // 2) + b'1],"content":"' + b"word " * (BODY_MAX // 5) + b'"}'
        scanner = Scanner(b"application/json", b"", DecoderMemory())
        for at in range(0, len(body), 60_000):
            scanner.feed(body[at : at + 60_000])
        scanner.finish()
        assert scanner.sample.kept.startswith(b'"content"') is found

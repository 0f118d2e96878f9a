"""The laws of memory and time on hostile answers of a gigabyte (`hostile.CASES`), each in a process of its own.

By default each case reads about a second's worth; ``AWFPROXY_HOSTILE_BYTES=1000000000`` reads a gigabyte of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from awfproxy.core.decoders import RATIO_FLOOR, RATIO_MAX, STEP, DecoderMemory
from awfproxy.core.scanner import Scanner

from .hostile import BOMBS, CASES, GIGABYTE, PIECE, START, Measured, measured, packed
from .parsers import CODINGS

#: bytes to read of each case; None: the case's own number
ASKED = int(os.environ["AWFPROXY_HOSTILE_BYTES"]) if "AWFPROXY_HOSTILE_BYTES" in os.environ else None
#: pieces as small as a slow sender makes them, and by how much less is read then
SMALL = 61
SMALL_PART = 64
#: twice the bytes cost at most so many times as much: 2 is linear, 4 quadratic
LINEAR_MAX = 2.6
#: a shared machine may be slow once
ATTEMPTS = 4


def _best(name: str, size: int, piece: int) -> Measured:
    """Of a few readings the first that is linear, else the last."""
    for _ in range(ATTEMPTS):
        seen = measured(name, size, piece)
        if seen.whole <= LINEAR_MAX * seen.half:
            break
    return seen


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("bomb")])
def test_endless_input_is_read_in_bounded_memory_and_linear_time(name: str) -> None:
    """The process grows by less than the bound that the case names; what comes behind it all is read right."""
    case = CASES[name]
    seen = _best(name, ASKED or case.size, PIECE)
    assert seen.grown <= case.bound
    assert seen.told == case.told
    assert seen.errors == ({case.error: 1} if case.error else {})
    assert seen.decoded > 0.9 * (ASKED or case.size)
    if seen.whole > 0.02:  # below that a clock's tick is seen
        assert seen.whole <= LINEAR_MAX * seen.half


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if not case.coding and len(case.rest) < case.size // SMALL_PART]
)
def test_small_pieces_cost_linear_time_too(name: str) -> None:
    """What is kept of an open event or body is not gone through again with each piece."""
    case = CASES[name]
    seen = _best(name, case.size // SMALL_PART, SMALL)
    assert seen.grown <= case.bound
    assert seen.told == case.told
    if seen.whole > 0.02:
        assert seen.whole <= LINEAR_MAX * seen.half


@pytest.mark.parametrize("codes", BOMBS)
def test_a_bomb_is_stopped_and_goes_on_to_the_client(codes: str) -> None:
    """A thousand to a thousand million times its size: what came before it counts, the rest is not decoded."""
    case = CASES[f"bomb: {codes}"]
    seen = measured(f"bomb: {codes}", ASKED or case.size)
    assert (ASKED or case.size) > 900 * seen.fed
    assert seen.errors == {"ratio": 1}
    assert seen.told == (5, None)
    assert seen.decoded <= max(RATIO_FLOOR, RATIO_MAX * seen.fed) + STEP
    assert seen.passed
    assert seen.grown <= case.bound


@pytest.mark.parametrize("code", sorted(CODINGS))
def test_every_byte_of_a_bomb_goes_on(code: str) -> None:
    """Offsets count on as if nothing had happened, and the decoder's memory is back at once."""
    memory = DecoderMemory()
    scanner = Scanner(b"text/event-stream", code.encode(), memory)
    body = b"".join(packed(code, 1 << 25, thin=False)) + b"more"
    for at in range(0, len(body), 1000):
        assert scanner.feed(body[at : at + 1000])
        assert scanner.safe == min(at + 1000, len(body))
    assert memory.free == memory.limit
    scanner.finish()
    assert scanner.reading.errors == {"ratio": 1}
    assert scanner.reading.final is False


DEEP = 10_000
_USAGE = b'"usage":{"prompt_tokens":3,"completion_tokens":4}'
NESTED: dict[str, Callable[[bytes], bytes]] = {
    "a body": lambda document: document,
    "a long body": lambda document: b'{"x":"' + b"x" * 300_000 + b'",' + document[1:],
    "an event": lambda document: b"data: " + document + b"\n\n",
    "a long event": lambda document: b'data: {"x":"' + b"x" * 100_000 + b'",' + document[1:] + b"\n\n",
    "lines": lambda document: b'{"a":1}\n' + document + b"\n",
    "an array": lambda document: b"[" + document + b"]",
}


@pytest.mark.parametrize("opens", [b"[", b'{"a":', b'[{"usage":'])
@pytest.mark.parametrize("where", sorted(NESTED))
@pytest.mark.parametrize("step", [17, 1000, 10**6])
def test_usage_is_found_behind_deep_nesting(opens: bytes, where: str, step: int) -> None:
    """10,000 levels: what stands in them is none of ours, what comes after them is."""
    closes = opens[::-1].translate(bytes.maketrans(b"[{", b"]}"), b'"usage:a')
    document = b'{"model":"m","output":' + opens * DEEP + b"1" + closes * DEEP + b"," + _USAGE + b"}"
    body = NESTED[where](document)
    scanner = Scanner(b"", b"", DecoderMemory())
    for at in range(0, len(body), step):
        scanner.feed(body[at : at + step])
    scanner.finish()
    usage = scanner.reading.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (3, 4)


def test_the_first_event_of_a_bomb_is_what_the_cases_say() -> None:
    """The law of bombs would hold for nothing if their beginning were no usage."""
    scanner = Scanner(b"text/event-stream", b"", DecoderMemory())
    scanner.feed(START)
    assert scanner.reading.usage is not None
    assert scanner.reading.usage.input_tokens == 5
    assert GIGABYTE == 10**9

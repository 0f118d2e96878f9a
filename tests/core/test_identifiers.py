"""Laws of request ids."""

import os
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.identifiers import DRAW_IDS, request_ids, valid_request_id


def test_ids_are_uuids_of_version_7() -> None:
    """Other tools parse them; the time in it is the clock's."""
    made = uuid.UUID(request_ids(lambda: 1_700_000_000.5, os.urandom)())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == 1_700_000_000_500


@given(st.lists(st.floats(min_value=0, max_value=4e9), min_size=1, max_size=50), st.integers(1, 40))
def test_ids_ascend_and_never_repeat_whatever_the_clock_does(clock: list[float], each: int) -> None:
    """Within one process the order of ids is the order of making, also when the clock is set back."""
    moments = iter([moment for moment in clock for _ in range(each)])
    next_id = request_ids(lambda: next(moments), os.urandom)
    made = [next_id() for _ in range(len(clock) * each)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_more_ids_than_a_draw_holds_stay_unique() -> None:
    """The counter has 8 bits: the 257th id needs new random bits even within the same millisecond."""
    next_id = request_ids(lambda: 1.0, os.urandom)
    made = [next_id() for _ in range(DRAW_IDS * 3)]
    assert len({len(one) for one in made}) == 1
    assert made == sorted(set(made))


def test_random_bits_are_drawn_anew() -> None:
    """Two processes that start in the same millisecond make different ids."""
    assert request_ids(lambda: 1.0, os.urandom)() != request_ids(lambda: 1.0, os.urandom)()


def test_our_own_ids_are_valid_ones() -> None:
    """A proxy behind a proxy accepts the first one's id."""
    assert valid_request_id(request_ids(time.time, os.urandom)().encode())


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (b"abc-123", True),
        (b"arn:aws:x/y+z=@1~2", True),
        (b"a" * 128, True),
        (b"a" * 129, False),
        (b"", False),
        (b"-leading", False),
        (b"two words", False),
        (b"line\nbreak", False),
        (b"abc\n", False),
        (b'"quoted"', False),
        (b"caf\xc3\xa9", False),
        (b"a,b", False),
    ],
)
def test_which_client_ids_are_taken(value: bytes, valid: bool) -> None:
    """What goes into logs, queries and headers is plain."""
    assert valid_request_id(value) is valid

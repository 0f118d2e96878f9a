"""Modes: read from headers and model names, and never silently wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from awfproxy.simulator import modes


def test_headers_and_marks_say_the_same() -> None:
    """A model's marks and headers give equal modes."""
    headers = modes.read(
        [(b"x-sim-pace", b"2.5"), (b"x-sim-cut", b"3"), (b"x-sim-trailers", b"1"), (b"accept", b"*/*")]
    )
    assert headers == modes.read([], "gpt-4o+sim-pace=2.5+sim-cut=3+sim-trailers")
    assert (headers.pace, headers.cut, headers.trailers) == (2.5, "3", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-sim-pase", b"1"),
        (b"x-sim-pace", b"soon"),
        (b"x-sim-events", b"1.5"),
        (b"x-sim-cut", b"-1"),
        (b"x-sim-cut-how", b"gently"),
        (b"x-sim-usage", b"no"),
        (b"x-sim-big-line", b"99999999999"),
        (b"x-sim-pace", b"nan"),
        (b"x-sim-cache", b"forget"),
        (b"x-sim-tool", b"Read"),
        (b"x-sim-tool", b'["Read"]'),
    ],
)
def test_a_misspelt_mode_is_an_error(name: bytes, value: bytes) -> None:
    """So that a test that meant it does not pass without it."""
    with pytest.raises(modes.ModeError):
        modes.read([(name, value)])


def test_where_to_stop() -> None:
    """'before' is no number of events."""
    assert [modes.after(count) for count in (None, "before", "0", "7")] == [None, None, 0, 7]


def test_every_mode_is_documented() -> None:
    """docs/simulator.md has a row for each mode, and none for another."""
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    rows = re.findall(r"^\| `x-sim-([a-z-]+)` \|", page, re.MULTILINE)
    assert rows == [name.replace("_", "-") for name in modes.Mode.__struct_fields__]

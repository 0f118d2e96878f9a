"""One call a line: a request with its usage, and nothing that moves a cursor."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from awfproxy.report.calls import WAITING_MAX, Calls
from tests.report.test_summary import request
from tests.report.test_token_usage import record


def line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def test_a_request_with_its_usage() -> None:
    """Time, port, status, model, tokens, duration, labels."""
    calls = Calls()
    calls.usage(line(record("1")))
    assert calls.line(line(request("1", model="gpt-4o", user="ci", run="7", duration_ms=1234.5))) == (
        "03:04:05.678  a  200  gpt-4o  1,000 (500 cached) in, 20 out  1.2 s  user ci  run 7"
    )


def test_a_refusal() -> None:
    """With its code; there are no tokens."""
    shown = Calls().line(line(request("1", outcome="refused", refusal_code="hard-cap-exceeded", status=429)))
    assert shown == "03:04:05.678  a  429  refused hard-cap-exceeded  100 ms"


def test_usage_alone() -> None:
    """AWF's record: it has a provider, and no port; what nobody reported is "?"."""
    shown = Calls().line(line(record("1", unknown=["output_tokens"], usage_source="estimated")))
    assert shown == "03:04:05.678  openai  gpt-4o  1,000 (500 cached) in, ? out estimated"


def test_usage_is_not_shown_twice_nor_kept_for_ever() -> None:
    """It is taken by its request; what nobody takes makes room."""
    calls = Calls()
    for number in range(WAITING_MAX + 10):
        calls.usage(line(record(str(number))))
    assert len(calls._waiting) == WAITING_MAX
    assert " in, " not in (calls.line(line(request("1"))) or "")
    assert " in, " in (calls.line(line(request(str(WAITING_MAX)))) or "")
    assert " in, " not in (calls.line(line(request(str(WAITING_MAX)))) or "")


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (96, "03:04:05.678  a  200  gpt-4o  1,000 (500 cached) in, 20 out  1.2 s  user ci  run 7"),
        (80, "03:04:05.678  a  200  gpt-4o  1,000 (500 cached) in, 20 out  1.2 s  user ci"),
        (70, "03:04:05.678  a  200  gpt-4o  1,000 (500 cached) in, 20 out  1.2 s"),
        (52, "03:04:05.678  gpt-4o  1,000 (500 cached) in, 20 out"),
        (30, "03:04:05.678  1,000 (500 cach…"),
    ],
)
def test_what_there_is_no_room_for_is_left_out(width: int, shown: str) -> None:
    """The least needed first; time and tokens stay as long as they can."""
    calls = Calls(lambda: width)
    calls.usage(line(record("1")))
    fields = request("1", model="gpt-4o", user="ci", run="7", duration_ms=1234.5)
    assert calls.line(line(fields)) == shown


@given(st.text(), st.sampled_from(["port", "model", "outcome", "user", "run"]), st.integers(1, 200))
def test_a_line_fits_the_terminal(text: str, name: str, width: int) -> None:
    """Also where its characters take two columns."""
    calls = Calls(lambda: width)
    for fields in (request("1", **{name: text}), record("1", **{name: text})):
        shown = calls.line(line(fields))
        assert shown is None or cell_len(shown) <= width


@given(st.text(), st.sampled_from(["port", "model", "outcome", "user", "timestamp", "refusal_code", "usage_source"]))
def test_nothing_of_a_record_moves_the_cursor(text: str, name: str) -> None:
    """Whatever stands in it, a line is one line that can be printed."""
    calls = Calls()
    for fields in (request("1", **{name: text}), record("1", **{name: text})):
        shown = calls.line(line(fields))
        assert shown is None or shown.isprintable()
        assert len(shown or "") < 2_000


@given(st.binary())
def test_any_bytes_have_an_answer(data: bytes) -> None:
    """Nothing raises."""
    calls = Calls()
    calls.usage(data)
    calls.line(data)

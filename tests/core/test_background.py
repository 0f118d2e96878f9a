"""Work that goes on after its answer: which answers say so, and which show its end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.background import UNFINISHED, WORKS_MAX, Works, goes_on, is_over
from awfproxy.core.decoders import DecoderMemory
from awfproxy.core.kinds import ASSISTANTS, CHAT, INTERACTIONS, RESPONSES, Kind
from awfproxy.core.scanner import Scanner
from awfproxy.core.usage import Reading

_USAGE = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}


def read(body: bytes) -> Reading:
    """What the scanner reads of an answer."""
    scanner = Scanner(b"", b"", DecoderMemory())
    scanner.feed(body)
    scanner.finish()
    return scanner.reading


def answer(status: str | None, usage: object = None, name: str = "resp_1") -> Reading:
    """A JSON answer about a work."""
    return read(json.dumps({"id": name, "object": "response", "status": status, "usage": usage}).encode())


def events(*documents: dict[str, Any]) -> Reading:
    """A stream of these."""
    return read(b"".join(b"event: x\ndata: %b\n\n" % json.dumps(document).encode() for document in documents))


_CREATED = {"type": "response.created", "response": {"id": "resp_1", "status": "queued", "usage": None}}
_GOING = {"type": "response.in_progress", "response": {"id": "resp_1", "status": "in_progress", "usage": None}}
_DELTA = {"type": "response.output_text.delta", "delta": "{\"status\": \"completed\"}", "item_id": "msg_1"}
_DONE = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "usage": _USAGE}}


@pytest.mark.parametrize("kind", [RESPONSES, INTERACTIONS, ASSISTANTS])
@pytest.mark.parametrize("status", sorted(UNFINISHED))
def test_an_answer_that_is_no_end(kind: Kind, status: str) -> None:
    """A whole JSON answer that says the work is not finished names it, whatever the request said."""
    assert goes_on(kind, False, answer(status)) == "resp_1"
    assert not is_over("resp_1", answer(status))


@pytest.mark.parametrize("status", ["completed", "failed", "incomplete", "cancelled", "expired", "a_new_word"])
def test_an_answer_that_is_an_end(status: str) -> None:
    """Every other word ends the work, with usage or without."""
    assert goes_on(RESPONSES, True, answer(status)) is None
    assert is_over("resp_1", answer(status))
    assert is_over("resp_1", answer(status, _USAGE))


def test_the_client_is_to_act() -> None:
    """Usage tells an interaction, which ends there, from a run, which waits."""
    assert is_over("resp_1", answer("requires_action", _USAGE))
    assert goes_on(INTERACTIONS, True, answer("requires_action", _USAGE)) is None
    assert not is_over("resp_1", answer("in_progress", _USAGE))


def test_what_names_no_work() -> None:
    """Kinds that never go on, answers without a status or an id, and answers about another work."""
    assert goes_on(CHAT, True, answer("queued")) is None
    assert goes_on(RESPONSES, True, answer(None)) is None
    assert goes_on(RESPONSES, True, read(b'{"status": "queued"}')) is None
    assert goes_on(RESPONSES, True, Reading()) is None
    assert not is_over("resp_1", answer("completed", name="resp_2"))
    assert not is_over("resp_1", read(b'{"object": "list", "data": [{"id": "resp_1", "status": "completed"}]}'))
    assert not is_over("resp_1", answer(None))


def test_streams() -> None:
    """A stream names its work from its first event on; cut, it goes on only in the background."""
    cut = events(_CREATED, _GOING, _DELTA)
    assert goes_on(RESPONSES, True, cut) == "resp_1"
    assert goes_on(RESPONSES, False, cut) is None
    assert not is_over("resp_1", cut)
    whole = events(_CREATED, _GOING, _DELTA, _DONE)
    assert goes_on(RESPONSES, True, whole) is None
    assert is_over("resp_1", whole)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9).map(str))))
def test_works_are_a_set(steps: list[tuple[bool, str]]) -> None:
    """Law: a name is there from its beginning until its end, however often each is said."""
    works, names = Works(), set()
    for begins, name in steps:
        if begins:
            works.began(name)
            names.add(name)
        else:
            works.ended(name)
            names.discard(name)
        assert len(works) == len(names)
        assert all((str(n) in works) == (str(n) in names) for n in range(10))


def test_works_are_bounded() -> None:
    """The oldest is forgotten; one that is named again is not the oldest any more."""
    works = Works(str(number) for number in range(WORKS_MAX))
    works.began("0")
    works.began("new")
    assert len(works) == WORKS_MAX
    assert "0" in works
    assert "1" not in works

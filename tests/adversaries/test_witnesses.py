"""None is forwarded in two meanings: what the proxy wrote is read alike by parsers of other people's making."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.adversaries import witnesses
from tests.adversaries.corpus import ANSWERS, REQUESTS
from tests.adversaries.playing import Play
from tests.adversaries.test_answers import answered
from tests.adversaries.witnesses import ReadAnswer, ReadRequest

needs_node = pytest.mark.skipif(witnesses.NODE is None, reason="there is no node here")


def forwarded(name: str) -> list[bytes]:
    """All that went over each upstream connection in a case."""
    one = Play()
    one.send(REQUESTS[name].sent)
    one.leave()
    return [data for data in one.upstream.values() if data]


FORWARDED = [name for name, case in REQUESTS.items() if case.upstream]


@pytest.mark.parametrize("name", FORWARDED)
def test_upstreams_agree_on_what_they_were_asked(name: str) -> None:
    """As many requests as the case says, with one method, target, list of fields and body each."""
    expected = [each.split(b" ", 2)[:2] for each in REQUESTS[name].upstream]
    bodies = [each.partition(b"\r\n\r\n")[2] for each in REQUESTS[name].upstream]
    read: list[ReadRequest] = []
    for data in forwarded(name):
        one = witnesses.requests_by_h11(data)
        assert one == witnesses.requests_by_standard_library(data)
        read += one
    assert [list(each[:2]) for each in read] == expected
    assert [each[3] for each in read] == bodies


@needs_node
def test_node_agrees_on_what_it_was_asked() -> None:
    """The parser of Node's servers, as strict as it comes."""
    connections = [data for name in FORWARDED for data in forwarded(name)]
    for data, read in zip(connections, witnesses.by_node("requests", connections), strict=True):
        assert [_request(each) for each in read] == witnesses.requests_by_h11(data)


def _request(told: dict[str, Any]) -> ReadRequest:
    assert "error" not in told, told
    return told["method"].encode(), _bytes(told["target"]), _fields(told), _bytes(told["body"])


def _fields(told: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(_bytes(name), _bytes(value)) for name, value in told["fields"]]


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


@pytest.mark.parametrize("name", ANSWERS)
def test_clients_agree_on_what_they_were_answered(name: str) -> None:
    """One answer, with one status, list of fields and body; or both see that it is cut."""
    case = ANSWERS[name]
    data = answered(case, [])[2]
    read = witnesses.answer_by_h11(data, case.method)
    assert read == witnesses.answer_by_standard_library(data, case.method)
    assert (read is None) is case.cut
    if read is not None and case.outcome == "complete":
        assert (read[0], read[2]) == (int(case.got.split(b" ", 2)[1]), case.got.partition(b"\r\n\r\n")[2])


@needs_node
def test_node_agrees_on_what_it_was_answered() -> None:
    """The parser of the agents that run on Node."""
    cases = list(ANSWERS.values())
    got = [answered(case, [])[2] for case in cases]
    asked = [case.method + b" " + data for case, data in zip(cases, got, strict=True)]
    for case, data, told in zip(cases, got, witnesses.by_node("answers", asked), strict=True):
        assert _answer(told) == witnesses.answer_by_h11(data, case.method), case.name


def _answer(told: dict[str, Any]) -> ReadAnswer | None:
    assert "error" not in told, told
    return None if told["body"] is None else (told["status"], _fields(told), _bytes(told["body"]))

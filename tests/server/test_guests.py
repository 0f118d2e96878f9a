"""How many clients are taken, and who makes room for a new one."""

from __future__ import annotations

import pytest

from awfproxy.server.admin import CONNECTIONS_MAX
from awfproxy.server.client import LINGER
from awfproxy.server.guests import FILES_KEPT, TELL_EVERY, connections_for
from tests.server.stage import Stage, Wire
from tests.server.test_call import ANSWER, begin, request, requests, response, split

HALF = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n"


def closed(*wires: Wire) -> list[bool]:
    """Which of them are closed."""
    return [wire.closed for wire in wires]


def test_as_many_as_are_taken() -> None:
    """Nobody is closed before there is one too many."""
    stage = Stage(max_connections=3)
    assert closed(*[stage.client() for _ in range(3)]) == [False] * 3
    assert stage.shared.house.count == 3


def test_the_one_that_has_been_idle_longest_makes_room() -> None:
    """Not the one that came first: that had a call meanwhile."""
    stage = Stage(max_connections=3)
    first, upstream = begin(stage, request())
    second, third = stage.client(), stage.client()
    upstream.receive(response(ANSWER))
    stage.turn()
    assert split(first.take())[1] == ANSWER
    fourth = stage.client()
    assert closed(first, second, third, fourth) == [False, True, False, False]
    fifth = stage.client()
    assert closed(first, third, fourth, fifth) == [False, True, False, False]
    assert stage.port.tally.closed_for_others == 2


def test_half_a_head_holds_no_place() -> None:
    """Slow heads: whoever opens connections to hold them makes room for others."""
    stage = Stage(max_connections=3)
    slow = [stage.client() for _ in range(3)]
    for each in slow:
        each.receive(HALF)
    client, upstream = begin(stage, request())
    assert closed(*slow, client) == [True, False, False, False]
    slow[0].end()
    upstream.receive(response(ANSWER))
    stage.turn()
    assert split(client.take())[1] == ANSWER


def test_a_call_is_never_closed_for_another() -> None:
    """Where all have one, the new connection goes, with no record: nothing was asked on it."""
    stage = Stage(max_connections=2)
    begin(stage, request())
    begin(stage, request())
    assert closed(stage.client()) == [True]
    assert len(stage.port.calls) == 2 and requests(stage) == []


def test_a_limit_that_became_lower_holds_at_once() -> None:
    """For those that have no call, the longest idle first; nobody is closed for one that is on its way out."""
    stage = Stage(max_connections=6)
    begin(stage, request())
    idle = [stage.client() for _ in range(5)]
    stage.change(max_connections=3)
    assert closed(*idle) == [True, True, True, False, False]
    assert closed(stage.client(), *idle[3:]) == [False, True, False]
    for each in idle[:4]:
        each.end()
    assert closed(stage.client(), idle[4]) == [False, True]
    assert stage.port.tally.closed_for_others == 5


def test_a_lower_limit_and_clients_that_come_all_the_time() -> None:
    """Running calls keep more than there may be, for as long as they run, and no connection without one is kept."""
    stage = Stage(max_connections=4)
    calls = [begin(stage, request()) for _ in range(3)]
    stage.change(max_connections=1)
    assert closed(*[client for client, _ in calls]) == [False] * 3
    assert closed(stage.client()) == [True]


def test_a_body_that_comes_is_a_call() -> None:
    """It has time limits of its own."""
    stage = Stage(max_connections=1)
    client = stage.client()
    client.receive(request(b"x" * 50)[:-1])
    assert closed(stage.client(), client) == [True, False]


def test_one_that_is_gone_gives_its_place_back() -> None:
    """Once, however it went."""
    stage = Stage(max_connections=2)
    for _ in range(20):
        one, other = stage.client(), stage.client()
        one.end()
        other.end(clean=False)
    assert stage.shared.house.count == 0 and stage.port.tally.closed_for_others == 0


def test_one_that_does_not_take_its_answers_is_cut() -> None:
    """Closing in order would wait for it."""
    stage = Stage(max_connections=1)
    client, upstream = begin(stage, request())
    upstream.receive(response(ANSWER))
    stage.turn()
    client.queued = 1000
    stage.client()
    assert client.aborted


def test_a_refusal_on_its_way_is_the_last_to_go() -> None:
    """One that was closed and lingers came to be without a call just now."""
    stage = Stage(max_connections=2)
    idle, refused = stage.client(), stage.client()
    refused.receive(b"nonsense\r\n\r\n")
    stage.turn()
    stage.client()
    assert refused.half_closed and closed(idle, refused) == [True, False]
    stage.wait(LINGER + 1)
    assert refused.closed


def test_a_refusal_that_waits_for_its_record_is_a_call() -> None:
    """Of what is no request too."""
    stage = Stage(max_connections=1)
    refused = stage.client()
    refused.receive(b"nonsense\r\n\r\n")
    assert closed(stage.client(), refused) == [True, False]
    stage.turn()
    assert refused.take().startswith(b"HTTP/1.1 400 ")


def test_one_that_was_cut_and_does_not_read_keeps_no_place() -> None:
    """Its end is queued behind what it does not take."""
    stage = Stage(max_connections=1)
    client, upstream = begin(stage, request())
    client.queued = 1000
    upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    upstream.end()
    stage.turn()
    assert closed(client) == [True] and not client.aborted
    stage.client()
    assert client.aborted


def test_what_the_process_takes_is_taken_from_the_port_that_holds_most() -> None:
    """Whatever `max_connections` says: there are no more files."""
    stage = Stage()
    stage.shared.house.most = 2
    first, second = stage.client(), stage.client()
    third = stage.client()
    assert closed(first, second, third) == [True, False, False]


def test_it_is_told_now_and_then(logged: list[str]) -> None:
    """One line a minute, with how many and why."""
    stage = Stage(max_connections=1)

    def crowd() -> None:
        for _ in range(5):
            stage.client()

    def told() -> list[str]:
        return [line for line in logged if "closed for new ones" in line]

    crowd()
    stage.wait(1)
    assert told() == ["main: 4 connections without a call were closed for new ones (max_connections = 1)"]
    crowd()
    stage.wait(TELL_EVERY / 2)
    assert len(told()) == 1
    stage.wait(TELL_EVERY)
    assert len(told()) == 2


@pytest.mark.parametrize(("files", "connections"), [(65_536, 32_682), (1024, 426), (256, 42), (FILES_KEPT, 1), (10, 1)])
def test_connections_for_files(files: int, connections: int) -> None:
    """Two for each call, beside what is kept; never none."""
    assert connections_for(files) == connections


def test_who_else_connects_has_files() -> None:
    """The admin listener and the admin socket, as many as they take."""
    assert FILES_KEPT >= 2 * CONNECTIONS_MAX + 44

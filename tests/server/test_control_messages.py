"""What a supervisor and its workers tell each other, as bytes."""

import os
import socket
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Database, Port, Proxy, Service, Settings, Upstream
from awfproxy.server.control_messages import (
    Ask,
    Assignment,
    Configure,
    Configured,
    Drain,
    Ended,
    Fenced,
    Incoming,
    Message,
    Others,
    Serve,
    Started,
    Terms,
    Told,
    encode,
    read_assignment,
)
from awfproxy.server.totals import Figures
from tests.server.test_totals import figures

SETTINGS = Settings(
    service=Service(
        log_dir="/l", state_dir="/s", admin="tcp:1", ledger=Database("postgresql://u@h/d", Secret("pw-1")), workers=2
    ),
    ports=(
        Port(
            name="a", listen="tcp:0", provider="openai", upstream=Upstream("http", "u", 1),
            credential=Secret("sk-secret"), proxy=Proxy("p", 2, Secret("Basic x")),
        ),
    ),
    source="test",
)  # fmt: skip
TERMS = Terms(SETTINGS, ["a"], [("a", None)], {"a": "id"}, [(Scope("a"), Budget(enabled=True))], True)
CONFIGURE = Configure(3, TERMS, [{"a": None, "b": 0}, {"a": None, "b": 1}], 2)
ASSIGNMENT = Assignment(TERMS, 1, [{"a": 5}, {"a": 6}], {"works": 7})


def test_settings_arrive_whole_with_their_secrets() -> None:
    """And are not shown by what shows the message."""
    (message,) = Incoming(True).feed(encode(ASSIGNMENT))
    assert message == ASSIGNMENT
    assert isinstance(message, Assignment)
    assert message.terms.settings.ports[0].credential == Secret("sk-secret")
    assert "sk-secret" not in repr(message)


def test_figures_arrive_whole() -> None:
    """Counts by more than one key too."""
    told = Told(figures(["m", "n"], 3, written=2, last_write=1.5), {"journal": "full"}, {"ports": {"a": {"calls": 1}}}, 4)
    assert list(Incoming(False).feed(encode(told))) == [told]
    nothing = Told(Figures(), {}, {})
    assert list(Incoming(False).feed(encode(nothing))) == [nothing]


@given(data=st.data())
def test_any_split_gives_the_same_messages(data: st.DataObject) -> None:
    """Sockets know no messages."""
    for to_worker, sent in (
        (True, [ASSIGNMENT, Serve([0, 1]), Ask(1), Others({"journal": "x"}), CONFIGURE, Drain()]),
        (False, [Started(), Fenced(2), Configured(3), Ended(1, 20)]),
    ):
        assert isinstance(sent, list)
        raw = b"".join(map(encode, sent))
        incoming, got = Incoming(to_worker), list[Message]()
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)))))
        for begin, end in pairwise([0, *cuts, len(raw)]):
            got += incoming.feed(raw[begin:end])
        assert got == sent


@pytest.mark.parametrize("message", [ASSIGNMENT, Drain(), None], ids=["assigned", "not needed", "supervisor gone"])
def test_the_first_message(message: Message | None) -> None:
    """A worker takes its assignment, and ends without one."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if message is not None:
            ours.sendall(encode(message) + encode(Serve([1])))
        ours.shutdown(socket.SHUT_WR)
        got = read_assignment(theirs, [])
        assert got == (message if message is ASSIGNMENT else None)
        if message is not None:
            assert theirs.recv(1000) == encode(Serve([1]))  # what comes after it is left where it is


def test_descriptors_that_come_with_the_assignment_are_kept() -> None:
    """Whoever sends them queues them: they leave with the bytes that leave next, of a message before theirs."""
    ours, theirs = socket.socketpair()
    with ours, theirs, open("/dev/null", "rb") as sent:
        raw = encode(ASSIGNMENT)
        for at in (0, 1):
            socket.send_fds(ours, [raw[at : at + 1]], [sent.fileno()])
        ours.sendall(raw[2:])
        came: list[int] = []
        assert read_assignment(theirs, came) == ASSIGNMENT
        assert [os.fstat(each).st_rdev for each in came] == [os.fstat(sent.fileno()).st_rdev] * 2
        for each in came:
            os.close(each)

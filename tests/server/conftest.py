"""Fixtures of the server's tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The lines of the log, as they come."""
    lines: list[str] = []

    @provider(ILogObserver)
    def observer(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of the loopback on which somebody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]

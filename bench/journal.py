"""What a record costs: hand-over, append, acknowledgement.

    python bench/journal.py [--reactor uvloop|epoll] [--seconds 1]

Several sockets become readable in one turn of the reactor and each hands over one record, as calls that end do.  Prints
µs of CPU of the whole process a record (reactor and writer thread together), the same without a journal, and the time
until the acknowledgement.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any


def _install(name: str) -> Any:
    if name == "uvloop":
        import uvloop
        from twisted.internet import asyncioreactor

        asyncioreactor.install(uvloop.new_event_loop())
    else:
        from twisted.internet import epollreactor

        epollreactor.install()
    from twisted.internet import reactor

    return reactor


def _lines() -> tuple[bytes, bytes]:
    from awfproxy.core import records

    request = records.RequestRecord(
        timestamp=records.timestamp(time.time()),
        request_id="0198c0de-0000-7000-8000-000000000000",
        provider="openai",
        port="openai",
        outcome="complete",
        usage_source="estimated",
        method="POST",
        path="/v1/chat/completions",
        status=200,
        streaming=True,
        model="gpt-4o-2024-08-06",
        request_model="gpt-4o",
        request_bytes=1024,
        response_bytes=4096,
        framing="chunked",
        admitted_at=records.timestamp(time.time()),
        duration_ms=1234.5,
        ttfb_ms=234.5,
        attempts=1,
    )
    usage = records.token_usage(request, None, estimate=(1000, 200))
    assert usage is not None
    return records.encode(usage), records.encode(request)


class Ending:
    """A socket whose reading is the end of a call."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self.near, self._far = socket.socketpair()
        self.near.setblocking(False)

    def fileno(self) -> int:
        """What the reactor watches."""
        return self.near.fileno()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "ending"

    def connectionLost(self, reason: object) -> None:
        """Never, here."""

    def doRead(self) -> None:
        """One call ends."""
        self.near.recv(1)
        self._ended()

    def begin(self) -> None:
        """Let it end in the next turn."""
        self._far.send(b"x")


class Row:
    """One line of the result: ``group`` calls that end in one turn, again when all are acknowledged."""

    def __init__(self, reactor: Any, journal: Any, group: int, seconds: float, done: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._journal = journal
        self._seconds = seconds
        self._done = done
        self._lines = _lines()
        self._waits: list[float] = []
        self._open = 0
        self._calls = [Ending(self._ended) for _ in range(group)]
        for call in self._calls:
            reactor.addReader(call)
        self._began, self._began_cpu = time.perf_counter(), time.process_time()
        self._turn()

    def _turn(self) -> None:
        self._open = len(self._calls)
        for call in self._calls:
            call.begin()

    def _ended(self) -> None:
        since = time.perf_counter()
        if self._journal is None:
            self._acknowledged(since)
        else:
            self._journal.reserve()
            self._journal.append(*self._lines, lambda: self._acknowledged(since))

    def _acknowledged(self, since: float) -> None:
        self._waits.append(time.perf_counter() - since)
        self._open -= 1
        if not self._open:
            if time.perf_counter() - self._began < self._seconds:
                self._turn()
            else:
                self._finish()

    def _finish(self) -> None:
        cpu = (time.process_time() - self._began_cpu) * 1e6 / len(self._waits)
        for call in self._calls:
            self._reactor.removeReader(call)
        waits = sorted(self._waits)
        name = "journal" if self._journal is not None else "no journal"
        half, last = waits[len(waits) // 2] * 1e6, waits[len(waits) * 99 // 100] * 1e6
        self._done(
            f"{len(self._calls):4d} a turn, {name:10}  {cpu:6.1f} µs CPU a record"
            f"   acknowledged after {half:5.0f} µs (p99 {last:5.0f})"
        )


def main() -> None:
    """Run all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reactor", choices=("uvloop", "epoll"), default="uvloop")
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    reactor = _install(options.reactor)
    from awfproxy.server.journal import Journal

    loop = getattr(reactor, "_asyncioEventloop", None)
    call_from_thread = reactor.callFromThread if loop is None else loop.call_soon_threadsafe
    call_soon = None if loop is None else loop.call_soon

    with tempfile.TemporaryDirectory() as directory:
        journal = Journal(directory, call_from_thread=call_from_thread, call_soon=call_soon, clock=reactor)
        plan = [(group, which) for group in (1, 8, 32, 256) for which in (None, journal)]

        def following(line: str | None = None) -> None:
            if line is not None:
                sys.stdout.write(line + "\n")
            if plan:
                group, which = plan.pop(0)
                Row(reactor, which, group, options.seconds, following)
            else:
                journal.stop(5.0).addCallback(lambda _left: reactor.stop())

        sys.stdout.write(f"journal on {options.reactor}\n")
        reactor.callWhenRunning(journal.start)
        reactor.callWhenRunning(following)
        reactor.run()


if __name__ == "__main__":
    main()

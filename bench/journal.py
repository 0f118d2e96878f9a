"""What a record costs: encoding, hand-over, append, acknowledgement.

    python bench/journal.py [--reactor uvloop|epoll] [--seconds 1]

Prints µs of CPU of the whole process a record (reactor and writer thread together) and the time until the
acknowledgement, for records that come alone and for several in one turn of the reactor.
"""

from __future__ import annotations

import argparse
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


def main() -> None:
    """Run all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reactor", choices=("uvloop", "epoll"), default="uvloop")
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    reactor = _install(options.reactor)
    from awfproxy.server.journal import Journal

    usage_line, request_line = _lines()
    call_from_thread: Callable[..., object] = reactor.callFromThread
    if options.reactor == "uvloop":
        call_from_thread = reactor._asyncioEventloop.call_soon_threadsafe

    results: list[str] = []

    def row(journal: Journal, group: int, gap: float, then: Callable[[], None]) -> None:
        waits: list[float] = []
        began_cpu, began = time.process_time(), time.perf_counter()
        state = {"open": 0, "turns": 0}

        def turn() -> None:
            if time.perf_counter() - began > options.seconds:
                cpu = (time.process_time() - began_cpu) * 1e6 / max(1, len(waits))
                waits.sort()
                half, last = waits[len(waits) // 2] * 1e6, waits[len(waits) * 99 // 100] * 1e6
                pace = "as fast as acknowledged" if not gap else f"every {gap * 1e3:g} ms"
                results.append(
                    f"{group:3d} a turn, {pace:24}  {cpu:7.1f} µs CPU a record   "
                    f"ack p50 {half:6.0f} µs  p99 {last:6.0f} µs  ({len(waits)} records)"
                )
                then()
                return
            state["turns"] += 1
            for _ in range(group):
                state["open"] += 1
                journal.reserve()
                sent = time.perf_counter()
                journal.append(usage_line, request_line, lambda sent=sent: done(sent))  # type: ignore[misc]
            if gap:
                reactor.callLater(gap, turn)

        def done(sent: float) -> None:
            waits.append(time.perf_counter() - sent)
            state["open"] -= 1
            if not state["open"] and not gap:
                turn()

        turn()

    with tempfile.TemporaryDirectory() as directory:
        journal = Journal(directory, call_from_thread=call_from_thread, clock=reactor)

        def rows() -> None:
            journal.start()
            plan = [(1, 0.0), (1, 0.001), (8, 0.0), (32, 0.0), (256, 0.0)]

            def following() -> None:
                if plan:
                    group, gap = plan.pop(0)
                    row(journal, group, gap, following)
                else:
                    journal.stop(5.0).addCallback(lambda _left: reactor.stop())

            following()

        reactor.callWhenRunning(rows)
        reactor.run()
    sys.stdout.write(f"journal on {options.reactor}\n" + "\n".join(results) + "\n")


if __name__ == "__main__":
    main()

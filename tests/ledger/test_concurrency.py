"""Many holders at once, on one database: the cap holds at every moment, and every token is accounted for."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec import structs

from awfproxy.ledger.facts import Held, Holder
from awfproxy.ledger.rows import Row
from awfproxy.ledger.sql import SqlLedger
from tests.ledger.samples import APRIL, LATER, MARCH, NOW, PORT, held, row

CAP = 20_000
HOLDERS = 8
STEPS = 60


def work(ledger: SqlLedger, holder: Holder, seed: int) -> int:
    """Borrow, spend, give back and tell, at random; returns what was spent."""
    chance = random.Random(seed)
    mine = held()
    for _ in range(STEPS):
        step = chance.random()
        if step < 0.6:
            need = chance.randrange(1, 300)
            grant = ledger.borrow(holder, mine, cap=CAP, need=need, most=500, now=NOW, expires_at=LATER)
            used = chance.randrange(0, need) if grant.fits else 0
            mine = structs.replace(mine, granted=grant.granted, spent=mine.spent + used)
        elif step < 0.8:
            (grant,) = ledger.heartbeat(holder, [mine], NOW, LATER)
            mine = structs.replace(mine, granted=grant.granted)
        else:
            mine = structs.replace(mine, granted=chance.randrange(mine.spent, mine.granted + 1))
            grant = ledger.give_back(holder, mine, NOW)
            mine = structs.replace(mine, granted=grant.granted)
        assert grant.standing.committed <= CAP
        assert mine.spent <= mine.granted
    ledger.close_lease(holder, mine)
    return mine.spent


def test_holders_together_stay_under_the_cap(url: str) -> None:
    """Eight threads with a connection each: as many transactions at once as the database lets."""
    spent: list[int] = []
    faults: list[BaseException] = []

    def run(number: int) -> None:
        ledger = SqlLedger(url, lock_seconds=30.0)
        try:
            spent.append(work(ledger, Holder("host", number), number))
        except BaseException as fault:
            faults.append(fault)
        finally:
            ledger.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(HOLDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    ledger = SqlLedger(url)
    standing = ledger.window(PORT, NOW)
    ledger.close()
    assert standing is not None
    assert standing.committed == sum(spent) <= CAP
    assert (standing.holders, standing.lost, standing.outstanding) == (0, 0, 0)
    assert sum(spent) > CAP // 2  # else the cap was never near


def test_processes_together_stay_under_the_cap(url: str) -> None:
    """The same with four processes of their own, each told to use all it can get."""
    code = (
        "import sys\n"
        "from awfproxy.ledger.sql import SqlLedger\n"
        "from tests.ledger.test_concurrency import work\n"
        "from awfproxy.ledger.facts import Holder\n"
        "ledger = SqlLedger(sys.argv[1], lock_seconds=30.0)\n"
        "number = int(sys.argv[2])\n"
        "print(work(ledger, Holder('host', number), 100 + number))\n"
        "ledger.close()\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    running = [
        subprocess.Popen([sys.executable, "-c", code, url, str(number)], stdout=subprocess.PIPE, cwd=root)
        for number in range(4)
    ]
    spent = [int(process.communicate(timeout=120)[0]) for process in running]
    assert [process.returncode for process in running] == [0] * 4
    ledger = SqlLedger(url)
    standing = ledger.window(PORT, NOW)
    ledger.close()
    assert standing is not None and standing.committed == sum(spent) <= CAP


def test_heartbeats_of_many_windows_do_not_lock_each_other_out(url: str) -> None:
    """Each takes its windows in the same order, whatever the order it asks in, also those that it opens, and those of the
    dead whom it settles: no deadlock."""
    days = [structs.replace(PORT, start=PORT.start + number) for number in range(12)]
    faults: list[BaseException] = []

    def run(number: int) -> None:
        ledger = SqlLedger(url, lock_seconds=30.0)
        chance = random.Random(number)
        try:
            for turn in range(15):
                helds = [Held(day, 0, 0, 0) for day in chance.sample(days, len(days))]
                for held in helds[::3]:
                    ledger.join(Holder("host", number), held, now=NOW, expires_at=LATER, recount=False)
                grants = ledger.heartbeat(Holder("host", number), helds, NOW, LATER)
                assert [grant.window for grant in grants] == [found.window for found in helds]
                ledger.settle_dead(Holder(f"dead of {number}", turn), helds[::2], NOW)
        except BaseException as fault:
            faults.append(fault)
        finally:
            ledger.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


@pytest.mark.parametrize("writers", [4])
def test_rows_of_writers_together_are_there_once(url: str, writers: int) -> None:
    """Installations that record the same journal, as two that share a log folder by mistake: each request once.

    Batches that overlap in another order would lock each other out, were they written as they come.
    """
    batches: list[list[Row]] = [[row(number) for number in range(first, first + 100)] for first in range(0, 1000, 100)]
    added: list[int] = []

    def run(number: int) -> None:
        ledger = SqlLedger(url, lock_seconds=30.0)
        found = sum(ledger.record(batch if number % 2 else batch[::-1]) for batch in batches)
        added.append(found)
        ledger.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger = SqlLedger(url)
    assert sum(added) == 1000 == ledger.used("openai", MARCH, APRIL) // 10
    ledger.close()

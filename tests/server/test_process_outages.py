"""The ledger away or lost under load: no record is lost, budgets do what `on_ledger_loss` says, and then all is as before.

``AWFPROXY_TEST_PATIENCE`` is how many seconds PostgreSQL is away (5).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from awfproxy.simulator.processes import SimulatorProcess
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client
from tests.postgresql import running_server
from tests.processes import once, proxy_process, simulator_process
from tests.served_ledger import awf, journal, metric, reasons, same, sqlite, standing, wait_until

pytestmark = once

AWAY: Final = float(os.environ.get("AWFPROXY_TEST_PATIENCE", "5"))
#: seconds until all is well again, on a busy machine: after the loss of a ledger nothing is borrowed for a while
RECOVERY: Final = 60.0
CLIENTS: Final = 8
#: tokens of an answer, and what a call may use at most beyond them
ANSWER: Final = 40_000
BEYOND: Final = 900
BODY: Final = json.dumps(
    {"model": "gpt-4o", "max_tokens": ANSWER, "messages": [{"role": "user", "content": "one two three"}]}
).encode()
HEADERS: Final = f"x-sim-reasoning: {ANSWER - 20}\r\n"
#: calls before the outage, and after it
SOME: Final = 40
#: what `awf budget show` says of a budget that was stored
STORED: Final = ("settings", "changed_by", "changed_at")
#: calls that fit under the cap, and calls of an outage in which they are let in: more than was borrowed before it, as a
#: process borrows a quarter of what remains, and fewer than the cap has left
FIT: Final = 500
MANY: Final = 260


class Ended(NamedTuple):
    """How a call ended, for its client."""

    #: by the monotonic clock
    at: float
    #: None: cut
    status: int | None
    #: of a refusal
    code: str | None


class Load:
    """Clients that call again and again, until it is left."""

    def __init__(self, port: int, pause: float) -> None:
        self._port = port
        #: seconds that a client waits between two calls; may be changed
        self.pause = pause
        self.ended: list[Ended] = []
        self._over = False
        self._pool = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    async def _client(self, number: int) -> None:
        client, turn = Client(self._port), 0
        while not self._over:
            heard = await client.call("/v1/chat/completions", BODY, f"{number}-{turn}", HEADERS)
            refused = heard.whole and heard.status != 200
            code = json.loads(heard.body)["error"]["code"] if refused else None
            self.ended.append(Ended(time.monotonic(), heard.status if heard.whole else None, code))
            turn += 1
            await asyncio.sleep(self.pause)
        client.close()

    async def _all(self) -> None:
        await asyncio.gather(*map(self._client, range(CLIENTS)))

    def __enter__(self) -> Load:
        self._running = self._pool.submit(lambda: asyncio.run(self._all()))
        return self

    def __exit__(self, *exc: object) -> None:
        self._over = True
        self._pool.shutdown()
        assert self._running is not None
        self._running.result()

    def since(self, moment: float) -> Counter[tuple[int | None, str | None]]:
        """How many calls ended since then, by status and code."""
        return Counter((each.status, each.code) for each in list(self.ended) if each.at > moment)

    def answered(self, count: int, since: float = 0.0) -> None:
        """Wait until so many were answered since then."""
        wait_until(f"{count} answers", lambda: self.since(since)[200, None] >= count, AWAY + RECOVERY)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Any]:
    """A server that may be stopped."""
    with running_server() as server:
        yield server


def setting_of(directory: Path, simulator: SimulatorProcess, service: str, loss: str, fit: int = FIT) -> Setting:
    """A proxy with a strict budget that fits so many calls."""
    cap = fit * (ANSWER + BEYOND)
    budget = (
        f'[ports.openai.budget]\nenabled = true\nmode = "strict"\non_ledger_loss = "{loss}"\n'
        f"soft_cap_tokens = {cap}\nhard_cap_tokens = {cap}\n"
    )
    return write_setting(directory, simulator.ports, providers=["openai"], service=service, port_options=budget)


def counted(simulator: SimulatorProcess, since: int) -> int:
    """Tokens that the provider counted after its first so many calls."""
    return sum((call["input"] or 0) + (call["output"] or 0) for call in simulator.calls()[since:])


def nothing_is_lost(setting: Setting, url: str, used: int, calls: int) -> None:
    """Of the stopped service: each call has its record, each record its row, and the budget knows of each token."""
    assert len(journal(setting)) == calls
    assert same(setting, url)
    verified = awf(setting, "ledger", "verify")
    assert verified.exit_code == 0, verified.output
    found = standing(setting)
    assert (found["used"], found["reserved"], found["lost"]) == (used, 0, 0)


@pytest.mark.parametrize(("workers", "loss"), [(1, "deny"), (1, "allow"), (2, "deny"), (2, "allow")])
def test_postgresql_is_away(
    tmp_path: Path, simulator: SimulatorProcess, postgresql: Any, workers: int, loss: str
) -> None:
    """What was borrowed is spent; after that calls are refused, or let in, as the port says."""
    since = len(simulator.calls())
    postgresql.psql(f"CREATE DATABASE away_{workers}_{loss}")
    url = postgresql.get_uri(f"away_{workers}_{loss}")
    setting = setting_of(tmp_path, simulator, f'workers = {workers}\nledger = "{url}"', loss)
    with proxy_process(tmp_path, setting), Load(setting.ports["openai"], pause=0.05) as load:
        load.answered(SOME)
        assert reasons(setting) == {}
        load.pause = AWAY * CLIENTS / MANY
        postgresql._stop()
        away = time.monotonic()
        wait_until("health says so", lambda: "ledger" in reasons(setting))
        wait_until("lag", lambda: metric(setting, "awfproxy_ledger_lag_records") > 0)
        if loss == "deny":
            wait_until("refusals", lambda: load.since(away)[503, "ledger_unavailable"] > CLIENTS, AWAY + RECOVERY)
        else:
            load.answered(MANY, away)
        time.sleep(max(0.0, away + AWAY - time.monotonic()))
        load.pause = 0.5
        during = load.since(away)
        postgresql.ensure_postgres_running()
        wait_until("health is well again", lambda: reasons(setting) == {}, RECOVERY)
        back = time.monotonic()
        load.answered(SOME, back)
    print(f"{workers} {loss}: while it was away {dict(during)}, after it {dict(load.since(back))}")
    assert set(during) == ({(200, None), (503, "ledger_unavailable")} if loss == "deny" else {(200, None)})
    nothing_is_lost(setting, url, counted(simulator, since), load.since(0)[200, None])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_deleted_database(tmp_path: Path, simulator: SimulatorProcess, workers: int) -> None:
    """It is made anew from the journal, in a moment; then the cap holds as if nothing had been, and what was stored is.

    With workers health says for a while that nothing is lent; one process alone knows all that is held at once.
    """
    fit = 200
    since = len(simulator.calls())
    cap = fit * (ANSWER + BEYOND)
    setting = setting_of(tmp_path, simulator, f"workers = {workers}", "deny", 10 * fit)
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_process(tmp_path, setting))
        caps = ("--soft-cap-tokens", str(cap), "--hard-cap-tokens", str(cap))
        assert awf(setting, "budget", "set", "openai", *caps).exit_code == 0
        before = standing(setting)
        load = stack.enter_context(Load(setting.ports["openai"], pause=0.1))
        load.answered(SOME)
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (tmp_path / "state" / name).unlink(missing_ok=True)
        deleted = time.monotonic()
        wait_until("it is noticed", lambda: metric(setting, "awfproxy_ledger_errors_total") > 0)
        if workers > 1:
            wait_until("health says so", lambda: "ledger" in reasons(setting))
        wait_until("health is well again", lambda: reasons(setting) == {}, RECOVERY)
        after = standing(setting)
        assert {name: after[name] for name in STORED} == {name: before[name] for name in STORED}
        print(f"{workers}: well again after {time.monotonic() - deleted:.1f} s; meanwhile {dict(load.since(deleted))}")
        load.pause = 0.01
        for_good = [(429, "estimated-exceeds-cap"), (429, "hard-cap-exceeded")]
        wait_until("used up", lambda: sum(load.since(deleted)[each] for each in for_good) > 5 * CLIENTS, RECOVERY)
    print(f"{workers}: {dict(load.since(0))}")
    assert proxy.output.count("the ledger had lost what was stored of budgets: 1 stored again") == 1
    used = counted(simulator, since)
    assert 0.95 * cap <= used <= cap
    nothing_is_lost(setting, sqlite(tmp_path), used, load.since(0)[200, None])

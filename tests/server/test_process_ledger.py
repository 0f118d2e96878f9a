"""The ledger beside real processes: whatever happens to it, its rows are the journal's in the end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from awfproxy.core.records import TokenUsageRecord
from awfproxy.ledger.rows import Row, row_of
from awfproxy.ledger.sql import SqlLedger
from awfproxy.simulator.processes import SimulatorProcess, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.postgresql import running_server
from tests.processes import once, proxy_process, simulator_process

pytestmark = once

BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}).encode()
PATH = "/v1/chat/completions"
#: seconds for what is waited for on a busy machine
PATIENCE = 20.0


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


def setting_of(directory: Path, simulator: SimulatorProcess, service: str = "") -> Setting:
    """A proxy with one port."""
    return write_setting(directory, simulator.ports, providers=["openai"], service=service)


def calls(setting: Setting, count: int, clients: int = 8) -> list[Heard]:
    """So many calls by so many clients at once; all of them are answered."""

    async def one(number: int) -> list[Heard]:
        client = Client(setting.ports["openai"])
        return [await client.call(PATH, BODY, f"{number}-{each}") for each in range(count // clients)]

    async def all_of_them() -> list[Heard]:
        found = await asyncio.gather(*(one(number) for number in range(clients)))
        return [heard for each in found for heard in each]

    heard = run(all_of_them)
    assert {each.status for each in heard} == {200}
    return heard


def journal(setting: Setting) -> list[Row]:
    """The rows that the journal's files tell of, rotated ones included."""
    instance = (setting.log_dir.parent / "state" / "instance").read_text().strip()
    rows = []
    for path in setting.log_dir.glob("token-usage.jsonl*"):
        for line in path.read_bytes().splitlines():
            record = msgspec.json.decode(line, type=TokenUsageRecord)
            row = row_of(record, instance, feature=record.feature)
            assert row is not None
            rows.append(row)
    return rows


def same(setting: Setting, url: str) -> bool:
    """Whether ledger and journal say the same; the ledger may not be there yet."""
    rows = journal(setting)
    try:
        ledger = SqlLedger(url)
        try:
            differences = list(ledger.verify(rows[0].instance, 0, 2**33, rows))
        finally:
            ledger.close()
    except Exception as error:
        print(error)
        return False
    return not differences


def sqlite(directory: Path) -> str:
    """Where the ledger is if nothing is said about it."""
    return f"sqlite:///{directory / 'state' / 'ledger.db'}"


def wait_until(what: str, true: Callable[[], bool]) -> float:
    """Seconds until it was."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < PATIENCE, what
        time.sleep(0.05)
    return time.monotonic() - began


def metric(setting: Setting, name: str) -> float:
    """The value of a metric without labels."""
    text = get(setting.admin_port, "/metrics")[1].decode()
    found = re.search(rf"^{name} (.+)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def reasons(setting: Setting) -> dict[str, str]:
    """Why it is not well."""
    found: dict[str, str] = json.loads(get(setting.admin_port, "/health")[1])["reasons"]
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_every_record_is_a_row(tmp_path: Path, simulator: SimulatorProcess, workers: int) -> None:
    """While it runs, soon after; and after the drain, all of them."""
    setting = setting_of(tmp_path, simulator, f"workers = {workers}")
    with proxy_process(tmp_path, setting) as proxy:
        calls(setting, 400)
        wait_until("all rows", lambda: metric(setting, "awfproxy_ledger_records_total") == 400)
        assert metric(setting, "awfproxy_ledger_lag_records") == 0
        assert metric(setting, "awfproxy_ledger_skipped_lines_total") == 0
        assert reasons(setting) == {}
        calls(setting, 80)
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0
    assert len(journal(setting)) == 480
    assert same(setting, sqlite(tmp_path))


def test_a_killed_proxys_records_are_rows_after_the_next_start(tmp_path: Path, simulator: SimulatorProcess) -> None:
    """It reads on where the ledger stands, each record once."""
    setting = setting_of(tmp_path, simulator)
    for _ in range(3):
        with proxy_process(tmp_path, setting) as proxy:
            calls(setting, 80)
            os.kill(proxy.pid, signal.SIGKILL)
            proxy.wait()
    with proxy_process(tmp_path, setting):
        wait_until("all rows", lambda: same(setting, sqlite(tmp_path)))
    assert len(journal(setting)) == 240


@pytest.mark.parametrize("workers", [1, 2])
def test_a_ledger_that_is_deleted_is_made_anew_from_the_journal(
    tmp_path: Path, simulator: SimulatorProcess, workers: int
) -> None:
    """From all its files, those that were rotated away too, while calls go on; nothing is lost."""
    setting = setting_of(tmp_path, simulator, f"workers = {workers}")
    with proxy_process(tmp_path, setting):
        calls(setting, 80)
        os.rename(setting.log_dir / "token-usage.jsonl", setting.log_dir / "token-usage.jsonl.1")
        calls(setting, 80)
        wait_until("all rows", lambda: same(setting, sqlite(tmp_path)))
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (tmp_path / "state" / name).unlink(missing_ok=True)
        calls(setting, 80)
        wait_until("all rows again", lambda: same(setting, sqlite(tmp_path)))
        wait_until("health", lambda: reasons(setting) == {})
    assert len(journal(setting)) == 240


def test_a_ledger_that_cannot_be_opened_costs_no_call(tmp_path: Path, simulator: SimulatorProcess) -> None:
    """It is said, it is tried again, and it catches up."""
    (tmp_path / "nowhere").write_text("a file where a folder should be")
    url = f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}"
    setting = setting_of(tmp_path, simulator, f'ledger = "{url}"')
    with proxy_process(tmp_path, setting):
        calls(setting, 80)
        wait_until("health", lambda: "ledger" in reasons(setting))
        (tmp_path / "nowhere").unlink()
        wait_until("all rows", lambda: same(setting, url))
        wait_until("health", lambda: reasons(setting) == {})
        assert metric(setting, "awfproxy_ledger_errors_total") > 0


def test_rows_after_rotation(tmp_path: Path, simulator: SimulatorProcess) -> None:
    """By rename, in the middle of calls, again and again, with two workers."""
    setting = setting_of(tmp_path, simulator, "workers = 2")
    with proxy_process(tmp_path, setting):
        usage = setting.log_dir / "token-usage.jsonl"
        for number in range(4):
            wait_until("a file to rotate", lambda: bool(calls(setting, 40)) and usage.exists())
            os.rename(usage, f"{usage}.{number}")
            calls(setting, 40)  # some of these still go into the renamed file
        wait_until("all rows", lambda: same(setting, sqlite(tmp_path)))
        assert metric(setting, "awfproxy_ledger_records_total") == len(journal(setting)) >= 320


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Any]:
    """A server that may be stopped."""
    with running_server() as server:
        yield server


@pytest.mark.parametrize("workers", [1, 2])
def test_postgresql_stops_and_comes_back(
    tmp_path: Path, simulator: SimulatorProcess, postgresql: Any, workers: int
) -> None:
    """Calls go on, health says so, and in the end nothing is lost."""
    postgresql.psql(f"CREATE DATABASE of_{workers}")
    url = postgresql.get_uri(f"of_{workers}")
    setting = setting_of(tmp_path, simulator, f'workers = {workers}\nledger = "{url}"')
    with proxy_process(tmp_path, setting):
        calls(setting, 80)
        wait_until("all rows", lambda: same(setting, url))
        postgresql._stop()
        calls(setting, 160)
        wait_until("health", lambda: "ledger" in reasons(setting))
        wait_until("lag", lambda: metric(setting, "awfproxy_ledger_lag_records") > 0)
        postgresql.ensure_postgres_running()
        calls(setting, 80)
        wait_until("all rows again", lambda: same(setting, url))
        wait_until("health again", lambda: reasons(setting) == {})
    assert len(journal(setting)) == 320

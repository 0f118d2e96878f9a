"""The ledger beside real processes: whatever happens to it, its rows are the journal's in the end.

Outages under load, with budgets: `test_process_outages`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from awfproxy.simulator.processes import SimulatorProcess
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.processes import once, proxy_process, simulator_process
from tests.served_ledger import journal, metric, reasons, same, sqlite, wait_until

pytestmark = once

BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}).encode()
PATH = "/v1/chat/completions"


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

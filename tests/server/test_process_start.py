"""A start on which the ledger takes its time: nobody is refused for it, and nothing is ready before."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from awfproxy.simulator.processes import LOOK_EVERY, Process, free_ports, get, twistd_command
from awfproxy.simulator.setting import Setting, write_setting
from tests.processes import once, proxy_process, running, simulator_process

pytestmark = once

QUESTION = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]})
BUDGET = '[ports.openai.budget]\nenabled = true\nsoft_cap_tokens = 0\nhard_cap_tokens = 1000000\n'
#: seconds that something may take on a machine that does other things too
SOON = 30.0


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < deadline
        time.sleep(LOOK_EVERY)


def ready(setting: Setting) -> int:
    """What /ready says; 0: nobody answers."""
    try:
        return get(setting.admin_port, "/ready")[0]
    except OSError:
        return 0


def command(setting: Setting) -> list[str]:
    return [*twistd_command(), "-n", "--pidfile=", "awfproxy", "--config", str(setting.config)]


def call(setting: Setting) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", setting.ports["openai"], timeout=SOON)
    try:
        connection.request("POST", "/v1/chat/completions", QUESTION, {"content-type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


class Held:
    """A ledger that somebody else writes, until it is let go of."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN EXCLUSIVE")

    def let_go(self) -> None:
        self._connection.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_first_calls_wait_where_the_kernel_queues_them(tmp_path: Path, workers: int) -> None:
    """While somebody else holds the ledger clients connect, and `/ready` says 503; then their calls are answered."""
    with simulator_process(tmp_path) as simulator:
        setting = write_setting(
            tmp_path, simulator.ports, providers=["openai"], service=f"workers = {workers}", port_options=BUDGET
        )
        with proxy_process(tmp_path, setting):  # so that there is a ledger
            assert call(setting) == 200
        answers: list[int] = []
        clients = [threading.Thread(target=lambda: answers.append(call(setting))) for _ in range(4)]
        ledger = Held(tmp_path / "state" / "ledger.db")
        try:
            with running(Process("proxy", command(setting), tmp_path, setting.environment)):
                until(lambda: ready(setting) == 503)
                for client in clients:
                    client.start()
                with socket.create_connection(("127.0.0.1", setting.ports["openai"]), SOON):
                    assert (ready(setting), answers) == (503, [])
                ledger.let_go()
                for client in clients:
                    client.join(SOON)
                assert answers == [200] * len(clients)
                until(lambda: ready(setting) == 200)
        finally:
            ledger.let_go()


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_waits_for_a_ledger_that_is_not_there(tmp_path: Path, workers: int) -> None:
    """It is known at once: calls are accepted, and what becomes of them is for `on_ledger_loss`."""
    (tmp_path / "state" / "ledger.db").mkdir(parents=True)
    with simulator_process(tmp_path) as simulator:
        setting = write_setting(
            tmp_path, simulator.ports, providers=["openai"], service=f"workers = {workers}",
            port_options=BUDGET + 'on_ledger_loss = "allow"\n',
        )  # fmt: skip
        with proxy_process(tmp_path, setting) as proxy:
            assert call(setting) == 200
            assert "the ledger is not ready after" not in proxy.output


def test_a_reload_while_a_start_waits(tmp_path: Path) -> None:
    """It ends the waiting: the port that was there at the start and the one that is new both take calls, once the ledger
    is let go of."""
    with simulator_process(tmp_path) as simulator:
        setting = write_setting(tmp_path, simulator.ports, providers=["openai"], port_options=BUDGET)
        with proxy_process(tmp_path, setting):
            pass
        ledger = Held(tmp_path / "state" / "ledger.db")
        try:
            with running(Process("reloaded", command(setting), tmp_path, setting.environment)) as process:
                until(lambda: ready(setting) == 503)
                (other,) = free_ports(1)
                text = setting.config.read_text()
                second = text[text.index("[ports.openai]") :].replace("ports.openai", "ports.second")
                second = second.replace(f"tcp:{setting.ports['openai']}:", f"tcp:{other}:")
                setting.config.write_text(f"{text}\n{second}")
                process.signal(signal.SIGHUP)
                until(lambda: ready(setting) == 200)
                ledger.let_go()
                until(lambda: call(setting) == 200)
                until(lambda: "second" in process.output and get(other, "/health")[0] == 200)
        finally:
            ledger.let_go()


def test_a_stop_while_a_start_waits(tmp_path: Path) -> None:
    """It ends as ever, and has never accepted a call."""
    with simulator_process(tmp_path) as simulator:
        setting = write_setting(tmp_path, simulator.ports, providers=["openai"], port_options=BUDGET)
        with proxy_process(tmp_path, setting):
            pass
        ledger = Held(tmp_path / "state" / "ledger.db")
        try:
            with running(Process("stopped", command(setting), tmp_path, setting.environment)) as process:
                until(lambda: ready(setting) == 503)
                process.signal(signal.SIGTERM)
                assert process.wait(SOON) == 0
                assert "listens on" not in process.output
        finally:
            ledger.let_go()

"""A soft cap that is passed, told to a webhook by real processes: once, whoever notices it and however often it starts."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import ProxyProcess, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.far_end import FarEnd, answer, read_request
from tests.processes import once, running, simulator_process

pytestmark = once

QUESTION = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]})
#: calls on connections of their own: with two workers both are asked, nearly surely
CALLS = 12
#: seconds in which a second delivery would have come
AFTER = 1.5


class Receiver:
    """Takes what is posted, or refuses it for a while."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[dict[str, Any]] = []
        self.status = "200 OK"

    def serve(self, talking: Any) -> None:
        """One connection."""
        request = read_request(talking)
        if request is not None:
            self.heads.append(request[0])
            self.bodies.append(json.loads(request[1]))
            talking.sendall(answer(b"", status=self.status))


def calls(setting: Setting) -> None:
    """Some that are let in: a busy machine's ledger may not be there for the first."""
    done, deadline = 0, time.monotonic() + 15
    while done < CALLS:
        connection = http.client.HTTPConnection("127.0.0.1", setting.ports["openai"], timeout=10)
        connection.request("POST", "/v1/chat/completions", QUESTION, {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        assert response.status == 200 or (time.monotonic() < deadline and b"ledger_unavailable" in text), text
        done += response.status == 200
        connection.close()


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Fails if it does not come to be so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def told(setting: Setting, result: str) -> float:
    """The metric."""
    _, page = get(setting.admin_port, "/metrics")
    (line,) = [each for each in page.decode().splitlines() if f'awfproxy_webhook_total{{result="{result}"}}' in each]
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize("workers", [1, 2])
def test_told_once(tmp_path: Path, workers: int) -> None:
    """By two workers, over a restart and a kill; and nothing but the host is ever said of the URL."""
    receiver = Receiver()
    with ExitStack() as stack:
        simulator = stack.enter_context(simulator_process(tmp_path))
        far = stack.enter_context(FarEnd(receiver.serve))
        options = (
            "[ports.openai.budget]\nenabled = true\nsoft_cap_tokens = 1\nhard_cap_tokens = 10000000\n"
            f'webhook = "http://127.0.0.1:{far.port}/T0/sesame?key=alibaba"'
        )
        setting = write_setting(
            tmp_path, simulator.ports, providers=["openai"], service=f"workers = {workers}", port_options=options
        )

        def start() -> ProxyProcess:
            process = ProxyProcess(tmp_path, setting.config, setting.admin_port, setting.environment)
            stack.enter_context(running(process))
            return process

        proxy = start()
        receiver.status = "503 Busy"
        calls(setting)
        wait_until(lambda: len(receiver.bodies) == 1)  # and it is to come again
        receiver.status = "200 OK"
        wait_until(lambda: told(setting, "delivered") == 1)
        assert told(setting, "failed") == 1
        os.kill(proxy.pid, signal.SIGKILL)
        proxy.wait(10)
        for _ in range(2):
            proxy = start()
            calls(setting)
            time.sleep(AFTER)
            assert told(setting, "delivered") == 0
            assert proxy.stop() == 0
        assert len(receiver.bodies) == 2
        assert receiver.bodies[0] == receiver.bodies[1]
        assert {name: receiver.bodies[1][name] for name in ("event", "port", "scope", "name", "soft_cap_tokens")} == {
            "event": "soft_cap_passed", "port": "openai", "scope": "port", "name": "", "soft_cap_tokens": 1
        }  # fmt: skip
        assert receiver.bodies[1]["instance"] == (tmp_path / "state" / "instance").read_text().strip()
        assert receiver.heads[1].startswith(b"POST /T0/sesame?key=alibaba HTTP/1.1\r\n")
        assert proxy.output.count("the soft cap of openai is passed: ") == 1
        assert "127.0.0.1 was told that the soft cap of openai is passed" in proxy.output
        kept = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir() if path.is_file())
        for secret in ("sesame", "alibaba"):
            assert secret not in proxy.output
            assert secret.encode() not in kept


def test_what_cannot_be_told_at_the_end_is_told_after_the_next_start(tmp_path: Path) -> None:
    """A receiver that hangs holds the end up for a second, and loses nothing."""
    receiver = Receiver()

    def hangs(talking: Any) -> None:
        read_request(talking)
        talking.recv(1)

    with ExitStack() as stack:
        simulator = stack.enter_context(simulator_process(tmp_path))
        silent = FarEnd(hangs)
        options = (
            "[ports.openai.budget]\nenabled = true\nsoft_cap_tokens = 1\nhard_cap_tokens = 10000000\n"
            f'webhook = "http://127.0.0.1:{silent.port}/sesame"'
        )
        setting = write_setting(tmp_path, simulator.ports, providers=["openai"], port_options=options)
        with silent:
            proxy = ProxyProcess(tmp_path, setting.config, setting.admin_port, setting.environment)
            stack.enter_context(running(proxy))
            calls(setting)
            wait_until(lambda: silent.accepted == 1)
            began = time.monotonic()
            assert proxy.stop() == 0
            assert 0.9 < time.monotonic() - began < 8
        far = stack.enter_context(FarEnd(receiver.serve))
        setting.config.write_text(setting.config.read_text().replace(f":{silent.port}/", f":{far.port}/"))
        proxy = ProxyProcess(tmp_path, setting.config, setting.admin_port, setting.environment)
        stack.enter_context(running(proxy))
        wait_until(lambda: len(receiver.bodies) == 1)
        assert get(setting.admin_port, "/health")[1].count(b'"ok"') == 1

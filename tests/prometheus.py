"""A real Prometheus for tests, and a service with traffic that it scrapes."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.demo.sending import send
from awfproxy.simulator.processes import ProxyProcess, free_ports, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.processes import proxy_process, simulator_process

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
PATIENCE = 60.0

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on this machine")
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None, reason="Prometheus is not on this machine"
)

#: budgets of every kind, that calls of the test pass or do not
BUDGETS = """
[ports.openai.budget]
enabled = true
soft_cap_tokens = 10
hard_cap_tokens = 1000000
hard_cap_usd = 100
[ports.anthropic.limits]
requests_per_hour = 2
[ports.gemini.budget]
enabled = true
soft_cap_tokens = 1
hard_cap_tokens = 1
"""
#: (provider, path, body, headers)
CALLS: list[tuple[str, str, dict[str, Any], dict[str, str]]] = [
    ("openai", "/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "one two"}]}, {}),
    ("openai", "/v1/chat/completions", {"model": "gpt-4o", "stream": True, "messages": []}, {}),
    ("openai", "/v1/chat/completions", {"model": "gpt-4o", "messages": []}, {"x-sim-status": "500"}),
    ("openai", "/v1/responses", {"model": "no-price-for-it", "input": "one two three"}, {}),
    (
        "anthropic",
        "/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "one"}]},
        {},
    ),
    ("gemini", "/v1beta/models/gemini-2.5-pro:generateContent", {"contents": [{"parts": [{"text": "one"}]}]}, {}),
    ("openai", "/nowhere", {}, {}),
]


@contextmanager
def busy_service(directory: Path, workers: int = 1) -> Iterator[tuple[ProxyProcess, Setting]]:
    """A service that has had calls of all kinds: answered, failed, refused by rates and by budgets."""
    with simulator_process(directory) as simulator:
        setting = write_setting(
            directory, simulator.ports, providers=["openai", "anthropic", "gemini"], service=f"workers = {workers}"
        )
        with setting.config.open("a") as file:
            file.write(BUDGETS)
        with proxy_process(directory, setting) as proxy:
            assert isinstance(proxy, ProxyProcess)
            make_calls(setting)
            yield proxy, setting


def make_calls(setting: Setting) -> None:
    """Each of `CALLS` some times."""
    for _ in range(3):
        for provider, path, body, headers in CALLS:
            send(setting.ports[provider], path, body, headers)
    connection = http.client.HTTPConnection("127.0.0.1", setting.ports["openai"], timeout=PATIENCE)
    connection.request("GET", "/v1/models", headers={"Origin": "http://evil.example"})
    assert connection.getresponse().status == 403
    connection.close()


def scrape(port: int) -> str:
    """The text of a scrape."""
    status, body = get(port, "/metrics")
    assert status == 200
    return body.decode()


class Prometheus:
    """A server that runs."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, **query: str) -> Any:
        """``data`` of an answer of its API.

        :raises AssertionError: it is an error
        """
        status, body = get(self.port, f"/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=PATIENCE)
        answer = json.loads(body)
        assert status == 200, f"{query}: {answer}"
        return answer["data"]

    def query(self, expression: str) -> list[Any]:
        """The result of an instant query."""
        result: list[Any] = self.ask("query", query=expression)["result"]
        return result

    def wait_until(self, expression: str) -> None:
        """Until a query has a result."""
        deadline = time.monotonic() + PATIENCE
        while not self.query(expression):
            assert time.monotonic() < deadline, f"{expression} has no result"
            time.sleep(0.1)


@contextmanager
def prometheus(directory: Path, admin_port: int) -> Iterator[Prometheus]:
    """A server with the configuration and rules of deploy/, scraping the service every second."""
    (port,) = free_ports(1)
    text = (DEPLOY / "prometheus.yml").read_text()
    for old, new in (("127.0.0.1:10009", f"127.0.0.1:{admin_port}"), ("scrape_interval: 15s", "scrape_interval: 1s")):
        assert old in text
        text = text.replace(old, new)
    config = directory / "prometheus.yml"
    config.write_text(f"global: {{evaluation_interval: 1s}}\n{text}")
    shutil.copy(DEPLOY / "awfproxy.rules.yml", directory)
    with (directory / "prometheus.out").open("wb") as output:
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
            ],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if get(port, "/-/ready")[0] == 200:
                    break
            except OSError:
                pass
            assert process.poll() is None and time.monotonic() < deadline, (directory / "prometheus.out").read_text()
            time.sleep(0.05)
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(PATIENCE)
        print((directory / "prometheus.out").read_text()[-3000:])

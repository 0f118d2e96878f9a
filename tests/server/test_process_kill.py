"""``kill -9`` at the moment at which a client has read the end of its answer: no record is missing in either file.

The proxy is started again each time on the same folder, so that recovery is met too.  The client stops reading at the
first byte that tells the end: the last of a JSON body, the last of a stream's terminal event (not of its framing).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import SimulatorProcess
from awfproxy.simulator.setting import Setting, write_setting
from tests.processes import once, proxy_process, simulator_process

pytestmark = once

#: kills for each kind of answer
KILLS = 6
#: further clients whose calls end at about the same time
OTHERS = 3

QUESTION: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}
#: provider, path, body, and the bytes with which the answer is whole to its reader
ANSWERS = {
    "json": ("openai", "/v1/chat/completions", QUESTION, None),
    "chat stream": ("openai", "/v1/chat/completions", QUESTION | {"stream": True}, b"data: [DONE]\n\n"),
    "messages stream": (
        "anthropic", "/v1/messages", QUESTION | {"stream": True, "max_tokens": 9}, b'{"type":"message_stop"}\n\n',
    ),
    "gzip stream": ("openai", "/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True}, b"\r\n0\r\n\r\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


def read_to_the_end(
    port: int, path: str, body: dict[str, Any], end: bytes | None, name: str, encoding: str, together: threading.Barrier
) -> bool:
    """Whether the end of the answer came; returns at its very byte."""
    text = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as talking:
        together.wait(10)
        talking.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\nX-Request-ID: {name}\r\n"
            f"{encoding}\r\n".encode() + text
        )
        data = b""
        try:
            while piece := talking.recv(65536):
                data += piece
                if end is not None:
                    if end in data:
                        return True
                elif b"\r\n\r\n" in data:
                    head, _, answer = data.partition(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                    if len(answer) == length:
                        return True
        except ConnectionResetError:
            pass  # killed for another one's sake
        return False


@pytest.mark.parametrize("reactor", ["uvloop", "epoll"])
@pytest.mark.parametrize("kind", ANSWERS)
def test_whoever_has_read_the_end_has_left_a_record(
    simulator: SimulatorProcess, tmp_path: Path, kind: str, reactor: str
) -> None:
    """Killed again and again: each call that a client has seen the end of stands in both files, once."""
    provider, path, body, end = ANSWERS[kind]
    encoding = "x-sim-encoding: gzip\r\n" if kind == "gzip stream" else ""
    twistd = ("--reactor=epoll",) if reactor == "epoll" else ()
    ended: list[str] = []
    setting = write_setting(tmp_path, simulator.ports, providers=[provider])
    for turn in range(KILLS if reactor == "uvloop" else KILLS // 2):
        with proxy_process(tmp_path, setting, twistd) as process, ThreadPoolExecutor(1 + OTHERS) as pool:
            together = threading.Barrier(1 + OTHERS)

            def client(name: str, pid: int = process.pid, together: threading.Barrier = together) -> None:
                if read_to_the_end(setting.ports[provider], path, body, end, name, encoding, together):
                    os.kill(pid, signal.SIGKILL)  # nobody has waited for the process yet: the pid is its own
                    ended.append(name)

            calls = [pool.submit(client, f"{turn}-{index}") for index in range(1 + OTHERS)]
            for each in calls:
                each.result()
            assert process.wait(10) == -signal.SIGKILL
    assert len(ended) >= turn + 1
    check(setting, ended)


def check(setting: Setting, ended: list[str]) -> None:
    """The records of these calls are there and whole."""
    for file in ("token-usage", "requests"):
        lines = [line for line in setting.records(file) if not line.get("recovered")]
        found = [line["client_request_id"] for line in lines]
        assert len(found) == len(set(found))
        assert set(ended) <= set(found), file
    usages = {line["client_request_id"]: line for line in setting.records("token-usage")}
    assert all(usages[name]["usage_source"] == "reported" for name in ended)

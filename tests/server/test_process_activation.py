"""Sockets that systemd holds: a restart refuses nobody, because the socket is there while no proxy is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from awfproxy.simulator.processes import PACKAGE_PARENT, get, twistd_command
from awfproxy.simulator.setting import Setting, write_setting
from tests.far_end import FarEnd, always, answer
from tests.processes import once

pytestmark = [once, pytest.mark.untidy("the provider's connections end with the proxy")]

#: the first descriptor that systemd passes: sd_listen_fds(3)
FIRST_PASSED = 3
#: puts the descriptor of its first argument there, and becomes the command of the rest
AS_SYSTEMD = f"""
import os, sys
os.dup2(int(sys.argv[1]), {FIRST_PASSED})
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
ANSWER = b'{"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":11}}'


@contextmanager
def activated(directory: Path, setting: Setting, listening: socket.socket, reactor: str) -> Iterator[int]:
    """A proxy that is started as systemd does it: descriptor 3, and its own process id in LISTEN_PID; its pid."""
    twistd = ["--reactor=epoll"] if reactor == "epoll" else []
    command = [*twistd_command(), "-n", "--pidfile=", *twistd, "awfproxy", "--config", str(setting.config)]
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE_PARENT), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "openai",
    }  # fmt: skip
    with (directory / "proxy.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD, str(listening.fileno()), *command],
            pass_fds=[listening.fileno()], env=environment | setting.environment, cwd=directory, stdout=output,
            stderr=output, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield process.pid
    finally:
        process.terminate()
        status = process.wait(15)
        print((directory / "proxy.out").read_text()[-4000:])
        assert status == 0


def call(port: int) -> bytes:
    """One call, which may have to wait for a proxy."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as talking:
        body = b'{"model":"m"}'
        talking.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        got = b""
        while piece := talking.recv(65536):
            got += piece
    return got


@pytest.mark.parametrize("reactor", ["uvloop", "epoll"])
@pytest.mark.parametrize("workers", [1, 2])
def test_socket_activation(tmp_path: Path, reactor: str, workers: int) -> None:
    """A call that came before the proxy did is answered; so is one that comes while it restarts; workers share it."""
    with socket.socket() as listening, FarEnd(always(answer(ANSWER))) as provider:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        port = listening.getsockname()[1]
        setting = write_setting(
            tmp_path, {"any": provider.port}, providers=["openai"], service=f"workers = {workers}"
        )
        text = setting.config.read_text()
        own = f"tcp:{setting.ports['openai']}:interface=127.0.0.1"
        assert own in text
        setting.config.write_text(text.replace(own, "systemd:domain=INET:name=openai"))
        for count in (1, 2):
            with socket.create_connection(("127.0.0.1", port)) as early:
                early.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                with activated(tmp_path, setting, listening, reactor):
                    early.settimeout(15)
                    assert early.recv(65536).startswith(b"HTTP/1.1 200")
                    deadline = time.monotonic() + 10
                    while get(setting.admin_port, "/ready")[0] != 200:
                        assert time.monotonic() < deadline
                    assert call(port).endswith(ANSWER)
                    reflected = json.loads(get(setting.admin_port, "/reflect")[1])
                    assert reflected["ports"]["openai"]["listen"] == "systemd:domain=INET:name=openai"
            assert len(setting.records("requests")) == count

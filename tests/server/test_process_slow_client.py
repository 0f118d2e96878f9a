"""A client that reads late: what it was promised with `Connection: close` is still there when it does."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from awfproxy.simulator.setting import Setting, write_setting
from tests.far_end import FarEnd, always, answer
from tests.processes import once, proxy_process

pytestmark = [once, pytest.mark.untidy("the provider is the module's: its connections outlive a test")]

#: more than the client's kernel takes, less than kernels on the way and the proxy together
BODY = b'{"choices":[],"x":"' + b"x" * (700 << 10) + b'","usage":{"prompt_tokens":7,"completion_tokens":11}}'
#: seconds until the client reads: longer than a closed connection lingers
LATE = 4.0


@pytest.fixture(scope="module", params=["uvloop", "epoll"])
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """A proxy in front of a quick provider."""
    directory = tmp_path_factory.mktemp("slow")
    twistd = ("--reactor=epoll",) if request.param == "epoll" else ()
    with FarEnd(always(answer(BODY, "Content-Type: application/json"))) as provider:
        setting = write_setting(directory, {"any": provider.port}, providers=["openai"])
        with proxy_process(directory, setting, twistd):
            yield setting


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_client_that_reads_late(setting: Setting, version: str) -> None:
    """The proxy has written all and closed; the client reads seconds later, and gets all."""
    with socket.socket() as talking:
        talking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        talking.settimeout(20)
        talking.connect(("127.0.0.1", setting.ports["openai"]))
        talking.sendall(
            f"POST /v1/chat/completions HTTP/{version}\r\nHost: x\r\nConnection: close\r\n"
            "Content-Length: 13\r\n\r\n".encode() + b'{"model":"m"}'
        )
        time.sleep(LATE)
        got = b""
        while piece := talking.recv(1 << 20):
            got += piece
    assert got.startswith(b"HTTP/1.1 200")
    assert got.endswith(BODY)

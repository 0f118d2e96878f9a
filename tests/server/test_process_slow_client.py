"""A client that reads late: what was answered is still there when it does, also where the proxy ends meanwhile."""

from __future__ import annotations

import signal
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


def ask(setting: Setting, version: str, headers: str = "") -> socket.socket:
    """A client that has asked and has not read."""
    talking = socket.socket()
    talking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    talking.settimeout(20)
    talking.connect(("127.0.0.1", setting.ports["openai"]))
    head = f"POST /v1/chat/completions HTTP/{version}\r\nHost: x\r\n{headers}Content-Length: 13\r\n\r\n"
    talking.sendall(head.encode() + b'{"model":"m"}')
    return talking


def rest(talking: socket.socket) -> bytes:
    """All that comes until the end."""
    got = b""
    while piece := talking.recv(1 << 20):
        got += piece
    return got


def test_a_client_that_reads_late(setting: Setting) -> None:
    """The proxy has written all and closed; the client reads seconds later, and gets all, in either HTTP."""
    with ask(setting, "1.1", "Connection: close\r\n") as new, ask(setting, "1.0") as old:
        time.sleep(LATE)
        for talking in (new, old):
            got = rest(talking)
            assert got.startswith(b"HTTP/1.1 200")
            assert got.endswith(BODY)


#: more than all kernels on the way take: the end of it is still in the proxy
LARGE = b'{"choices":[],"x":"' + b"x" * (16 << 20) + b'","usage":{"prompt_tokens":7,"completion_tokens":11}}'


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("reactor", ["uvloop", "epoll"])
def test_the_end_of_the_proxy_while_a_client_does_not_read(tmp_path: Path, reactor: str, reads: bool) -> None:
    """A drain waits for it, but not for longer than it may; then the client can tell that its answer is not whole."""
    twistd = ("--reactor=epoll",) if reactor == "epoll" else ()
    with FarEnd(always(answer(LARGE, "Content-Type: application/json"))) as provider:
        setting = write_setting(
            tmp_path, {"any": provider.port}, providers=["openai"], service=f"drain_timeout = {15 if reads else 2}"
        )
        with proxy_process(tmp_path, setting, twistd) as process, ask(setting, "1.1") as talking:
            time.sleep(0.5)
            process.signal(signal.SIGTERM)
            time.sleep(1)
            assert process.returncode is None, "it did not wait"
            if reads:
                got = rest(talking)
                assert got.endswith(BODY[-100:])
                assert len(got) > len(LARGE)
            assert process.wait(10) == 0
            if not reads:
                with pytest.raises(ConnectionResetError):
                    rest(talking)
    (record,) = setting.records("requests")
    assert record["outcome"] == ("complete" if reads else "drained")

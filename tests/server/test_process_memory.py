"""Memory stays flat whatever either side does: a client that does not read, a line that does not end.

AWFPROXY_TEST_PATIENCE sets the seconds for which the client reads nothing (default 6; 60 for the long form).
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from awfproxy.simulator.processes import Process
from awfproxy.simulator.setting import Setting, write_setting
from tests.far_end import FarEnd, read_request
from tests.processes import cpu_seconds, once, proxy_process, resident

pytestmark = once

MIB = 1 << 20
#: seconds without a read
PATIENCE = float(os.environ.get("AWFPROXY_TEST_PATIENCE", "6"))
#: bytes that a stream's buffers, a decoder and Python's own arenas may add; far below what is sent
SLACK = 4 * MIB
#: bytes of kernel buffers at each end, so that little is hidden in them
BUFFERS = 64 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}],"usage":null}\n\n' % (b"x" * 900)
LAST = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":11}}\n\ndata: [DONE]\n\n'
BODY = b'{"model":"m","stream":true,"messages":[]}'
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Source(msgspec.Struct):
    """A provider that streams as fast as it is let."""

    #: bytes that its kernel took
    sent: int = 0
    #: bytes of the one long line; 0: events without end
    line: int = 0
    stop: bool = False
    closed: bool = False


@pytest.fixture(params=["uvloop", "epoll"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Source, Process, Setting]]:
    """The source, a proxy in front of it, and where that is."""
    source = Source()

    def serve(talking: socket.socket) -> None:
        read_request(talking)
        talking.sendall(HEAD)
        if source.line:
            block = b"x" * MIB
            talking.sendall(b'data: {"choices":[{"index":0,"delta":{"content":"')
            for _ in range(source.line // MIB):
                talking.sendall(block)
            talking.sendall(b'"}}]}\n\n' + LAST)
            return
        block = EVENT * 16
        try:
            while not source.stop:
                source.sent += talking.send(block)
            talking.sendall(LAST)
        finally:
            source.closed = True

    twistd = ("--reactor=epoll",) if request.param == "epoll" else ()
    with FarEnd(serve, buffers=BUFFERS) as far_end:
        setting = write_setting(
            tmp_path, {"any": far_end.port}, providers=["openai"], port_options='include_usage = "off"'
        )
        with proxy_process(tmp_path, setting, twistd) as process:
            begun(process)
            yield source, process, setting


def begun(process: Process) -> None:
    """Wait until it takes no more memory by itself: the ledger's thread loads its library after the ports are open."""
    deadline = time.monotonic() + 20
    before = -1
    while (memory := resident(process.pid)) != before:
        assert time.monotonic() < deadline, "it goes on taking memory"
        before = memory
        time.sleep(1.0)


def client(setting: Setting) -> socket.socket:
    """A client that has asked and not read."""
    talking = socket.socket()
    talking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFERS)
    talking.settimeout(20)
    talking.connect(("127.0.0.1", setting.ports["openai"]))
    talking.sendall(REQUEST)
    return talking


def test_a_client_that_reads_nothing(stage: tuple[Source, Process, Setting]) -> None:
    """The upstream is held, memory is flat, and when the client reads again the stream goes on to its end."""
    source, process, setting = stage
    with client(setting) as talking:
        deadline = time.monotonic() + 20
        before = -1
        while source.sent != before:  # until nothing more is taken from it
            assert time.monotonic() < deadline, "the upstream is not held"
            before = source.sent
            time.sleep(0.3)
        memory = resident(process.pid)
        assert 0 < source.sent < 32 * MIB
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            time.sleep(0.2)
            assert source.sent == before, "it was let go on"
            assert resident(process.pid) - memory < SLACK / 4
        source.stop = True
        received = 0
        tail = b""
        while piece := talking.recv(MIB):
            received += len(piece)
            tail = (tail + piece)[-1000:]
        assert b"data: [DONE]" in tail
        assert tail.endswith(b"0\r\n\r\n")
        assert received > source.sent
        assert resident(process.pid) - memory < SLACK
    (record,) = setting.records("requests")
    assert (record["outcome"], record["usage_source"]) == ("complete", "reported")
    print(f"held at {before / MIB:.1f} MiB in buffers on the way")


def test_a_client_that_reads_nothing_and_leaves(stage: tuple[Source, Process, Setting]) -> None:
    """The upstream is let go of, and the call has its record."""
    source, _, setting = stage
    with client(setting) as talking:
        while not source.sent:
            time.sleep(0.01)
        time.sleep(0.5)
        talking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    deadline = time.monotonic() + 10
    while not (source.closed and setting.records("requests")):
        assert time.monotonic() < deadline, "a client's reset is not noticed"
        time.sleep(0.02)
    (record,) = setting.records("requests")
    assert (record["outcome"], record["usage_source"]) == ("client_left", "estimated")


def test_a_line_of_64_mib(stage: tuple[Source, Process, Setting]) -> None:
    """One event in one line: read in bounded memory and linear time, its usage found, its bytes whole."""
    source, process, setting = stage
    source.line = MIB
    with client(setting) as talking:
        while talking.recv(MIB):
            pass
    begun(process)  # the first record has the price list loaded
    cost: dict[int, float] = {}
    for size in (16, 16, 64):
        source.line = size * MIB
        memory, cpu = resident(process.pid), cpu_seconds(process.pid)
        with client(setting) as talking:
            received = 0
            peak = memory
            while piece := talking.recv(MIB):
                received += len(piece)
                peak = max(peak, resident(process.pid))
        cost[size] = cpu_seconds(process.pid) - cpu
        assert received > size * MIB
        assert peak - memory < SLACK
    for record in setting.records("token-usage"):
        assert (record["usage_source"], record["input_tokens"], record["output_tokens"]) == ("reported", 7, 11)
    assert len(setting.records("token-usage")) == 4
    print(json.dumps({f"cpu seconds for {size} MiB": round(spent, 2) for size, spent in cost.items()}))
    assert cost[64] < 10 * cost[16] + 0.1  # four times as much, on a machine with other work; quadratic is 16 times

"""One worker's process: started, heard, buried; and nothing of it is left."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from awfproxy.server.control_messages import Drain, Ended, FromWorker, encode
from awfproxy.server.worker_process import WorkerProcess

#: prints, says a last word over the channel, waits for one, and ends with 7
POLITE = f"""
import os, socket, sys
print("[info] one"); print("two", end="", flush=True)
channel = socket.socket(fileno=int(sys.argv[1]))
channel.sendall({encode(Ended(3, 4))!r})
assert channel.recv(1000) == {encode(Drain())!r}
assert os.getsid(0) == os.getpid()
sys.exit(7)
"""
DEAF = "import sys, time; time.sleep(600)"


class Watched:
    """A process, and what came of it."""

    def __init__(self, program: str, inherited: list[int] | None = None) -> None:
        from twisted.internet import reactor

        self.messages: list[FromWorker] = []
        self.lines: list[str] = []
        self.over: Deferred[int] = Deferred()
        command = [sys.executable, "-c", program]
        self.process = WorkerProcess(
            command, inherited or [], reactor, self.messages.append, self.lines.append, self.over.callback
        )


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest_twisted.ensureDeferred
async def test_what_it_says_prints_and_ends_with() -> None:
    """All of it, and in a session of its own."""
    watched = Watched(POLITE)
    watched.process.send(Drain())
    assert await watched.over == 7
    assert watched.messages == [Ended(3, 4)]
    await deferToThread(time.sleep, 0.05)
    assert watched.lines == ["[info] one", "two"]


@pytest_twisted.ensureDeferred
async def test_only_what_is_given_is_open_in_it() -> None:
    """A descriptor that is inherited has its number; the others of this process are closed."""
    kept, other = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(other, True)
    each = "[fd for fd in range(512) if os.path.exists(f'/proc/self/fd/{fd}')]"
    program = f"import os, sys; print(*{each}); print(sys.argv[1])"
    try:
        watched = Watched(program, [kept])
        await watched.over
        await deferToThread(time.sleep, 0.05)
        numbers, channel = watched.lines
        assert sorted([0, 1, 2, kept, int(channel)]) == list(map(int, numbers.split()))
    finally:
        os.close(kept)
        os.close(other)


@pytest_twisted.ensureDeferred
async def test_twenty_deaths_leave_nothing() -> None:
    """No descriptor, no zombie."""
    first = Watched(DEAF)
    first.process.kill()
    assert await first.over == -signal.SIGKILL
    await deferToThread(time.sleep, 0.1)
    before = descriptors()
    for _ in range(20):
        watched = Watched(DEAF)
        watched.process.kill()
        assert await watched.over == -signal.SIGKILL
        assert not Path(f"/proc/{watched.process.pid}").exists()
        watched.process.kill()  # the pid is not its own any more: nothing happens
    await deferToThread(time.sleep, 0.1)
    assert descriptors() <= before


@pytest_twisted.ensureDeferred
async def test_one_that_lets_go_and_does_not_end_is_killed(monkeypatch: Any) -> None:
    """After a while; nobody could tell it anything any more."""
    monkeypatch.setattr("awfproxy.server.worker_process.LINGER", 0.3)
    watched = Watched("import os, sys, time; os.close(int(sys.argv[1])); time.sleep(600)")
    assert await watched.over == -signal.SIGKILL

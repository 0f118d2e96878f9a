"""What a killed worker left unwritten is added by a thread, however long the disk takes."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater

from awfproxy.server import completion
from awfproxy.server.completion import Completion
from awfproxy.server.shared_logfile import SharedLogFile
from tests.server.test_recovery import Folder


class Around:
    """A folder with lines, and the thread that completes it."""

    def __init__(self, path: Path) -> None:
        from twisted.internet import reactor

        self.reactor = reactor
        from_thread: Any = getattr(reactor, "callFromThread")  # noqa: B009 - unknown to the reactor's type
        self.folder = Folder(path)
        self.fence: Callable[[], Deferred[Any]] = lambda: succeed(None)
        self.completion = Completion(
            str(self.folder.usage), str(self.folder.requests), 2, lambda: self.fence(), from_thread
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the reactor turn until it is so."""
        while not condition():
            await deferLater(self.reactor, 0.005)

    def calls(self) -> list[bytes]:
        """The ids in requests.jsonl, in order."""
        return [line.partition(b'"request_id":"')[2].partition(b'"')[0] for line in self.folder.requests.read_bytes().splitlines()]


@pytest.fixture
def around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Around]:
    """A worker has left one of three calls without its request line."""
    monkeypatch.setattr(completion, "RETRY_SECONDS", 0.01)
    made = Around(tmp_path)
    made.folder.write([1, 2, 3], [1, 2])
    yield made
    assert made.completion.stop()


@pytest_twisted.ensureDeferred
async def test_what_is_missing_is_added_once(around: Around) -> None:
    """For one death, and for the next ones nothing more."""
    for _ in range(3):
        around.completion.worker_died()
        await around.until(lambda: not around.completion.pending)
    assert around.calls() == [b"id-1", b"id-2", b"id-3"]
    assert around.completion.condition() is None


@pytest_twisted.ensureDeferred
async def test_nothing_is_added_before_the_others_have_written(around: Around) -> None:
    """What they had begun looks like missing."""
    waiting: Deferred[None] = Deferred()
    asked = threading.Event()

    def fence() -> Deferred[None]:
        asked.set()
        return waiting

    around.fence = fence
    around.completion.worker_died()
    await around.until(asked.is_set)
    await around.until(lambda: True)
    assert around.calls() == [b"id-1", b"id-2"]
    around.folder.write([], [1, 2, 3])
    waiting.callback(None)
    await around.until(lambda: not around.completion.pending)
    assert around.calls() == [b"id-1", b"id-2", b"id-3"]


@pytest_twisted.ensureDeferred
async def test_a_full_disk_is_waited_for(around: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told in health; a line that was torn stands again, whole, and no other twice."""
    full = [5, -1, -1, -1]

    class File(SharedLogFile):
        def __init__(self, path: str) -> None:
            super().__init__(path, write)

    def write(fd: int, data: bytes) -> int:
        room = full.pop(0) if full else len(data)
        if room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data[:room])

    monkeypatch.setattr(completion, "SharedLogFile", File)
    said: list[str | None] = []
    around.completion.worker_died()

    def over() -> bool:
        said.append(around.completion.condition())
        return not around.completion.pending

    await around.until(over)
    assert around.calls() == [b"id-1", b"id-2", b"", b"id-3"]
    assert "request lines of a killed worker are missing still: No space left on device" in said
    assert around.completion.condition() is None


@pytest_twisted.ensureDeferred
async def test_the_end_does_not_wait_for_it(around: Around) -> None:
    """What is not done is left to the next start."""
    never: Deferred[None] = Deferred()
    around.fence = lambda: never
    around.completion.worker_died()
    await around.until(lambda: True)
    assert around.completion.stop()
    assert around.completion.pending


def test_without_a_death_there_is_no_thread(tmp_path: Path) -> None:
    """And stopping is nothing."""
    before = threading.active_count()
    around = Around(tmp_path)
    assert around.completion.stop()
    assert not around.completion.pending
    assert threading.active_count() == before

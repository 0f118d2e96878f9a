"""The journal on disk: rotation, errors, crashes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from awfproxy.core.records import RequestRecord, encode, timestamp, token_usage
from awfproxy.server.intake import Unwritten
from awfproxy.server.journal import BATCH_MAX, Journal

ROOT = Path(__file__).resolve().parents[2]


class Disk:
    """``os.write`` that notes what it was given, and fails or blocks as told."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.failures: list[BaseException | None] = []
        self.open_gate = threading.Event()
        self.open_gate.set()

    def write(self, fd: int, data: bytes) -> int:
        """Like ``os.write``."""
        self.open_gate.wait(30)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        self.written.append(data)
        return os.write(fd, data)


@pytest.fixture
def disk() -> Disk:
    """One that works."""
    return Disk()


@pytest.fixture
def journal(tmp_path: Path, disk: Disk) -> Journal:
    """Not started."""
    return make(tmp_path, disk.write)


def make(folder: Path, write: Callable[[int, bytes], int] = os.write, monotonic: Any = None, **more: Any) -> Journal:
    """A journal on the real reactor."""
    from twisted.internet import reactor

    from_thread: Any = getattr(reactor, "callFromThread")  # noqa: B009 - unknown to the reactor's type
    if monotonic is not None:
        more["monotonic"] = monotonic
    return Journal(str(folder), call_from_thread=from_thread, clock=reactor, write=write, **more)


def hand_over(journal: Journal, number: int) -> Deferred[None]:
    """Append the lines of call ``number``."""
    done: Deferred[None] = Deferred()
    journal.reserve()
    usage_line = b'{"input_tokens":1,"output_tokens":1,"n":%d}\n' % number
    journal.append(usage_line, b'{"n":%d}\n' % number, lambda: done.callback(None))
    return done


def numbers(path: Path) -> list[int]:
    """The calls whose lines are in a file."""
    return [json.loads(line)["n"] for line in path.read_bytes().splitlines()]


def pause(seconds: float = 0.001) -> Deferred[None]:
    """Let the reactor turn."""
    from twisted.internet import reactor

    return deferLater(reactor, seconds)


def test_nothing_is_opened_before_the_start(tmp_path: Path) -> None:
    """twistd forks in between: a thread or a descriptor would be lost or shared."""
    before = set(os.listdir("/proc/self/fd")), threading.active_count()
    journal = make(tmp_path / "logs")
    assert (set(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert not (tmp_path / "logs").exists()
    assert journal.written == 0


@pytest_twisted.ensureDeferred
async def test_files_are_there_from_the_start(journal: Journal, tmp_path: Path) -> None:
    """Tools that follow them need not wait for the first call."""
    journal.start()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["requests.jsonl", "token-usage.jsonl"]
    await journal.stop(5)


def test_a_folder_that_cannot_be_made_fails_the_start(tmp_path: Path) -> None:
    """A proxy that cannot record must not run; no thread is left."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        make(tmp_path / "file" / "logs").start()


def test_a_file_that_cannot_be_opened_closes_the_other(tmp_path: Path) -> None:
    """Nothing stays open."""
    (tmp_path / "requests.jsonl").mkdir()
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(IsADirectoryError):
        make(tmp_path).start()
    assert set(os.listdir("/proc/self/fd")) == before


@pytest_twisted.ensureDeferred
async def test_the_usage_line_is_written_first(journal: Journal, disk: Disk) -> None:
    """A crash in between is repaired only that way round."""
    journal.start()
    await hand_over(journal, 1)
    await journal.stop(5)
    assert [b"input_tokens" in data for data in disk.written] == [True, False]


@pytest_twisted.ensureDeferred
async def test_what_waits_goes_in_one_append_bounded_by_count(journal: Journal, disk: Disk) -> None:
    """Two appends a batch, however many lines, and no batch longer than the bound."""
    disk.open_gate.clear()
    journal.start()
    waiting = [hand_over(journal, number) for number in range(BATCH_MAX * 3)]
    disk.open_gate.set()
    await waiting[-1]
    await journal.stop(5)
    assert len(disk.written) <= 2 * 5
    assert max(data.count(b"\n") for data in disk.written) == BATCH_MAX


@pytest_twisted.ensureDeferred
async def test_the_records_of_a_turn_go_together(journal: Journal, disk: Disk) -> None:
    """One append to each file, however quick the writer thread is to wake."""
    journal.start()
    await pause()
    waiting = [hand_over(journal, number) for number in range(8)]
    await waiting[-1]
    await journal.stop(5)
    assert [data.count(b"\n") for data in disk.written] == [8, 8]


@pytest_twisted.ensureDeferred
async def test_an_error_between_the_two_appends_repeats_only_the_second(
    journal: Journal, disk: Disk, tmp_path: Path
) -> None:
    """No line twice."""
    disk.failures = [None, OSError(28, "No space left on device"), OSError(28, "No space left on device")]
    journal.start()
    await hand_over(journal, 1)
    await journal.stop(5)
    assert numbers(tmp_path / "token-usage.jsonl") == [1]
    assert numbers(tmp_path / "requests.jsonl") == [1]
    assert journal.errors == 2
    assert journal.degraded is None


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("shared", [False, True])
async def test_a_usage_line_without_its_newline_is_not_acknowledged(tmp_path: Path, shared: bool) -> None:
    """Another worker would continue it, and nobody would be left to notice."""
    steps = [-1, 0]

    def write(fd: int, data: bytes) -> int:
        step = steps.pop(0) if steps else None
        if step == 0:
            raise OSError(28, "No space left on device")
        return os.write(fd, data[:step])

    journal = make(tmp_path, write, shared=shared)
    journal.start()
    await hand_over(journal, 1)
    assert (tmp_path / "token-usage.jsonl").read_bytes() == b'{"input_tokens":1,"output_tokens":1,"n":1}\n'
    assert numbers(tmp_path / "requests.jsonl") == [1]
    await journal.stop(5)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("shared", [False, True])
async def test_lines_in_a_file_removed_to_make_room_are_written_again(tmp_path: Path, shared: bool) -> None:
    """Between the look at its name and a write that the disk cut short: no record of the batch is in no file."""
    path = tmp_path / "requests.jsonl"
    steps = [12, 0]

    def write(fd: int, data: bytes) -> int:
        if b"input_tokens" in data or not steps:
            return os.write(fd, data)
        step = steps.pop(0)
        if not step:
            raise OSError(28, "No space left on device")
        path.unlink()
        return os.write(fd, data[:step])

    journal = make(tmp_path, write, shared=shared)
    journal.start()
    waiting = [hand_over(journal, number) for number in range(3)]
    await waiting[-1]
    assert numbers(path) == [0, 1, 2]
    await journal.stop(5)


@pytest_twisted.ensureDeferred
async def test_a_folder_replaced_by_a_file_is_told(tmp_path: Path) -> None:
    """Records go on into the folder that was moved away."""
    now = [100.0]
    folder, moved = tmp_path / "logs", tmp_path / "logs.old"
    journal = make(folder, monotonic=lambda: now[0])
    journal.start()
    folder.rename(moved)
    folder.touch()
    now[0] += 1.0
    await hand_over(journal, 1)
    assert numbers(moved / "requests.jsonl") == [1]
    assert journal.degraded == "logs: File exists"
    folder.unlink()
    now[0] += 1.0
    await hand_over(journal, 2)
    assert numbers(folder / "requests.jsonl") == [2]
    assert journal.degraded is None
    await journal.stop(5)


@pytest_twisted.ensureDeferred
async def test_the_last_turn_is_written_when_the_thread_looks_while_it_is_stopped(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not find that the end is wanted and nothing waits, before what waits was handed over."""
    journal.start()
    thread, end_turn = journal._thread, journal._end_turn
    assert thread is not None

    def slowly() -> None:
        journal._queue.put([])
        thread.join(0.3)  # as long as the thread takes for a look, and to end if it would
        end_turn()

    monkeypatch.setattr(journal, "_end_turn", slowly)
    monkeypatch.setattr(journal, "_call_soon", lambda _function: None)
    waiting = hand_over(journal, 1)
    assert await journal.stop(5) == Unwritten(0, 0)
    await waiting
    assert journal.written == 1


@pytest_twisted.ensureDeferred
async def test_trouble_is_told_in_words_without_the_folder(journal: Journal, disk: Disk) -> None:
    """Health is read by others than the owner of the folder."""
    disk.failures = [OSError(28, "No space left on device")] * 3
    journal.start()
    waiting = hand_over(journal, 1)
    while journal.degraded is None:
        await pause()
    assert journal.degraded == "token-usage.jsonl: No space left on device"
    await waiting
    await journal.stop(5)


@pytest_twisted.ensureDeferred
async def test_an_error_nobody_thought_of_is_tried_again_too(journal: Journal, disk: Disk) -> None:
    """Accounting does not end by itself."""
    disk.failures = [MemoryError("no"), ZeroDivisionError("x")]
    journal.start()
    await hand_over(journal, 1)
    await journal.stop(5)
    assert journal.errors == 2


@pytest_twisted.ensureDeferred
async def test_a_renamed_file_is_left_for_a_new_one(tmp_path: Path) -> None:
    """Within a second, without a signal; the renamed one keeps what it has."""
    now = [100.0]
    journal = make(tmp_path, monotonic=lambda: now[0])
    journal.start()
    await hand_over(journal, 1)
    for name in ("token-usage.jsonl", "requests.jsonl"):
        (tmp_path / name).rename(tmp_path / f"{name}.1")
    await hand_over(journal, 2)
    now[0] += 1.0
    await hand_over(journal, 3)
    await journal.stop(5)
    for name in ("token-usage.jsonl", "requests.jsonl"):
        assert numbers(tmp_path / f"{name}.1") == [1, 2]
        assert numbers(tmp_path / name) == [3]


@pytest_twisted.ensureDeferred
async def test_reopen_makes_new_files_at_once_and_for_the_next_record(tmp_path: Path) -> None:
    """SIGHUP, in an idle journal too."""
    journal = make(tmp_path, monotonic=lambda: 0.0)
    journal.start()
    await hand_over(journal, 1)
    path = tmp_path / "requests.jsonl"
    path.rename(tmp_path / "requests.jsonl.1")
    journal.reopen()
    while not path.exists():
        await pause()
    await hand_over(journal, 2)
    await journal.stop(5)
    assert numbers(path) == [2]
    assert numbers(tmp_path / "token-usage.jsonl") == [1, 2]


@pytest_twisted.ensureDeferred
async def test_a_removed_folder_comes_back(tmp_path: Path) -> None:
    """Somebody cleaned up: nothing is written to where nobody can find it."""
    now = [100.0]
    folder = tmp_path / "logs"
    journal = make(folder, monotonic=lambda: now[0])
    journal.start()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    now[0] += 1.0
    await hand_over(journal, 1)
    await journal.stop(5)
    assert numbers(folder / "requests.jsonl") == [1]


@pytest_twisted.ensureDeferred
async def test_a_record_that_went_into_a_removed_file_is_written_again(tmp_path: Path) -> None:
    """Before it is acknowledged, however short ago the files were looked at."""
    folder = tmp_path / "logs"
    journal = make(folder, monotonic=lambda: 0.0)
    journal.start()
    await hand_over(journal, 1)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    await hand_over(journal, 2)
    assert numbers(folder / "requests.jsonl") == [2]
    assert numbers(folder / "token-usage.jsonl") == [2]
    assert journal.degraded is None
    assert journal.last_error == "token-usage.jsonl: was removed"
    await journal.stop(5)


@pytest_twisted.ensureDeferred
async def test_an_idle_journal_looks_after_its_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would fail the next record is in health before it, and is gone from there when it is mended."""
    monkeypatch.setattr("awfproxy.server.journal.ROTATION_CHECK", 0.01)
    journal = make(tmp_path)
    journal.start()
    path = tmp_path / "requests.jsonl"
    path.unlink()
    path.mkdir()
    while journal.degraded is None:
        await pause()
    assert journal.degraded == "requests.jsonl: Is a directory"
    path.rmdir()
    while journal.degraded is not None:
        await pause()
    assert path.is_file()
    assert journal.queue_records == 0
    await journal.stop(5)


@pytest_twisted.ensureDeferred
async def test_a_name_that_cannot_be_opened_keeps_the_old_file_while_it_has_a_name(tmp_path: Path) -> None:
    """Records go on into the renamed file, and health says why; when it can be opened, it is."""
    now = [100.0]
    journal = make(tmp_path, monotonic=lambda: now[0])
    journal.start()
    path = tmp_path / "requests.jsonl"
    path.rename(tmp_path / "requests.jsonl.1")
    path.mkdir()
    now[0] += 1.0
    await hand_over(journal, 1)
    assert numbers(tmp_path / "requests.jsonl.1") == [1]
    assert journal.degraded == "requests.jsonl: Is a directory"
    path.rmdir()
    now[0] += 1.0
    await hand_over(journal, 2)
    assert numbers(path) == [2]
    assert journal.degraded is None
    await journal.stop(5)


@pytest_twisted.ensureDeferred
async def test_a_failed_reopen_without_a_record_is_tried_with_the_next(tmp_path: Path) -> None:
    """The thread survives it, and does not write into a file without a name."""
    journal = make(tmp_path, monotonic=lambda: 0.0)
    journal.start()
    path = tmp_path / "requests.jsonl"
    path.unlink()
    path.mkdir()
    journal.reopen()
    while journal.degraded is None:
        await pause()
    waiting = hand_over(journal, 1)
    await pause(0.02)
    assert journal.queue_records == 1
    path.rmdir()
    await waiting
    assert numbers(path) == [1]
    await journal.stop(5)


@pytest_twisted.ensureDeferred
async def test_a_write_that_hangs_does_not_hang_the_end(journal: Journal, disk: Disk) -> None:
    """A dead network disk: the deadline counts, and what waits is told."""
    disk.open_gate.clear()
    journal.start()
    hand_over(journal, 1)
    assert await journal.stop(0.05) == Unwritten(1, 2)
    disk.open_gate.set()
    await pause(0.05)


@pytest_twisted.ensureDeferred
async def test_a_torn_line_and_missing_lines_are_repaired_at_the_start(tmp_path: Path) -> None:
    """What a kill between the two appends leaves."""
    requests = [
        RequestRecord(timestamp(float(at)), f"id-{at}", "openai", "openai", "complete", "estimated", 1.0)
        for at in (1, 2)
    ]
    usage_lines = []
    for request in requests:
        usage = token_usage(request, None, estimate=(1, 1))
        assert usage is not None
        usage_lines.append(encode(usage))
    (tmp_path / "token-usage.jsonl").write_bytes(b"".join(usage_lines) + b'{"_sch')
    (tmp_path / "requests.jsonl").write_bytes(encode(requests[0]) + b'{"_schema":"requ')
    journal = make(tmp_path)
    journal.start()
    await journal.stop(5)
    lines = (tmp_path / "requests.jsonl").read_bytes().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2])["request_id"] == "id-2"
    assert json.loads(lines[2])["recovered"] is True
    assert (tmp_path / "token-usage.jsonl").read_bytes().endswith(b'{"_sch\n')


@pytest_twisted.ensureDeferred
async def test_it_goes_on_writing_when_the_reactor_is_gone(tmp_path: Path) -> None:
    """Acknowledgements have nowhere to go; the lines have."""
    from twisted.internet import reactor

    def closed(*_what: object) -> None:
        raise RuntimeError("Event loop is closed")

    journal = Journal(str(tmp_path), call_from_thread=closed, clock=reactor)
    journal.start()
    hand_over(journal, 1)
    await pause()
    hand_over(journal, 2)
    assert await journal.stop(0.3) == Unwritten(2, 4)
    assert numbers(tmp_path / "requests.jsonl") == [1, 2]


def test_a_kill_right_after_an_acknowledgement_loses_nothing(tmp_path: Path) -> None:
    """kill -9 of a real process at a moment it does not choose: each acknowledged record has both lines."""
    program = textwrap.dedent(
        """
        import sys
        from twisted.internet import reactor
        from awfproxy.server.journal import Journal
        journal = Journal(sys.argv[1], call_from_thread=reactor.callFromThread, clock=reactor)
        def one(number):
            def acknowledged():
                sys.stdout.write(f"{number}\\n")
                sys.stdout.flush()
                reactor.callLater(0, one, number + 8)
            journal.reserve()
            line = b'{"request_id":"%d","timestamp":"2026-01-01T00:00:00.000Z","n":%d}\\n' % (number, number)
            journal.append(line, line, acknowledged)
        def begin():
            journal.start()
            for number in range(8):
                one(number)
        reactor.callWhenRunning(begin)
        reactor.run()
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(2000)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    acknowledged = {int(line) for line in told if line.endswith(b"\n")}
    assert len(acknowledged) >= 2000
    for name in ("token-usage.jsonl", "requests.jsonl"):
        lines = (tmp_path / name).read_bytes().splitlines(keepends=True)
        found = [json.loads(line)["n"] for line in lines if line.endswith(b"\n")]
        assert len(found) == len(set(found))
        assert acknowledged <= set(found)

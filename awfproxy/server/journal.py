"""The journal: every call's lines, in the kernel before anybody is told.

A record is handed over in the reactor thread and never blocks it (`intake` is that half); a thread of its own appends
all that waits to ``token-usage.jsonl`` first and ``requests.jsonl`` second, then one call back into the reactor
acknowledges the batch.  The order matters: a usage line without its request line can be completed at the next start
(`recovery`), the other way round a call's tokens would be lost.

Rules:
- Nothing is opened and no thread runs before `start`: the process may fork until then.
- The records of one turn of the reactor are handed over together, at its end.  The event loop releases the
  interpreter's lock between two callbacks, so a thread woken by the first record would take that one alone, and each
  record would cost two switches of threads: 22 µs more a record, measured with eight calls ending in a turn.
- Batches are bounded by count: the first record of a long one would wait for the last.
- A failed append keeps its batch and tries again with growing pauses; nothing is skipped.  `degraded` says why.
- The files are looked after once a second, also while nothing is written: what would fail the next record is known
  before it comes.
- One thread writes each attribute: what the writer thread counts, the reactor thread only reads.

Why a thread: an append costs the reactor 1.4 µs, but blocks it as long as the disk stalls, and buffered writes know no
RWF_NOWAIT on ext4 and tmpfs.  Why no ``fsync``: the promise is about the death of processes, not of the machine, and an
fdatasync a record put 190-310 ms on the 99th percentile elsewhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

import txaio
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from awfproxy.server.intake import Intake, Item, Unwritten
from awfproxy.server.logfile import LogFile
from awfproxy.server.mending import REQUESTS_FILE, USAGE_FILE, mend
from awfproxy.server.shared_logfile import SharedLogFile

txaio.use_twisted()
log = txaio.make_logger()

#: records a batch: 256 lines of 450 bytes are one append of 115 KB, well under a millisecond
BATCH_MAX: Final = 256
#: seconds between two attempts of a failed append, first and at most: a full disk is looked at once a second
RETRY_FIRST: Final = 0.05
RETRY_MAX: Final = 1.0
#: seconds within which a renamed or removed file is noticed (two ``stat`` calls each time)
ROTATION_CHECK: Final = 1.0


class Journal(Intake):
    """Both files of a log directory, and the thread that writes them.

    :param log_dir: made at `start` where it is missing
    :param shared: other processes append to the same files, and their supervisor has mended them
    :param call_from_thread: runs a function in the reactor thread soon: ``reactor.callFromThread``, or the event loop's
        own ``call_soon_threadsafe``
    :param call_soon: runs a function when this turn's events have been served: the event loop's ``call_soon``; by
        default ``clock.callLater(0, function)``
    :param clock: the reactor; for ages and for the deadline of `stop`
    :param now: seconds since the epoch, called in the writer thread
    :param monotonic: seconds for rotation checks, called in the writer thread
    :param write: ``os.write``, or what a test puts in its place
    """

    def __init__(
        self,
        log_dir: str,
        *,
        call_from_thread: Callable[..., object],
        clock: IReactorTime,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        write: Callable[[int, bytes], int] = os.write,
        shared: bool = False,
        **limits: int,
    ) -> None:
        super().__init__(clock, **limits)
        self._call_from_thread = call_from_thread
        self._call_soon = call_soon or partial(clock.callLater, 0)
        self._now = now
        self._monotonic = monotonic
        kind = SharedLogFile if shared else LogFile
        self._shared = shared
        self._usage = kind(os.path.join(log_dir, USAGE_FILE), write)
        self._requests = kind(os.path.join(log_dir, REQUESTS_FILE), write)
        self._files = (self._usage, self._requests)
        #: what came in this turn
        self._turn: list[Item] = []
        #: to the writer thread; an empty list only wakes it, to look at the flags below
        self._queue: SimpleQueue[list[Item]] = SimpleQueue()
        self._reopen_wanted = False
        self._stopping = False
        self._abandoned = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped: Deferred[Unwritten] | None = None
        self._deadline: IDelayedCall | None = None
        # written by the writer thread only
        self._trouble: str | None = None
        self._rotation_trouble: str | None = None
        self._checked = 0.0

    def start(self) -> None:
        """Make or open both files, complete what a crash left incomplete, start the writer thread.

        :raises OSError: a file cannot be made or opened; nothing runs then
        """
        try:
            if self._shared:
                for file in self._files:
                    file.open()
            else:
                mend(self._usage, self._requests)
        except OSError:
            self._close()
            raise
        self._checked = self._monotonic()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def stop(self, deadline: float) -> Deferred[Unwritten]:
        """Write all that waits, end the thread, close the files.

        :param deadline: seconds after which to give up
        :returns: fires with what was not written; (0, 0) as it should be
        """
        if self._thread is None:
            return succeed(self.unwritten())
        if self._stopped is None:
            self._stopped = Deferred()
            self._deadline = self.clock.callLater(deadline, self._give_up)
            self._end_turn()
            self._stopping = True  # only now: the thread ends where it sees this and nothing that waits
            self._queue.put([])
        return self._stopped

    def hurry(self, deadline: float) -> None:
        """Have `stop`, if it has been called, give up after so many seconds at the latest."""
        timer = self._deadline
        if timer is not None and timer.getTime() > self.clock.seconds() + deadline:
            timer.reset(deadline)

    def reopen(self) -> None:
        """Open both names again before the next write (SIGHUP)."""
        self._reopen_wanted = True
        self._queue.put([])

    @property
    def degraded(self) -> str | None:
        """Why lines are not being written as they should be; None: they are."""
        return self._trouble

    def _hand_over(self, item: Item) -> None:
        if not self._turn:
            self._call_soon(self._end_turn)
        self._turn.append(item)

    def _end_turn(self) -> None:
        if self._turn:  # `stop` may have taken it
            self._queue.put(self._turn)
            self._turn = []

    # -- in the reactor thread, at the end

    def _give_up(self) -> None:
        self._deadline = None
        self._abandoned.set()
        self._finish()

    def _ended(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._thread is not None:
            self._thread.join()
        self._close()
        self._finish()

    def _finish(self) -> None:
        stopped, self._stopped = self._stopped, None
        self._thread = None
        self.closed = True
        if stopped is not None:
            stopped.callback(self.unwritten())

    def _close(self) -> None:
        for file in self._files:
            file.close()

    # -- in the writer thread

    def _run(self) -> None:
        try:
            self._write_what_comes()
        except BaseException as error:
            self._trouble = self.last_error = f"the writer thread failed: {_reason(error)}"
            self._in_reactor(log.error, "journal: {trouble}", trouble=self._trouble)

    def _write_what_comes(self) -> None:
        queue = self._queue
        while True:
            items = self._next()
            while len(items) < BATCH_MAX and not queue.empty():
                items += queue.get()
            for first in range(0, len(items), BATCH_MAX):
                batch = items[first : first + BATCH_MAX]
                if not self._append(batch):
                    return
                self._in_reactor(self._acknowledge, len(batch))
            if not items:
                self._look_idle()
            if self._stopping and queue.empty():
                self._in_reactor(self._ended)
                return

    def _next(self) -> list[Item]:
        """What is handed over next; nothing, if nothing is for a while."""
        try:
            return self._queue.get(timeout=ROTATION_CHECK)
        except Empty:
            return []

    def _append(self, batch: list[Item]) -> bool:
        """Both appends of a batch, tried until they succeed; False: given up."""
        self._usage.owe(b"".join([item[0] for item in batch if item[0] is not None]))
        self._requests.owe(b"".join([item[1] for item in batch]))
        pause = RETRY_FIRST
        while True:
            try:
                trouble = self._look_after_files()
                self._usage.flush()
                self._requests.flush()
            except Exception as error:  # also what no one thought of: accounting does not end by itself
                self._failed(error)
            else:
                self.last_write = self._now()
                self._trouble = trouble
                return True
            if self._abandoned.wait(pause):
                return False
            pause = min(pause * 2, RETRY_MAX)

    def _look_after_files(self) -> str | None:
        """Open files anew that were rotated away; what is wrong though lines can still be written, or None.

        :raises OSError: a file cannot be opened, and the one that is open has no name left
        """
        now = self._monotonic()
        if not self._reopen_wanted and now - self._checked < ROTATION_CHECK:
            return self._rotation_trouble
        wanted, self._reopen_wanted = self._reopen_wanted, False
        trouble = None
        for file in self._files:
            if wanted or file.moved():
                try:
                    file.open()
                except OSError as error:
                    if not file.writable():
                        raise
                    self.errors += 1
                    trouble = self.last_error = _reason(error)
        self._checked = now
        self._rotation_trouble = trouble
        return trouble

    def _look_idle(self) -> None:
        try:
            self._trouble = self._look_after_files()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """Note it; the next attempt begins with a look at the files, for what is wrong may be where they are."""
        self.errors += 1
        self._trouble = self.last_error = _reason(error)
        self._checked = float("-inf")

    def _in_reactor(self, function: Callable[..., object], *args: object, **names: object) -> None:
        try:
            if names:
                self._call_from_thread(partial(function, *args, **names))
            else:
                self._call_from_thread(function, *args)
        except RuntimeError:
            pass  # the event loop is closed: nobody is left to be told, but the lines are still written


def _reason(error: BaseException) -> str:
    """The error in words that name the file and not the directory, for health and the log."""
    if isinstance(error, OSError) and error.strerror:
        name = os.path.basename(error.filename) if isinstance(error.filename, str) else "log_dir"
        return f"{name}: {error.strerror}"
    return f"{type(error).__name__}: {error}"

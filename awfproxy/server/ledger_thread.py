"""The one thread that uses the ledger: operations go in, their results come back in the reactor thread.

Rules:
- Operations are done in the order in which they were given, one at a time.  Each is answered exactly once, in the
  reactor thread, with its result or with the `LedgerUnavailable` that says why there is none.
- After a failure the ledger counts as lost: what is given then is answered at once with the reason, and the thread
  tries by itself to reach it, with growing pauses.  `trouble` says why; `returned` is called when it is back.
- A ledger whose file or tables are gone is made anew.  `made_anew` counts that: what is known of it is of the old one.
- An operation that fails in any other way is a defect: it is logged, and answered as unavailable.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import txaio
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from awfproxy.ledger.errors import LedgerError, LedgerGone, LedgerUnavailable
from awfproxy.ledger.interface import Ledger

txaio.use_twisted()
log = txaio.make_logger()

T = TypeVar("T")
Operation = Callable[[Ledger], T]
Result = Callable[[T | LedgerUnavailable], None]

#: seconds between two attempts to reach a lost ledger, first and at most: a database that restarts is back in seconds
RETRY_FIRST: Final = 0.1
RETRY_MAX: Final = 2.0


class LedgerThread:
    """A ledger, and the thread that uses it.

    :param open_ledger: makes the ledger, in the thread; tried again until it succeeds
    :param call_from_thread: runs a function in the reactor thread soon
    :param clock: the reactor, for the deadline of `stop`
    """

    def __init__(
        self, open_ledger: Callable[[], Ledger], *, call_from_thread: Callable[..., object], clock: IReactorTime
    ) -> None:
        self._open_ledger = open_ledger
        self._call_from_thread = call_from_thread
        self._clock = clock
        self._queue: SimpleQueue[tuple[Operation[Any], Result[Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        #: used by the ledger's thread only
        self._ledger: Ledger | None = None
        self._stopped: Deferred[bool] | None = None
        self._deadline: IDelayedCall | None = None
        #: called in the reactor thread each time the ledger is reached, the first time too
        self.returned: list[Callable[[], None]] = []
        # written by the ledger's thread only
        #: why the ledger cannot be used; None: it can, or nobody has tried yet
        self.trouble: str | None = None
        #: times that a ledger was found gone
        self.made_anew = 0
        #: failed attempts to use it
        self.errors = 0

    def start(self) -> None:
        """Begin; nothing is opened and no thread runs before."""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread is not None

    def do(self, operation: Operation[T], result: Result[T]) -> None:
        """Have something done; see the module."""
        if self._thread is None or self._stopped is not None:
            self._clock.callLater(0, result, LedgerUnavailable("the ledger is closed"))
            return
        self._queue.put((operation, result))

    def stop(self, deadline: float) -> Deferred[bool]:
        """Do what was given before, close the ledger, end the thread.

        :param deadline: seconds after which to give up; a database that hangs keeps its thread, which ends with the
            process
        :returns: fires with whether it ended in time
        """
        if self._thread is None:
            return succeed(True)
        if self._stopped is None:
            self._stopped = Deferred()
            self._deadline = self._clock.callLater(deadline, self._finish, False)
            self._queue.put(None)
        return self._stopped

    # -- in the reactor thread, at the end

    def _ended(self) -> None:
        thread = self._thread
        if thread is not None:
            thread.join()
        self._finish(True)

    def _finish(self, in_time: bool) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._thread = None
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(in_time)

    def _returned(self) -> None:
        for each in self.returned:
            each()

    # -- in the ledger's thread

    def _run(self) -> None:
        try:
            while self._reach():
                if not self._serve():
                    break
            if self._ledger is not None:
                self._ledger.close()
        except BaseException as error:
            self.trouble = f"the ledger's thread failed: {type(error).__name__}: {error}"
            self._in_reactor(log.error, "{trouble}", trouble=self.trouble)
        self._in_reactor(self._ended)

    def _reach(self) -> bool:
        """Open the ledger, however long it takes; False: it is time to end."""
        pause = RETRY_FIRST
        while True:
            try:
                if self._ledger is None:
                    self._ledger = self._open_ledger()
                elif self.trouble is not None:
                    self._ledger.reopen()
            except LedgerError as error:
                self._note(str(error))
            except Exception as error:  # no file descriptor is left for a module or a file: not for ever
                self._note(f"the ledger cannot be opened: {type(error).__name__}: {error}")
            else:
                self._note(None)
                self._in_reactor(self._returned)
                return True
            if not self._refuse_for(pause):
                return False
            pause = min(pause * 2, RETRY_MAX)

    def _serve(self) -> bool:
        """Do what comes until the ledger is lost; False: it is time to end."""
        assert self._ledger is not None
        while (task := self._queue.get()) is not None:
            operation, result = task
            done: Any
            try:
                done = operation(self._ledger)
            except LedgerUnavailable as error:
                if isinstance(error, LedgerGone):
                    self.made_anew += 1
                self._note(str(error))
                self._in_reactor(result, error)
                return True
            except Exception as error:
                self.errors += 1
                self._in_reactor(log.error, "the ledger: an operation failed: {error!r}", error=error)
                done = LedgerUnavailable(f"an operation failed: {type(error).__name__}: {error}")
            self._in_reactor(result, done)
        return False

    def _refuse_for(self, seconds: float) -> bool:
        """Answer with the trouble all that comes within some seconds; False: it is time to end."""
        assert self.trouble is not None
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                task = self._queue.get(timeout=left)
            except Empty:
                break
            if task is None:
                return False
            self._in_reactor(task[1], LedgerUnavailable(self.trouble))
        return True

    def _note(self, trouble: str | None) -> None:
        self.errors += trouble is not None
        before, self.trouble = self.trouble, trouble
        if trouble is not None and before is None:
            self._in_reactor(log.error, "{trouble}; trying again", trouble=trouble)
        elif trouble is None and before is not None:
            self._in_reactor(log.warn, "the ledger is back")

    def _in_reactor(self, function: Callable[..., object], *args: object, **names: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed: nobody is left to be told
            self._call_from_thread(partial(function, *args, **names))

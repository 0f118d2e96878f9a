"""After a worker was killed while others go on: the request lines that it left unwritten are added (`recovery`).

What is missing is known once all that the others had begun is in the files: they are asked (`fence`).  Files are read
and written in a thread of its own, made for the first death, because the disk may stall, and who supervises must not.
What cannot be read or written is tried again until it can, or until `stop`: then the next start does it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import txaio
from twisted.internet.defer import Deferred

from awfproxy.server import recovery
from awfproxy.server.mending import tell
from awfproxy.server.shared_logfile import SharedLogFile

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two attempts to read or write
RETRY_SECONDS: Final = 1.0
#: seconds that `stop` waits for the thread: what it does takes milliseconds, unless the disk stalls
STOP_SECONDS: Final = 0.5

Result = TypeVar("Result")


class _Over(Exception):
    """`stop` was called."""


class Completion:
    """See the module.  Public methods are for the reactor thread.

    :param usage: path of ``token-usage.jsonl``
    :param requests: path of ``requests.jsonl``
    :param processes: how many write them
    :param fence: fires when all that the workers had handed to their journals until now is written
    :param call_from_thread: ``reactor.callFromThread``
    """

    def __init__(
        self,
        usage: str,
        requests: str,
        processes: int,
        fence: Callable[[], Deferred[Any]],
        call_from_thread: Callable[..., object],
    ) -> None:
        self._usage = usage
        self._requests = requests
        self._processes = processes
        self._fence = fence
        self._call_from_thread = call_from_thread
        self._changed = threading.Condition()
        #: deaths, and those of them after which the files were completed
        self._deaths = 0
        self._done = 0
        self._over = False
        self._thread: threading.Thread | None = None
        self._trouble: str | None = None

    def worker_died(self) -> None:
        """Complete the files soon; once for all deaths until then."""
        with self._changed:
            self._deaths += 1
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="completion", daemon=True)
            self._thread.start()

    def condition(self) -> str | None:
        """Why lines are missing still; None: none are, or soon none will be."""
        return self._trouble

    def stop(self) -> bool:
        """End; whether nobody writes any longer.  What was not done by then is left to `mending.mend`."""
        with self._changed:
            self._over = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        return self._thread is None or not self._thread.is_alive()

    @property
    def pending(self) -> bool:
        """Whether lines may be missing."""
        return self._done < self._deaths

    # -- in the thread

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._over or self.pending)
                    if self._over:
                        return
                    deaths = self._deaths
                self._complete()
                self._done = deaths
                self._trouble = None
        except _Over:
            return

    def _complete(self) -> None:
        begun = self._patiently(lambda: recovery.last_batches(self._usage, self._processes))
        fenced = threading.Event()
        self._call_from_thread(lambda: self._fence().addBoth(lambda _: fenced.set()))
        while not fenced.wait(RETRY_SECONDS):
            self._expect_more_time()
        found = self._patiently(lambda: recovery.lacking(begun, self._requests, self._processes))
        if found.lines:
            self._append(b"".join(found.lines))
        self._call_from_thread(tell, found)

    def _append(self, lines: bytes) -> None:
        file = SharedLogFile(self._requests)
        file.owe(lines)

        def flush() -> None:
            if file.moved():
                file.open()
            file.flush()

        try:
            self._patiently(flush)
        finally:
            file.close()

    def _patiently(self, what: Callable[[], Result]) -> Result:
        while True:
            try:
                return what()
            except OSError as error:
                trouble = f"request lines of a killed worker are missing still: {error.strerror or error}"
                if self._trouble is None:
                    self._call_from_thread(partial(log.error, "journal: {trouble}", trouble=trouble))
                self._trouble = trouble
            with self._changed:
                self._changed.wait_for(lambda: self._over, RETRY_SECONDS)
            self._expect_more_time()

    def _expect_more_time(self) -> None:
        """:raises _Over: there is none"""
        if self._over:
            raise _Over

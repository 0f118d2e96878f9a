"""The reactor's half of a journal: places, what waits, and the acknowledgements.

Every admitted call has a place reserved before it may run, so that its record always finds room.  A full or stalled
disk therefore stops admission; it never loses a line silently, and memory stays under `PLACES` records and about
`QUEUE_BYTES_MAX` plus what the calls already running still bring.  Records of refusals, which nobody admits, have
`REFUSAL_PLACES` and `REFUSAL_BYTES_MAX` beyond that; those that find no place are dropped and counted.

`journal.Journal` and `journal_memory.MemoryJournal` are this class with a place to put the lines.  All methods are for
the reactor thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

txaio.use_twisted()
log = txaio.make_logger()

#: calls that may run or wait for their record at once: far above the 10,000 streams a process is built for
PLACES: Final = 65_536
#: further places for the records of requests that are refused because the places above are taken
REFUSAL_PLACES: Final = 4_096
#: bytes of waiting lines beyond which no call is admitted: half a minute of 2,000 calls a second on a stalled disk
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024

#: further bytes of waiting lines for them: 2 KiB for each of their places, the longest that texts of usual length make
REFUSAL_BYTES_MAX: Final = 8 * 1024 * 1024

#: usage line, request line, who is told, when it came, bytes of both lines
Item = tuple[bytes | None, bytes, Callable[[], None], float, int]


class Unwritten(msgspec.Struct, frozen=True):
    """What could not be written by the deadline of `Intake.stop`."""

    records: int
    #: input and output tokens of the usage lines among them
    tokens: int


class _Tokens(msgspec.Struct):
    input_tokens: int
    output_tokens: int


class Intake(ABC):
    """Takes records in; a subclass writes them and calls `_acknowledge`."""

    def __init__(
        self,
        clock: IReactorTime,
        *,
        places: int = PLACES,
        refusal_places: int = REFUSAL_PLACES,
        queue_bytes_max: int = QUEUE_BYTES_MAX,
        refusal_bytes_max: int = REFUSAL_BYTES_MAX,
    ) -> None:
        self.clock = clock
        self._places = places
        self._refusal_places = places + refusal_places
        self._queue_bytes_max = queue_bytes_max
        self._refusal_bytes_max = queue_bytes_max + refusal_bytes_max
        self._taken = 0
        self._waiting: deque[Item] = deque()
        self.closed = False
        #: request records that the kernel has, and usage records among their calls
        self.written = 0
        self.usage_written = 0
        #: records that could not be kept at all: of refusals beyond their places, or handed over after the end
        self.dropped = 0
        #: failed attempts to append, and what the last one met
        self.errors = 0
        self.last_error: str | None = None
        #: bytes of lines that wait
        self.queue_bytes = 0
        #: told in the reactor thread that usage records were written; None: nobody wants to know
        self.usage_was_written: Callable[[], None] | None = None
        #: seconds since the epoch of the last append that went through; None: none yet
        self.last_write: float | None = None

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self, deadline: float) -> Deferred[Unwritten]: ...

    @abstractmethod
    def hurry(self, deadline: float) -> None: ...

    @abstractmethod
    def reopen(self) -> None: ...

    @property
    @abstractmethod
    def degraded(self) -> str | None:
        """Why lines are not being written as they should be; None: they are."""

    @abstractmethod
    def _hand_over(self, item: Item) -> None: ...

    def reserve(self, *, refusal: bool = False) -> bool:
        """A place for the record of a request that arrived; False: none is left, do not admit it.

        The place is given back by the acknowledgement of its `append`, or by `release`.

        :param refusal: the request is going to be refused: it may use the few places and bytes that are kept for that
        """
        if refusal:
            if self._taken >= self._refusal_places or self.queue_bytes > self._refusal_bytes_max:
                return False
        elif self.full:
            return False
        self._taken += 1
        return True

    def release(self) -> None:
        """Give a place back that no record will need."""
        self._taken -= 1

    def drop(self) -> None:
        """Count the record of a refusal that found no place."""
        self.dropped += 1

    def append(self, usage_line: bytes | None, request_line: bytes, acknowledged: Callable[[], None]) -> None:
        """Hand over the lines of one call; never blocks, never refuses.

        :param acknowledged: called in the reactor thread, in a later turn, once the kernel has the lines
        """
        if self.closed:
            self.dropped += 1
            self._taken -= 1
            log.error("journal: a record came after the end and was dropped")
            self.clock.callLater(0, acknowledged)
            return
        size = len(request_line) if usage_line is None else len(request_line) + len(usage_line)
        item = (usage_line, request_line, acknowledged, self.clock.seconds(), size)
        self.queue_bytes += size
        self._waiting.append(item)
        self._hand_over(item)

    @property
    def queue_records(self) -> int:
        """Records that wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """No further call is let in."""
        return self._taken >= self._places or self.queue_bytes > self._queue_bytes_max

    @property
    def places_taken(self) -> int:
        return self._taken

    def oldest_waiting(self) -> float | None:
        """Seconds that the oldest record has waited; None: none waits."""
        try:
            return self.clock.seconds() - self._waiting[0][3]
        except IndexError:  # not tested first: a scrape asks from its own thread
            return None

    def unwritten(self) -> Unwritten:
        """What waits now, as records and tokens."""
        tokens = 0
        for usage_line, *_ in self._waiting:
            if usage_line is not None:
                counts = msgspec.json.decode(usage_line, type=_Tokens)
                tokens += counts.input_tokens + counts.output_tokens
        return Unwritten(len(self._waiting), tokens)

    def _acknowledge(self, count: int) -> None:
        """The first ``count`` records that wait are in the kernel: tell their calls."""
        waiting = self._waiting
        before = self.usage_written
        for _ in range(count):
            usage_line, _request_line, acknowledged, _since, size = waiting.popleft()
            self.written += 1
            if usage_line is not None:
                self.usage_written += 1
            self.queue_bytes -= size
            self._taken -= 1
            try:
                acknowledged()
            except Exception:
                log.failure("journal: an acknowledged call failed")
        if self.usage_was_written is not None and self.usage_written > before:
            self.usage_was_written()

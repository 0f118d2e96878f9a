"""A sliding window: how much was taken in the last so many seconds, by all workers of a host.

Time is cut into buckets of a sixtieth of the window.  What was taken counts from its moment until 60 whole buckets have
passed after its own: never for less than the window, and for at most one bucket more.  Memory is fixed, and a step is
O(1) amortised: a bucket carries its own index, so stale ones need no clearing.

Time is an argument, in seconds of a clock that all workers share and that does not step (the system's monotonic one).
Should it step back all the same, a worker forgets nothing of its own: by less than a window, and the present bucket
stays the newest; by more, and all that counted is put into the new present.  So after any step everything counts for at
most one window longer than it should.  Of other workers, what is more than a window ahead is passed over: they have not
been awake since the step, or since the machine was started again.

Several workers: each has its own words in memory that all map, writes only these, and adds the others' to its own.
Words of one window (`WORDS` 64-bit integers)::

    0            index of the newest bucket
    1            sum of the buckets that count, as of that index
    2 .. 62      index of each bucket, at its index modulo 61
    63 .. 123    what it holds

Reading the others at each call would cost more than all the rest, so a worker reads them anew before it refuses, and
when it has itself taken more than its *share* since it did so last: a 64th of the limit divided by the workers.  Once
all together have reached the limit, each worker can therefore take one share more before it sees that: together at most
a 64th (1.6 %) over the limit, at any rate, and what several take within the same microsecond.  A small limit has a
share of nothing: then the others are read at each call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor
from typing import Final

#: buckets in a window
BUCKETS: Final = 60
#: and the one that is not over yet
_RING: Final = BUCKETS + 1
#: 64-bit words of one worker's window
WORDS: Final = 2 + 2 * _RING
#: part of the limit that all workers together may be over, where each has read the others a moment ago
OVER: Final = 64

_NEWEST: Final = 0
_SUM: Final = 1
_INDEXES: Final = 2
_COUNTS: Final = _INDEXES + _RING


class SlidingWindow:
    """One limit over one window; amounts are integers (requests, bytes, tokens)."""

    __slots__ = (
        "_at",
        "_counts",
        "_elsewhere",
        "_indexes",
        "_limit",
        "_others",
        "_share",
        "_sum",
        "_words",
        "bucket",
        "newest",
        "spare",
    )

    def __init__(
        self, seconds: float, limit: int, words: memoryview[int] | None = None, others: Sequence[memoryview[int]] = ()
    ) -> None:
        """
        :param seconds: length of the window
        :param words: this worker's `WORDS` words, as its predecessor left them; None: nobody shares this window
        :param others: those of the other workers
        """
        #: seconds
        self.bucket = seconds / BUCKETS
        #: index of the bucket that now is in, as of the last look
        self.newest = 0
        #: how much may be taken in that bucket without another look
        self.spare = 0
        self._words = words
        self._others = tuple(others)
        if words is None:
            self._indexes, self._counts = [0] * _RING, [0] * _RING
        else:
            self._indexes, self._counts = words[_INDEXES:_COUNTS].tolist(), words[_COUNTS:WORDS].tolist()
            self.newest = words[_NEWEST]
        self._sum = sum(amount for _, amount in _live(self._indexes, self._counts, self.newest))
        self._elsewhere = 0
        self.limit = limit
        self._open()

    @property
    def limit(self) -> int:
        """The most that may be taken within the window."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._share = limit // (OVER * (len(self._others) + 1)) if self._others else limit
        self.spare = 0

    def fits(self, amount: int, now: float) -> bool:
        """Whether so much may be taken now."""
        index = floor(now / self.bucket)
        if index != self.newest:
            self._advance(index)
        if amount <= self.spare:
            return True
        self._look()
        return self._sum + self._elsewhere + amount <= self._limit

    def take(self, amount: int) -> int:
        """Take so much at the moment that `fits` was last asked about, whether it fits or not.

        :return: the bucket it went into, for `correct`
        """
        at, counts, words = self._at, self._counts, self._words
        counts[at] = held = counts[at] + amount
        self._sum += amount
        self.spare -= amount
        if words is not None:
            words[_COUNTS + at] = held
            words[_SUM] = self._sum
        return self.newest

    def correct(self, index: int, delta: int) -> None:
        """Add ``delta`` to the bucket that `take` answered, if it still counts; it never holds less than nothing."""
        at = index % _RING
        if self._indexes[at] != index or self.newest - index > BUCKETS:
            return
        held = self._counts[at]
        if delta > 0:
            self.spare -= delta
        elif delta < -held:
            delta = -held
        self._counts[at] = held + delta
        self._sum += delta
        if self._words is not None:
            self._words[_COUNTS + at] = held + delta
            self._words[_SUM] = self._sum

    def room(self, now: float) -> int:
        """How much may be taken now; never negative, though corrections may have gone over the limit."""
        return max(0, self._limit - self.used(now))

    def used(self, now: float) -> int:
        """How much counts now, of all workers."""
        self._advance(floor(now / self.bucket))
        self._look()
        return self._sum + self._elsewhere

    def retry_after(self, amount: int, now: float) -> float | None:
        """Seconds until so much fits if nothing else is taken, 0 if it does now; None: it is more than the limit."""
        if amount > self._limit:
            return None
        missing = self.used(now) + amount - self._limit
        if missing <= 0:
            return 0.0
        for index, held in sorted(self._all()):
            missing -= held
            if missing <= 0:
                return max(0.0, (index + _RING) * self.bucket - now)
        return BUCKETS * self.bucket  # another worker took back what it had taken, just now

    def reset(self, now: float) -> float:
        """Seconds until nothing counts any more, if nothing else is taken."""
        self._advance(floor(now / self.bucket))
        newest = max((index for index, held in self._all() if held), default=None)
        return 0.0 if newest is None else max(0.0, (newest + _RING) * self.bucket - now)

    def _advance(self, index: int) -> None:
        newest = self.newest
        if index <= newest:
            if newest - index <= BUCKETS:
                return
            # the clock was set back by more than a window
            self._indexes, self._counts = [index - _RING] * _RING, [0] * _RING
            self._indexes[index % _RING], self._counts[index % _RING] = index, self._sum
        else:
            gone = self._sum
            if index - newest <= BUCKETS:
                gone = 0
                for passed in range(newest + 1, index + 1):
                    if self._indexes[passed % _RING] == passed - _RING:
                        gone += self._counts[passed % _RING]
            self._sum -= gone
        self.newest = index
        words = self._words
        if words is not None:
            if index < newest:
                for at in range(_RING):
                    words[_COUNTS + at] = self._counts[at]
                    words[_INDEXES + at] = self._indexes[at]
            # in this order: who reads between the two counts too much, not too little
            words[_NEWEST] = index
            words[_SUM] = self._sum
        self._open()

    def _open(self) -> None:
        """Have the bucket of the newest index be its own."""
        index = self.newest
        self._at = at = index % _RING
        if self._indexes[at] != index:
            self._counts[at] = 0
            self._indexes[at] = index
            if self._words is not None:
                # emptied first: a reader must never take the old bucket's amount for the new one's
                self._words[_COUNTS + at] = 0
                self._words[_INDEXES + at] = index

    def _look(self) -> None:
        """Read the others; from here on a share may be taken, as far as the limit goes."""
        found = 0
        index = self.newest
        for words in self._others:
            whole = words[_SUM]
            if whole and -BUCKETS <= index - (newest := words[_NEWEST]) <= BUCKETS:
                if newest < index:
                    # a worker that has had nothing to do since: some of its buckets may be over
                    whole = sum(held for _, held in _pairs(words, index))
                found += whole
        self._elsewhere = found
        self.spare = min(self._share, self._limit - self._sum - found)

    def _all(self) -> Iterator[tuple[int, int]]:
        yield from _live(self._indexes, self._counts, self.newest)
        for words in self._others:
            yield from _pairs(words, self.newest)


def _pairs(words: memoryview[int], newest: int) -> Iterator[tuple[int, int]]:
    return _live(words[_INDEXES:_COUNTS].tolist(), words[_COUNTS:WORDS].tolist(), newest)


def _live(indexes: list[int], counts: list[int], newest: int) -> Iterator[tuple[int, int]]:
    """Index and amount of the buckets that count."""
    oldest, ahead = newest - BUCKETS, newest + BUCKETS
    return (pair for pair in zip(indexes, counts, strict=True) if oldest <= pair[0] <= ahead)

"""Rate limits of a port, or of one client of it: requests, bytes and tokens in sliding windows, and calls at a time.

All limits of a `RateLimits` are asked before anything is counted, so a refused call counts nowhere; who has several
sets of limits checks them all before it takes of any.  Tokens are charged by an estimate, and put right in the bucket
of the call's admission when the call is settled.  How a window slides, errs and is shared is said in `core.sliding`.

Shared by several workers, the counters live in memory that all of them map: `REGION_WORDS` 64-bit integers for each
worker, one writer each::

    0 .. 495     four windows of `sliding.WORDS`, in the order of `WINDOWS`
    496          calls that run
    497 .. 511   0

A worker that takes a dead one's place takes over its words: what it had admitted still counts, its calls no longer run.
Words of zeros are a worker that has done nothing.
"""

from __future__ import annotations

from math import floor
from typing import Final

import msgspec

from awfproxy.core.sliding import WORDS, SlidingWindow

MINUTE: Final = 60
HOUR: Final = 3600
#: names of the windows' limits, and seconds
WINDOWS: Final = (
    ("requests_per_minute", MINUTE),
    ("requests_per_hour", HOUR),
    ("bytes_per_minute", MINUTE),
    ("tokens_per_minute", MINUTE),
)
CONCURRENT: Final = "concurrent_requests"
#: 64-bit words of one worker: a page of 4 KB, so that no two workers write near each other
REGION_WORDS: Final = 512
_RUNNING: Final = len(WINDOWS) * WORDS
#: seconds to wait where too many calls run: nobody knows when one will end
CONCURRENT_WAIT: Final = 1.0


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The most in any 60 seconds (an hour), and at a time; None: no limit.  0 refuses every call."""

    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    #: of request bodies as they came
    bytes_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None


class RateRefusal(msgspec.Struct, frozen=True):
    """A limit that has no room for a call."""

    #: the setting's name
    name: str
    #: seconds; 0 for calls at a time
    window: int
    limit: int
    #: what is left of it, in its unit
    remaining: int
    #: seconds until all of it is free again if no more calls come
    reset: float
    #: seconds until this call fits if no others come
    retry_after: float
    #: False: this call is more than the whole limit and will never fit; ``retry_after`` is the window
    possible: bool = True


class Rates:
    """The counters of one port or client."""

    __slots__ = ("_bytes", "_hour", "_minute", "_others", "_tokens", "_windows", "_words", "limits", "running")

    def __init__(self, limits: RateLimits, region: memoryview[int] | None = None, own: int = 0) -> None:
        """
        :param region: `REGION_WORDS` for each worker; None: there is one only
        :param own: which of them this worker is
        """
        self._words: memoryview[int] | None = None
        self._others: list[memoryview[int]] = []
        if region is not None:
            slots = [region[at : at + REGION_WORDS] for at in range(0, len(region), REGION_WORDS)]
            self._words = slots.pop(own)
            self._words[_RUNNING] = 0
            self._others = slots
        #: calls of this worker
        self.running = 0
        self._windows: dict[str, SlidingWindow] = {}
        self.change(limits)

    def change(self, limits: RateLimits) -> None:
        """Other limits from now on; what was counted stays, and a limit that was not there before begins at 0."""
        self.limits = limits
        kept = self._windows
        self._windows = {}
        for order, (name, seconds) in enumerate(WINDOWS):
            limit = getattr(limits, name)
            if limit is None:
                continue
            if name in kept:
                self._windows[name] = kept[name]
                kept[name].limit = limit
                continue
            begin = order * WORDS
            own, *others = (
                None if words is None else words[begin : begin + WORDS] for words in (self._words, *self._others)
            )
            self._windows[name] = SlidingWindow(seconds, limit, own, [words for words in others if words is not None])
        self._minute, self._hour, self._bytes, self._tokens = (self._windows.get(name) for name, _ in WINDOWS)

    def ask(self, now: float, size: int, tokens: int) -> int | RateRefusal:
        """Count a call, if all limits have room for it.

        :param now: seconds of the clock all workers share
        :param size: bytes of its body
        :param tokens: estimated
        :return: a stamp for `settle`, or the first limit without room
        """
        refusal = self.check(now, size, tokens)
        return self.take(size, tokens) if refusal is None else refusal

    def check(self, now: float, size: int, tokens: int) -> RateRefusal | None:
        """The first limit without room for such a call; counts nothing."""
        second = floor(now)  # the index of a minute's bucket
        window = self._minute
        if window is not None and (window.spare < 1 or window.newest != second) and not window.fits(1, now):
            return self._refusal(0, 1, now)
        window = self._hour
        if window is not None and (window.spare < 1 or window.newest != second // 60) and not window.fits(1, now):
            return self._refusal(1, 1, now)
        window = self._bytes
        if window is not None and (window.spare < size or window.newest != second) and not window.fits(size, now):
            return self._refusal(2, size, now)
        window = self._tokens
        if window is not None and (window.spare < tokens or window.newest != second) and not window.fits(tokens, now):
            return self._refusal(3, tokens, now)
        limit = self.limits.concurrent_requests
        if limit is not None:
            running = self.running
            for words in self._others:
                running += words[_RUNNING]
            if running >= limit:
                return RateRefusal(CONCURRENT, 0, limit, 0, CONCURRENT_WAIT, CONCURRENT_WAIT, limit > 0)
        return None

    def take(self, size: int, tokens: int) -> int:
        """Count a call at the moment of the last `check`, whether it fits or not; a stamp for `settle`."""
        if self._minute is not None:
            self._minute.take(1)
        if self._hour is not None:
            self._hour.take(1)
        if self._bytes is not None:
            self._bytes.take(size)
        self.running += 1
        if self._words is not None:
            self._words[_RUNNING] = self.running
        return self._tokens.take(tokens) if self._tokens is not None else 0

    def settle(self, stamp: int, delta: int) -> None:
        """A call that was counted is over; to be said once of each.

        :param stamp: as `ask` answered
        :param delta: tokens used less tokens estimated; counted only while the minute of its admission does
        """
        self.running -= 1
        if self._words is not None:
            self._words[_RUNNING] = self.running
        if delta and self._tokens is not None:
            self._tokens.correct(stamp, delta)

    def all_running(self) -> int:
        """Calls that run, of all workers."""
        return self.running + sum(words[_RUNNING] for words in self._others)

    def remaining(self, now: float) -> dict[str, int]:
        """What is left of each limit."""
        left = {name: window.room(now) for name, window in self._windows.items()}
        if self.limits.concurrent_requests is not None:
            left[CONCURRENT] = max(0, self.limits.concurrent_requests - self.all_running())
        return left

    def _refusal(self, order: int, amount: int, now: float) -> RateRefusal:
        name, seconds = WINDOWS[order]
        window = self._windows[name]
        wait = window.retry_after(amount, now)
        return RateRefusal(
            name,
            seconds,
            window.limit,
            window.room(now),
            window.reset(now),
            float(seconds) if wait is None else wait,
            wait is not None,
        )


def forget_calls(region: memoryview[int], worker: int) -> None:
    """Worker number ``worker`` is dead: none of its calls runs any more; what it had admitted still counts."""
    region[worker * REGION_WORDS + _RUNNING] = 0

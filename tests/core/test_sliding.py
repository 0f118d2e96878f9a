"""Sliding windows: laws against a plain list of what was taken when."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.sliding import BUCKETS, OVER, WORDS, SlidingWindow

#: seconds that pass, and how much is then asked for
steps = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 150)), st.integers(0, 40)), min_size=1, max_size=60
)
begins = st.floats(0, 10**7)
lengths = st.sampled_from([60, 3600])


def ask(window: SlidingWindow, amount: int, now: float) -> bool:
    """Take it if it fits."""
    if window.fits(amount, now):
        window.take(amount)
        return True
    return False


def shared(workers: int, limit: int, seconds: float = 60) -> list[SlidingWindow]:
    """The windows of some workers."""
    words = [memoryview(bytearray(8 * WORDS)).cast("q") for _ in range(workers)]
    return [
        SlidingWindow(seconds, limit, words[own], words[:own] + words[own + 1 :]) for own in range(workers)
    ]


@given(lengths, begins, steps, st.integers(0, 100))
def test_strict_by_at_most_a_bucket(seconds: int, now: float, asked: list[tuple[float, int]], limit: int) -> None:
    """Never more than the limit in the time of the window; and whoever fits a window longer by a bucket gets in."""
    window = SlidingWindow(seconds, limit)
    taken: list[tuple[float, int]] = []
    for passed, amount in asked:
        now += passed * seconds / 60
        exact = sum(held for at, held in taken if now - at < seconds)
        longest = sum(held for at, held in taken if now - at <= seconds + window.bucket)
        assert exact <= window.used(now) <= longest
        fits = ask(window, amount, now)
        if fits:
            assert exact + amount <= limit
            taken.append((now, amount))
        else:
            assert longest + amount > limit


@given(lengths, begins, steps, st.integers(1, 100), st.integers(1, 100))
def test_who_waits_gets_in(
    seconds: int, now: float, asked: list[tuple[float, int]], limit: int, wanted: int
) -> None:
    """After `retry_after` it fits, and not a bucket before; after `reset` all of it is free."""
    window = SlidingWindow(seconds, limit)
    for passed, amount in asked:
        now += passed
        ask(window, amount, now)
    wait = window.retry_after(wanted, now)
    if wanted > limit:
        assert wait is None
        return
    assert wait is not None
    assert (wait == 0) == window.fits(wanted, now)
    if wait:
        assert not window.fits(wanted, now + max(0.0, wait - window.bucket * 1.001))
    assert window.room(now + window.reset(now) + 1e-3) == limit
    again = SlidingWindow(seconds, limit)
    again.fits(0, now)
    again.take(limit)
    assert again.retry_after(1, now) == pytest.approx(again.reset(now))
    assert again.fits(limit, now + again.reset(now) + 1e-3)


@pytest.mark.parametrize("at", [0.0, 0.25, 0.999])
def test_the_last_bucket_counts_to_its_end(at: float) -> None:
    """60 whole buckets after its own, for the one that took, who looks on, who takes over, and who waits."""
    for looks_between in (False, True):
        one, other = shared(2, 10)
        assert ask(one, 10, at)
        assert one.retry_after(1, 0.999) == pytest.approx(61 - 0.999)
        assert other.retry_after(1, 0.999) == pytest.approx(61 - 0.999)
        if looks_between:
            assert (one.used(30), other.used(30)) == (10, 10)
        assert (other.used(60.999), one.used(60.999), other.used(60.999)) == (10, 10, 10)
        assert (other.used(61), one.used(61), other.used(61)) == (0, 0, 0)


@given(begins, st.lists(st.tuples(st.floats(-500, 500), st.integers(0, 40)), max_size=60), st.integers(0, 100))
def test_a_clock_that_steps_forgets_nothing_and_holds_nothing_for_long(
    now: float, asked: list[tuple[float, int]], limit: int
) -> None:
    """Whatever the clock does: never over the limit, and a window, one more and a bucket later all is free."""
    now += 10_000
    window = SlidingWindow(60, limit)
    for passed, amount in asked:
        now += passed
        before = window.used(now)
        if ask(window, amount, now):
            assert before + amount <= limit
            assert window.used(now) == before + amount
        assert 0 <= window.used(now) <= limit
    assert window.used(now + 2 * 60 + window.bucket + 1e-3) == 0


def test_a_clock_set_back_keeps_what_was_taken() -> None:
    """By less than a window and by more, alone and with others who look on."""
    for back in (0.5, 30, 59, 61, 100_000):
        one, other = shared(2, 10)
        assert ask(one, 10, 200_000)
        assert one.room(200_000 - back) == 0
        assert other.room(200_000 - back) == 0
        assert not one.fits(1, 200_000 - back + 59)
        assert one.fits(10, 200_000 - back + 2 * 60 + 1)


@given(begins, steps, st.lists(st.integers(-60, 60), max_size=20))
def test_corrections(now: float, asked: list[tuple[float, int]], deltas: list[int]) -> None:
    """They go into their own bucket, as far as it counts, and no bucket holds less than nothing."""
    window = SlidingWindow(60, 10**6)
    taken: list[list[int]] = []
    for passed, amount in asked:
        now += passed
        window.fits(amount, now)
        taken.append([window.take(amount), amount])
    newest = max(index for index, _ in taken)
    buckets: dict[int, int] = {}
    for index, amount in taken:
        buckets[index] = buckets.get(index, 0) + amount
    for (index, _), delta in zip(taken, deltas, strict=False):
        window.correct(index, delta)
        buckets[index] = max(0, buckets[index] + delta)
    assert window.used(now) == sum(held for index, held in buckets.items() if newest - index <= BUCKETS)


def test_a_correction_may_go_over_the_limit() -> None:
    """What was really used counts; room is then nothing, not less."""
    window = SlidingWindow(60, 100)
    assert window.fits(100, 5)
    stamp = window.take(100)
    window.correct(stamp, 50)
    assert window.used(5) == 150
    assert window.room(5) == 0
    assert window.retry_after(1, 5) == pytest.approx(61.0)
    window.correct(stamp, -150)
    assert window.room(5) == 100


@given(
    st.integers(2, 5),
    st.integers(0, 2000),
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 2), st.integers(1, 30)), max_size=150),
)
def test_workers_together_keep_the_limit(
    workers: int, limit: int, asked: list[tuple[int, float, int]]
) -> None:
    """In any window at most a 64th over the limit; who is refused would have been over a window and a bucket."""
    windows = shared(workers, limit)
    taken: list[tuple[float, int]] = []
    now = 1000.0
    for worker, passed, amount in asked:
        now += passed
        exact = sum(held for at, held in taken if now - at < 60)
        longest = sum(held for at, held in taken if now - at <= 61)
        if ask(windows[worker % workers], amount, now):
            taken.append((now, amount))
            assert exact + amount <= limit * (1 + 1 / OVER)
        else:
            assert longest + amount > limit


@pytest.mark.parametrize("limit", [10, 600, 100_000, 10**6])
@pytest.mark.parametrize("workers", [2, 4])
def test_workers_within_two_percent(workers: int, limit: int) -> None:
    """A burst, spread at random or all at one worker after the other: at most 2 % over, and all of it used."""
    for order in ("random", "in turn"):
        chance = random.Random(7)
        windows = shared(workers, limit)
        size = max(1, limit // 5000)
        got = 0
        for number in range(3 * limit // size):
            worker = chance.randrange(workers) if order == "random" else number * workers * size // (3 * limit)
            now = 5000 + number * 1e-4
            if ask(windows[worker], size, now):
                got += size
        assert limit - size < got <= limit * 1.02


@given(begins, steps, st.floats(0, 200))
def test_a_successor_takes_over(now: float, asked: list[tuple[float, int]], pause: float) -> None:
    """A worker that starts on a dead one's words counts what that had counted, and others saw it so."""
    words = [memoryview(bytearray(8 * WORDS)).cast("q") for _ in range(2)]
    first = SlidingWindow(60, 10**6, words[0], words[1:])
    for passed, amount in asked:
        now += passed
        first.fits(amount, now)
        first.take(amount)
    now += pause
    onlooker = SlidingWindow(60, 10**6, words[1], words[:1])
    assert onlooker.used(now) == SlidingWindow(60, 10**6, words[0], words[1:]).used(now) == first.used(now)


def test_words_of_another_start_of_the_machine() -> None:
    """The clock counts from the machine's start: what a file says of the time before counts for a window at most."""
    words = [memoryview(bytearray(8 * WORDS)).cast("q") for _ in range(2)]
    before = SlidingWindow(60, 10, words[0], words[1:])
    assert ask(before, 10, 10**7)
    one = SlidingWindow(60, 10, words[1], words[:1])
    assert one.room(5.0) == 10
    assert SlidingWindow(60, 10, words[0], words[1:]).room(5.0) == 0
    assert SlidingWindow(60, 10, words[0], words[1:]).room(5.0 + 62) == 10


def test_a_changed_limit_counts_at_once() -> None:
    """Also for shares: others are read anew."""
    one, other = shared(2, 10**6)
    assert ask(other, 500_000, 10)
    assert ask(one, 1, 10)
    one.limit = 500_001
    assert one.limit == 500_001
    assert not one.fits(1, 10)

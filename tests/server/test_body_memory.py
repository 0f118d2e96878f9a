"""The bound of all request bodies: conserved, kept, first come first served."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.server.body_memory import BodyMemory

LIMIT = 100


class Told(list[str]):
    """Who was told that their bytes are there."""

    def wants(self, who: str) -> Callable[[], bool]:
        """What is called then: still wanted."""

        def granted() -> bool:
            self.append(who)
            return True

        return granted


def test_at_once_while_there_is_room() -> None:
    """Nobody waits for what is free."""
    memory = BodyMemory(LIMIT)
    assert memory.ask(60, lambda: True)
    assert memory.ask(40, lambda: True)
    assert (memory.lent, memory.waiting) == (100, 0)


def test_in_order_of_arrival() -> None:
    """A small body does not overtake a large one: that one would starve."""
    memory = BodyMemory(LIMIT)
    told = Told()
    memory.ask(80, lambda: True)
    assert not memory.ask(50, told.wants("large"))
    assert not memory.ask(10, told.wants("small"))
    memory.give(10)
    assert not told
    memory.give(70)
    assert told == ["large", "small"]
    assert memory.lent == 60


def test_who_has_left_takes_nothing() -> None:
    """Answering that the bytes are not wanted any more gives them to the next."""
    memory = BodyMemory(LIMIT)
    told = Told()
    memory.ask(100, lambda: True)
    memory.ask(100, lambda: False)
    memory.ask(100, told.wants("next"))
    memory.give(100)
    assert (told, memory.lent) == (["next"], 100)


def test_a_body_over_the_bound_goes_alone() -> None:
    """Else it would wait for ever."""
    memory = BodyMemory(LIMIT)
    told = Told()
    memory.ask(1, lambda: True)
    assert not memory.ask(150, told.wants("huge"))
    assert not memory.ask(1, told.wants("next"))
    memory.give(1)
    assert told == ["huge"]
    memory.give(150)
    assert told == ["huge", "next"]


@given(st.lists(st.tuples(st.integers(1, 150), st.booleans(), st.integers(0, 9)), max_size=60))
def test_what_is_lent_comes_back(steps: list[tuple[int, bool, int]]) -> None:
    """After each step the bound holds, but for a single body over it, and in the end nothing is lent or waits.

    Each step asks for some bytes (which are wanted or not by the time they come) and gives back up to nine holdings.
    """
    memory = BodyMemory(LIMIT)
    held: list[int] = []

    def granted(count: int, wanted: bool) -> bool:
        if wanted:
            held.append(count)
        return wanted

    for count, wanted, returned in steps:
        if memory.ask(count, partial(granted, count, wanted)):
            held.append(count)
        for _ in range(min(returned, len(held))):
            memory.give(held.pop(0))
        assert memory.lent == sum(held)
        assert memory.lent <= LIMIT or len(held) == 1
        assert memory.lent or not memory.waiting
    while held:
        memory.give(held.pop(0))
    assert (memory.lent, memory.waiting) == (0, 0)

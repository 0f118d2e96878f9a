"""Holdings: a window's tokens are never made nor lost, at any step and at any death between two writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from awfproxy.core.holdings import SHARES, WORDS, Figures, Holding, piece, read

CAP = 10_000
amounts = st.integers(0, CAP // 4)
holders = st.integers(0, 2)


class Journalled:
    """Words that keep every state they were in: what a death between two writes would leave."""

    def __init__(self) -> None:
        self.words = memoryview(bytearray(8 * WORDS)).cast("q")
        self.states: list[Figures | None] = []

    def __setitem__(self, at: int, value: int) -> None:
        self.words[at] = value
        self.states.append(read(self.words))


class Window(RuleBasedStateMachine):
    """Three processes and a ledger with one number, ``committed``; strict: no call uses more than its reservation."""

    strict = True
    calls: Bundle[tuple[int, int, int]] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.words = [Journalled() for _ in range(3)]
        self.holdings: list[Holding] = [Holding(each, 3, 86_400) for each in self.words]  # type: ignore[arg-type]
        self.committed = 0
        self.used = 0
        self.over = 0
        self.running = 0

    @rule(holder=holders, ask=amounts)
    def borrow(self, holder: int, ask: int) -> None:
        """With the debt, which is taken whether it fits or not."""
        holding = self.holdings[holder]
        debt = holding.debt
        self.committed += debt
        lent = piece(CAP - self.committed, ask, 3) if self.committed < CAP else 0
        assert lent == 0 or lent >= ask
        self.committed += lent
        holding.agree(holding.granted + debt + lent, 99)
        assert holding.free == lent if debt else holding.free >= lent

    @rule(target=calls, holder=holders, amount=amounts)
    def admit(self, holder: int, amount: int) -> Any:
        """Only what is free."""
        holding = self.holdings[holder]
        free = holding.free
        let_in = holding.reserve(amount)
        assert let_in == (amount <= free)
        if not let_in:
            return multiple()
        self.running += 1
        return (holder, amount, 0)

    @rule(call=consumes(calls), share=st.floats(0, 1), beyond=st.integers(0, 500))
    def end(self, call: tuple[int, int, int], share: float, beyond: int) -> None:
        """It used a part of its reservation, or, learned, more."""
        holder, reserved, _ = call
        used = int(reserved * share) + (0 if self.strict else beyond)
        self.holdings[holder].settle(reserved, used)
        self.used += used
        self.over += max(0, used - reserved)
        self.running -= 1

    @rule(holder=holders, used=st.integers(0, 500))
    def charge(self, holder: int, used: int) -> None:
        """A call that was let in without cover; learned only."""
        if not self.strict:
            self.holdings[holder].charge(used)
            self.used += used
            self.over += used

    @rule(holder=holders, keep=amounts)
    def give_back(self, holder: int, keep: int) -> None:
        """What is free and not kept."""
        holding = self.holdings[holder]
        free = holding.free
        amount = holding.give_back(keep)
        assert amount == max(0, free - keep)
        self.committed -= amount

    @rule(holder=holders)
    def read_from_outside(self, holder: int) -> None:
        """Another process sees what the holder knows."""
        holding = self.holdings[holder]
        figures = read(self.words[holder].words)
        assert figures is not None
        assert (figures.granted, figures.spent, figures.reserved) == (holding.granted, holding.spent, holding.reserved)
        assert (figures.scope, figures.window, figures.calls) == (3, 86_400, holding.calls)
        assert figures.debt == holding.debt
        assert figures.back == max(0, holding.free)

    @invariant()
    def conserved(self) -> None:
        """What the ledger gave is granted to somebody; what was used is spent by somebody; nothing is negative."""
        held = self.holdings
        assert sum(each.granted for each in held) == self.committed
        assert sum(each.spent for each in held) == self.used
        assert sum(each.calls for each in held) == self.running
        assert min(min(each.granted, each.spent, each.reserved, each.calls) for each in held) >= 0

    @invariant()
    def bounded(self) -> None:
        """Strict: never over the cap.  Learned: over it by no more than calls used beyond their reservations."""
        if self.strict:
            assert all(each.free >= 0 and each.debt == 0 for each in self.holdings)
            assert self.used <= self.committed <= CAP
        else:
            assert self.used <= CAP + self.over

    @invariant()
    def deaths(self) -> None:
        """Killed between any two writes: what would come back and what counts as used is never more than granted, and
        what was used always counts."""
        for words, holding in zip(self.words, self.holdings, strict=True):
            for state in words.states:
                if state is None:
                    continue
                assert state.back + state.spent + state.lost <= state.granted + state.debt
                if self.strict:
                    assert state.back <= state.granted - state.spent
            words.states.clear()
            assert read(words.words) is not None
            assert holding.calls or not holding.reserved


class LearnedWindow(Window):
    """The same with calls that use more than was reserved."""

    strict = False


TestStrict = Window.TestCase
TestLearned = LearnedWindow.TestCase


def test_what_was_spent_counts_at_every_moment_of_a_settlement() -> None:
    """A kill between two writes of `settle` must not show less than was used."""
    words = Journalled()
    holding = Holding(words, 1, 2)  # type: ignore[arg-type]
    holding.agree(100, 9)
    assert holding.reserve(60)
    words.states.clear()
    holding.settle(60, 55)
    assert words.states
    assert all(state is not None and state.spent + state.lost >= 55 and state.back <= 45 for state in words.states)


def test_the_ledgers_word_is_taken_over() -> None:
    """More and less than was thought, for this process and for those who read from outside."""
    words = memoryview(bytearray(8 * WORDS)).cast("q")
    holding = Holding(words, 1, 2)
    holding.agree(100, 9)
    assert holding.reserve(60)
    holding.settle(60, 55)
    holding.agree(55, 12)
    assert (holding.free, holding.debt) == (0, 0)
    assert read(words) == Figures(1, 2, 55, 55, 0, 12, 0)
    holding.charge(5)
    assert (holding.free, holding.debt) == (-5, 5)
    with pytest.raises(ValueError, match="charging"):
        holding.charge(-1)


def test_a_place_is_not_in_use_before_it_is_whole() -> None:
    """A kill while a holding begins in an old one's place leaves nothing of the old one."""
    words = Journalled()
    old = Holding(words, 1, 2)  # type: ignore[arg-type]
    old.agree(100, 9)
    words.states.clear()
    Holding(words, 5, 6)  # type: ignore[arg-type]
    assert words.states.pop() == Figures(5, 6, 0, 0, 0, 0, 0)
    assert set(words.states) == {None}


def test_wrong_settlements_are_defects() -> None:
    """Twice, too much, negative: these are bugs, and raise before a figure moves."""
    holding = Holding(memoryview(bytearray(8 * WORDS)).cast("q"), 1, 2)
    holding.agree(100, 9)
    assert holding.reserve(50)
    for reserved, used in ((51, 0), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="settling"):
            holding.settle(reserved, used)
    with pytest.raises(ValueError, match="closing"):
        holding.close()
    holding.settle(50, 10)
    with pytest.raises(ValueError, match="settling"):
        holding.settle(0, 0)
    assert (holding.granted, holding.spent, holding.reserved, holding.expires) == (100, 10, 0, 9)
    holding.close()


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=WORDS, max_size=WORDS))
def test_a_damaged_file_gives_nothing_away(values: list[int]) -> None:
    """Any eight numbers: nothing raises, and never more comes back than was granted."""
    words = memoryview(bytearray(8 * WORDS)).cast("q")
    for at, value in enumerate(values):
        words[at] = value
    figures = read(words)
    if figures is None:
        assert values[0] == 0
        return
    assert 0 <= figures.back <= figures.granted
    assert min(figures.granted, figures.spent, figures.reserved, figures.calls, figures.lost, figures.debt) >= 0
    if min(values[3:6]) < 0:
        assert figures.back == 0


@given(st.integers(-100, 10**9), st.integers(1, 10**6), st.integers(0, 100))
def test_pieces(remaining: int, ask: int, holders: int) -> None:
    """What is asked for, or nothing; never more than remains; with plenty left, a part that leaves each some."""
    lent = piece(remaining, ask, holders)
    assert lent == 0 if ask > remaining else ask <= lent <= remaining
    assert lent in (0, ask, remaining // (SHARES * max(1, holders)))

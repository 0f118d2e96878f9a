"""Whose turn it is among calls that wait for a budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from awfproxy.core.budgets import Budget, Scope
from awfproxy.server.allowance import Allowance, Answer, Reservation
from awfproxy.server.allowance_memory import MemoryAllowance, MemoryAllowances
from awfproxy.server.waiting_line import ASKING_MAX, Waiter, WaitingLine


class Call:
    """A call that waits, or was let in."""

    def __init__(self, user: str | None, amount: int = 10) -> None:
        self.user = user
        self.tokens = amount
        self.reservation: Reservation | None = None

    def amount(self, allowance: Allowance) -> int:
        return self.tokens


class Scene:
    """A budget, its line, and who was let in."""

    def __init__(self, cap: int = 100) -> None:
        self.clock = Clock()
        scope = Scope("main")
        everything = MemoryAllowances({scope: Budget(enabled=True, hard_cap_tokens=cap)}, self.clock)
        self.allowance: MemoryAllowance = everything.all[scope]
        self.line = WaitingLine(self.allowance, self._answered)
        self.let_in: list[Call] = []

    def _answered(self, line: WaitingLine, waiter: Waiter, answer: Answer) -> None:
        assert isinstance(waiter, Call)
        if answer.fits:
            self.take(waiter)
            line.leave(waiter)

    def take(self, call: Call) -> None:
        """It is let in."""
        call.reservation = self.allowance.reserve(call.tokens, 0.0)
        assert call.reservation is not None
        self.line.holds(call.user, call.tokens)
        self.let_in.append(call)

    def end(self, call: Call) -> None:
        """A call that was let in is over, and used nothing."""
        assert call.reservation is not None
        self.line.holds(call.user, -call.tokens)
        self.allowance.settle(call.reservation, 0)
        self.turn()

    def turn(self) -> None:
        """Turns of the reactor, until nothing moves."""
        while self.clock.getDelayedCalls():
            self.clock.advance(0)


def test_the_client_that_holds_least_goes_first() -> None:
    """However many calls the other has, and however long they have waited."""
    scene = Scene()
    running = [Call("greedy") for _ in range(10)]
    for call in running:
        scene.take(call)
    waiting = [Call("greedy") for _ in range(20)]
    for call in waiting:
        scene.line.join(call)
    modest = Call("modest")
    scene.line.join(modest)
    scene.turn()
    assert len(scene.let_in) == 10
    scene.end(running[0])
    assert scene.let_in[-1] is modest
    scene.end(running[1])
    assert scene.let_in[-1] is waiting[0], "its own go in the order in which they came"


def test_two_clients_end_up_with_half_each() -> None:
    """What one of them had, it gives up as its calls end."""
    scene = Scene()
    for _ in range(10):
        scene.take(Call("a"))
    for user in "ab":
        for _ in range(50):
            scene.line.join(Call(user))
    for call in list(scene.let_in[:10]):
        scene.end(call)
    assert scene.line.held == {"a": 50, "b": 50}


def test_who_must_wait() -> None:
    """A call that arrives goes before those of clients that hold more, and before its own client's."""
    scene = Scene()
    scene.line.holds("rich", 50)
    scene.line.holds("poor", 10)
    assert not scene.line.must_wait("rich")
    scene.line.join(Call("poor", 1000))
    assert scene.line.must_wait("rich")
    assert not scene.line.must_wait("poor")
    assert not scene.line.must_wait("new")
    scene.line.holds("poor", 40)
    assert scene.line.must_wait("rich"), "as much is enough"
    scene.line.holds("poor", 1)
    assert not scene.line.must_wait("rich")


def test_a_call_that_needs_less_is_not_held_up_by_its_own_client() -> None:
    """The large one has no right to keep the rest free."""
    scene = Scene()
    scene.take(Call(None, 60))
    large, small = Call(None, 50), Call(None, 40)
    scene.line.join(large)
    scene.line.join(small)
    scene.turn()
    assert scene.let_in[-1] is small


def test_only_a_few_ask_at_once() -> None:
    """A change of turn takes back what was asked, so it must not be much."""
    scene = Scene()
    for _ in range(10):
        scene.take(Call("a"))
    for _ in range(3 * ASKING_MAX):
        scene.line.join(Call("a"))
    assert len(scene.allowance._asked) == ASKING_MAX
    scene.line.join(Call("b"))
    assert len(scene.allowance._asked) == 1


def test_leaving_is_forgotten() -> None:
    """A call that ends or is refused leaves nothing behind."""
    scene = Scene()
    scene.take(Call("a", 100))
    call, other = Call("a"), Call("b")
    scene.line.join(call)
    scene.line.join(other)
    scene.line.leave(other)
    scene.line.leave(other)
    assert len(scene.line) == 1
    scene.line.leave(call)
    assert len(scene.line) == 0
    assert not scene.line.must_wait("b")
    assert not scene.allowance._asked


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40)), min_size=1, max_size=40), st.randoms())
def test_everybody_gets_in_and_nobody_over_the_cap(calls: list[tuple[str, int]], random: object) -> None:
    """Whatever comes in whatever order: while calls end, all that wait are let in, and never more than fits."""
    scene = Scene(cap=60)
    waiting = [Call(user, amount) for user, amount in calls]
    for call in waiting:
        scene.line.join(call)
    scene.turn()
    running = 0
    while running < len(scene.let_in):
        held = scene.let_in[running:]
        assert sum(call.tokens for call in held) <= 60
        scene.end(scene.let_in[running])
        running += 1
    assert set(scene.let_in) == set(waiting)
    assert scene.line.held == {}

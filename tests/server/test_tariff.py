"""Rates that a process keeps: asked for once, renewed, bounded, and told of where there is no price."""

from __future__ import annotations

from twisted.internet.task import Clock

from awfproxy.prices.charges import Charges, Rate
from awfproxy.server.tariff import KEPT_SECONDS, RATES_MAX, TOLD_MAX, WAITING_MAX, Found, Tariff
from tests.conftest import LoggedFailures
from tests.prices.lists import FixedList


class Thread:
    """The ledger's thread: answers when the test says so."""

    def __init__(self, **prices: tuple[float, float]) -> None:
        self.charges = Charges(None, lambda: 0.0, FixedList(prices))
        self.asked: list[tuple[str, Found]] = []
        self.unreachable = False

    def look_up(self, provider: str, model: str, at: float, found: Found) -> None:
        rate = None if self.unreachable else self.charges.rate(provider, model, at)
        self.asked.append((model, lambda _: found(rate)))

    def answer(self) -> list[str]:
        """All that was asked; the models."""
        asked, self.asked = self.asked, []
        for _, found in asked:
            found(None)
        return [model for model, _ in asked]


def tariff(thread: Thread | None) -> tuple[Tariff, Clock]:
    clock = Clock()
    made = Tariff(clock, clock.seconds)
    if thread is not None:
        made.look_up = thread.look_up
    return made, clock


def test_a_rate_is_looked_up_once() -> None:
    """Whoever asks meanwhile is answered with the others; then it is known."""
    thread = Thread(m=(2.0, 8.0))
    made, _ = tariff(thread)
    answers: list[Rate | None] = []
    assert made.known("openai", "m") is None
    for _ in range(3):
        made.ask("openai", "m", answers.append)
    assert answers == []
    assert thread.answer() == ["m"]
    assert answers == [made.known("openai", "m")] * 3
    assert made.known("anthropic", "m") is None


def test_a_rate_is_renewed_and_serves_meanwhile() -> None:
    """Prices change at dates; nobody waits for that, and it is asked for once."""
    thread = Thread(m=(2.0, 8.0))
    made, clock = tariff(thread)
    made.ask("openai", "m", lambda rate: None)
    thread.answer()
    before = made.known("openai", "m")
    clock.advance(KEPT_SECONDS)
    assert made.known("openai", "m") is made.known("openai", "m") is before
    assert thread.answer() == ["m"]
    assert made.known("openai", "m") is not before
    renewed = made.known("openai", "m")
    clock.advance(KEPT_SECONDS)
    thread.unreachable = True
    assert made.known("openai", "m") is renewed
    assert thread.answer() == ["m"]
    assert made.known("openai", "m") is renewed


def test_where_nothing_can_be_found_the_answer_is_none() -> None:
    """Without a ledger in a later turn, with one that cannot be reached too; it is asked for again."""
    made, clock = tariff(None)
    answers: list[Rate | None] = []
    made.ask("openai", "m", answers.append)
    assert answers == []
    clock.advance(0)
    assert answers == [None]
    thread = Thread(m=(2.0, 8.0))
    thread.unreachable = True
    made.look_up = thread.look_up
    made.ask("openai", "m", answers.append)
    thread.answer()
    assert answers == [None, None]
    thread.unreachable = False
    made.ask("openai", "m", answers.append)
    thread.answer()
    assert answers[2] is not None


def test_models_are_bounded_and_so_are_those_who_wait() -> None:
    """The oldest rate makes way, and who comes when too many wait is answered without one."""
    thread = Thread(dear=(2.0, 8.0))
    made, clock = tariff(thread)
    for number in range(RATES_MAX + 10):
        made.ask("openai", f"model-{number}", lambda rate: None)
    thread.answer()
    assert made.known("openai", "model-9") is None
    assert made.known("openai", "model-10") is not None
    answers: list[Rate | None] = []
    for number in range(WAITING_MAX + 1):
        made.ask("openai", f"new-{number}", answers.append)
    clock.advance(0)
    assert answers == [None]
    thread.answer()
    assert len(answers) == WAITING_MAX + 1
    made.ask("openai", "one more", answers.append)
    assert thread.answer() == ["one more"]


def test_a_model_without_a_price_is_told_once() -> None:
    """And no more models than a log is for; one with a price never."""
    thread = Thread(dear=(2.0, 8.0))
    made, clock = tariff(thread)
    for _ in range(2):
        for number in range(TOLD_MAX + 5):
            made.ask("openai", f"model-{number}", lambda rate: None)
        thread.answer()
        clock.advance(KEPT_SECONDS)
    assert len(made._told) == TOLD_MAX
    made.ask("openai", "dear", lambda rate: None)
    thread.answer()
    assert ("openai", "dear") not in made._told


def test_one_that_breaks_does_not_keep_the_answer_from_others(logged_failures: LoggedFailures) -> None:
    """And is loud."""
    thread = Thread(m=(2.0, 8.0))
    made, _ = tariff(thread)
    answers: list[Rate | None] = []

    def broken(rate: Rate | None) -> None:
        raise RuntimeError("broken")

    made.ask("openai", "m", broken)
    made.ask("openai", "m", answers.append)
    thread.answer()
    assert answers == [made.known("openai", "m")]
    assert logged_failures.flush(RuntimeError)

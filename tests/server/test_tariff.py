"""Rates that a process keeps: asked for once, renewed, bounded, and told of where there is no price."""

from __future__ import annotations

from twisted.internet.task import Clock

from awfproxy.prices.charges import Charges, Rate
from awfproxy.server.tariff import (
    AT_ONCE,
    CHARGED_SECONDS,
    KEPT_SECONDS,
    NAMES_MAX,
    RATES_MAX,
    RETRY_SECONDS,
    TOLD_MAX,
    WAITING_MAX,
    Found,
    Tariff,
)
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
        """All that was asked, and is asked when that is answered; the models."""
        models = []
        while self.asked:
            model, found = self.asked.pop(0)
            models.append(model)
            found(None)
        return models


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


def test_the_table_is_bounded() -> None:
    """The rate that nobody has asked for longest makes way."""
    thread = Thread(dear=(2.0, 8.0))
    made, _ = tariff(thread)
    for number in range(RATES_MAX + 10):
        made.ask("openai", f"model-{number}", lambda rate: None)
        thread.answer()
        made.known("openai", "model-0")
    assert made.known("openai", "model-0") is not None
    assert made.known("openai", "model-10") is None
    assert made.known("openai", "model-11") is not None


def test_names_that_nobody_was_charged_for_push_out_none_that_somebody_was() -> None:
    """A client makes up names while nobody uses the model; an hour later it makes way too."""
    thread = Thread(m=(2.0, 8.0))
    made, clock = tariff(thread)

    def make_names_up() -> None:
        for number in range(RATES_MAX + 1):
            made.ask("openai", f"made-up-{clock.seconds()}-{number}", lambda rate: None)
            thread.answer()

    made.charge("openai", "m", "m", lambda rate: None)
    thread.answer()
    clock.advance(CHARGED_SECONDS)
    made.charge("openai", "m", "m", lambda rate: None)
    thread.answer()
    for _ in range(2):
        clock.advance(CHARGED_SECONDS / 3)
        make_names_up()
    assert "m" in {model for _, model in made._known}
    clock.advance(CHARGED_SECONDS)
    make_names_up()
    assert "m" not in {model for _, model in made._known}


def test_a_table_of_rates_in_use_is_bounded_too() -> None:
    """Then the one makes way that was not asked for longest."""
    thread = Thread(dear=(2.0, 8.0))
    made, _ = tariff(thread)
    for number in range(RATES_MAX + 1):
        made.charge("openai", f"m-{number}", "m", lambda rate: None)
        thread.answer()
    assert len(made._known) == RATES_MAX
    assert made.known("openai", "m-0") is None
    assert made.known("openai", "m-1") is not None


def test_those_who_wait_are_bounded() -> None:
    """Who comes when too many wait is answered without a rate; there is room again when they are answered."""
    thread = Thread(dear=(2.0, 8.0))
    made, clock = tariff(thread)
    answers: list[Rate | None] = []
    for number in range(WAITING_MAX + 1):
        made.ask("openai", f"new-{number % 8}", answers.append)
    clock.advance(0)
    assert answers == [None]
    thread.answer()
    assert len(answers) == WAITING_MAX + 1
    made.ask("openai", "one more", answers.append)
    assert thread.answer() == ["one more"]


def test_the_thread_is_given_a_few_at_once_and_askers_take_turns() -> None:
    """Names that one client makes up hold up its own, and beyond some of them it is told that there is no price."""
    thread = Thread(dear=(2.0, 8.0))
    made, clock = tariff(thread)
    answers: list[Rate | None] = []
    for number in range(AT_ONCE + NAMES_MAX + 3):
        made.ask("openai", f"made-up-{number}", answers.append, "one")
    assert len(thread.asked) == AT_ONCE
    clock.advance(0)
    assert answers == [None] * 3
    made.ask("openai", f"made-up-{AT_ONCE + NAMES_MAX}", answers.append, "another")
    made.ask("openai", f"made-up-{AT_ONCE + NAMES_MAX - 1}", answers.append, "another")
    asked = thread.answer()
    assert f"made-up-{AT_ONCE + NAMES_MAX}" in asked[: AT_ONCE + 2]
    assert f"made-up-{AT_ONCE + NAMES_MAX - 1}" in asked[: AT_ONCE + 4]
    assert len(asked) == len(set(asked)) == AT_ONCE + NAMES_MAX + 1
    assert None not in answers[3:]


def test_what_nobody_waits_for_any_more_is_not_looked_up() -> None:
    """Calls that were cancelled, or have waited long enough; one that still waits is answered."""
    thread = Thread(dear=(2.0, 8.0))
    made, clock = tariff(thread)
    answers: list[Rate | None] = []
    cancels = [made.ask("openai", f"m-{number}", answers.append) for number in range(AT_ONCE + 10)]
    made.ask("openai", f"m-{AT_ONCE + 9}", answers.append)
    for cancel in cancels:
        cancel()
        cancel()
    assert thread.answer() == [*(f"m-{number}" for number in range(AT_ONCE)), f"m-{AT_ONCE + 9}"]
    assert len(answers) == 1
    assert (made._waiting, made._asked, made._begun) == (0, {}, set())
    made.look_up = None
    made.ask("openai", "m", answers.append)()
    clock.advance(0)
    assert len(answers) == 1


def test_a_call_that_is_over_is_charged_when_the_rush_is() -> None:
    """The ledger was never lost, so that nobody says that it is back."""
    thread = Thread(m=(2.0, 8.0))
    made, clock = tariff(thread)
    for number in range(WAITING_MAX):
        made.ask("openai", f"made-up-{number % 8}", lambda rate: None)
    answers: list[Rate | None] = []
    made.charge("openai", "m-2", "m", answers.append)
    clock.advance(0)
    assert answers == []
    thread.answer()
    assert len(answers) == 1 and answers[0] is not None
    assert not clock.getDelayedCalls()


def test_a_call_that_is_over_is_charged_by_and_by() -> None:
    """Nothing could be found, and then nobody asks: it is tried again all the same, as often as it takes."""
    thread = Thread(m=(2.0, 8.0))
    made, clock = tariff(thread)
    thread.unreachable = True
    answers: list[Rate | None] = []
    made.charge("openai", "m", "m", answers.append)
    for _ in range(3):
        assert thread.answer() == ["m"]
        assert (answers, thread.asked) == ([], [])
        clock.advance(RETRY_SECONDS)
    thread.unreachable = False
    thread.asked.clear()
    made._found(("openai", "m"), None)
    clock.advance(RETRY_SECONDS)
    thread.answer()
    assert answers == [made.known("openai", "m")]
    assert not clock.getDelayedCalls()


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

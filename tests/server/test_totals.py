"""What workers counted, added up."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.server.tallies import MODELS_MAX, OTHER, BudgetFigures, PortTallies
from awfproxy.server.totals import Figures, JournalFigures, Totals
from tests.server.test_tallies import end


def figures(models: list[str], running: int = 0, **journal: float) -> Figures:
    """Of one worker with one port: a call for each model."""
    port = PortTallies("a", "openai")
    for model in models:
        end(port, model)
    port.in_flight = running
    return Figures({"a": port}, JournalFigures(**journal))  # type: ignore[arg-type]


def sent(figures: Figures) -> Figures:
    """As they come over the channel."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(figures), type=Figures)


def test_all_workers_are_one() -> None:
    """Counts, times and sizes are added; of moments the latest counts."""
    totals = Totals()
    totals.told(0, sent(figures(["m", "n"], 3, written=2, queue_bytes=10, last_write=5.0, oldest=1.0)))
    totals.told(1, sent(figures(["m"], 4, written=1, queue_bytes=20, last_write=7.0)))
    totals.add_up()
    port = totals.ports["a"]
    assert port.in_flight == 7
    assert port.models["m"].requests == {("complete", 200): 2}
    assert sum(port.models["m"].duration.counts) == 2
    assert port.models["m"].duration.sum == 2.0
    assert port.overhead.sum == 0.003
    journal = totals.journal
    assert (journal.written, journal.queue_bytes, journal.last_write) == (3, 30, 7.0)
    assert journal.oldest_waiting() == 1.0


def test_told_again_counts_once() -> None:
    """A worker tells everything each time."""
    totals = Totals()
    totals.told(0, figures(["m"]))
    totals.told(0, figures(["m", "m"]))
    totals.add_up()
    totals.add_up()
    assert totals.ports["a"].models["m"].requests == {("complete", 200): 2}


def test_the_dead_keep_what_they_counted_and_have_nothing_any_more() -> None:
    """Counters never go back; gauges are those of the living; the place of a dead one starts from nothing."""
    totals = Totals()
    totals.told(0, figures(["m"], 5, written=1, queue_records=9, places_taken=9, oldest=3.0))
    totals.gone(0)
    totals.gone(0)
    totals.told(0, figures(["m"], 1, written=1))
    totals.add_up()
    assert totals.ports["a"].models["m"].requests == {("complete", 200): 2}
    assert totals.ports["a"].in_flight == 1
    journal = totals.journal
    assert (journal.written, journal.queue_records, journal.places_taken, journal.oldest) == (2, 0, 0, None)


def test_models_stay_bounded_and_a_label_stays() -> None:
    """Two workers with different models share the labels of a port; one that was shown is shown ever after."""
    totals = Totals()
    totals.told(1, figures([f"b{number}" for number in range(MODELS_MAX)]))
    totals.add_up()
    totals.told(0, figures([f"a{number}" for number in range(MODELS_MAX)]))
    totals.add_up()
    models = totals.ports["a"].models
    assert set(models) == {f"b{number}" for number in range(MODELS_MAX)} | {OTHER}
    assert models[OTHER].requests == {("complete", 200): MODELS_MAX}


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["call", "die", "look"])), max_size=40))
def test_counters_never_go_back(steps: list[tuple[int, str]]) -> None:
    """Whoever counts, dies and starts again: each look shows at least what the one before did, and in the end all."""
    totals, counted, calls, shown = Totals(), [0] * 4, 0, 0
    for slot, step in steps:
        if step == "call":
            counted[slot] += 1
            calls += 1
            totals.told(slot, figures(["m"] * counted[slot], written=counted[slot]))
        elif step == "die":
            counted[slot] = 0
            totals.gone(slot)
        totals.add_up()
        assert totals.journal.written >= shown
        shown = totals.journal.written
    assert shown == calls


def test_budgets_are_not_added_up() -> None:
    """All workers tell of the same ones: whoever knows of the most is right; and a dead one tells of none."""

    def told(used: int | None, start: int = 10) -> Figures:
        port = PortTallies("main", "openai")
        port.budgets = {("port", ""): BudgetFigures(100, used, 0, 0, 50, start, start + 10)}
        port.budget_decision("port", "cap-reserved")
        return Figures({"main": port})

    totals = Totals()
    for slot, figures in enumerate((told(7), told(9), told(80, start=0))):
        totals.told(slot, figures)
    totals.add_up()
    assert totals.ports["main"].budgets["port", ""].used == 9
    assert totals.ports["main"].budget_decisions == {("port", "cap-reserved"): 3}
    totals.gone(1)
    totals.add_up()
    assert totals.ports["main"].budgets["port", ""].used == 7
    assert totals.ports["main"].budget_decisions == {("port", "cap-reserved"): 3}
    totals.told(3, told(None))
    totals.add_up()
    assert totals.ports["main"].budgets["port", ""].used == 7

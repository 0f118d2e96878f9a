"""What all workers counted together: the supervisor adds up what they send.

Rules: counters never go back, so what a worker that is gone had last told stays in the sum; what is there only as long
as the process is (calls in flight, connections, the queue of its journal) counts for the living alone.  A killed worker
could not tell what it counted after its last message: its records are in the files all the same.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from awfproxy.server.intake import Intake
from awfproxy.server.tallies import MODELS_MAX, OTHER, UNNAMED, BudgetFigures, Histogram, PortTallies

#: fields that tell of now, and end with their process
PRESENT: Final = frozenset(
    ("in_flight", "connections_busy", "connections_idle", "queue_records", "queue_bytes", "places_taken", "oldest")
)

#: the fields with how budgets stand: every process tells of the same ones
BUDGETS: Final = frozenset(("budgets", "budgets_usd"))

Counted = TypeVar("Counted", bound=msgspec.Struct)


class JournalFigures(msgspec.Struct, array_like=True):
    """What `/metrics` shows of journals: fields as `Intake` has them."""

    written: int = 0
    usage_written: int = 0
    dropped: int = 0
    errors: int = 0
    queue_records: int = 0
    queue_bytes: int = 0
    places_taken: int = 0
    #: seconds that the oldest record has waited; None: none waits
    oldest: float | None = None
    #: seconds since the epoch; None: nothing was written yet
    last_write: float | None = None

    def oldest_waiting(self) -> float | None:
        """As `Intake.oldest_waiting`."""
        return self.oldest


class Figures(msgspec.Struct, array_like=True):
    """Everything that one process counted."""

    ports: dict[str, PortTallies] = {}
    journal: JournalFigures = msgspec.field(default_factory=JournalFigures)


def journal_figures(journal: Intake) -> JournalFigures:
    """The figures of a journal, now."""
    return JournalFigures(
        journal.written, journal.usage_written, journal.dropped, journal.errors, journal.queue_records,
        journal.queue_bytes, journal.places_taken, journal.oldest_waiting(), journal.last_write,
    )  # fmt: skip


class Totals:
    """The sum over all workers; `ports` and `journal` are as of the last `add_up`."""

    def __init__(self) -> None:
        self.ports: dict[str, PortTallies] = {}
        self.journal = JournalFigures()
        self._living: dict[int, Figures] = {}
        self._gone = Figures()
        #: by port, the models that have a label: one that was shown once stays, whatever the others bring
        self._labels: dict[str, set[str]] = {}

    def told(self, slot: int, figures: Figures) -> None:
        """What the worker in this slot counts now; the newest counts."""
        self._living[slot] = figures

    def gone(self, slot: int) -> None:
        """That worker has ended: what it counted stays, what it had is no more."""
        last = self._living.pop(slot, None)
        if last is not None:
            _only_past(last.journal)
            for port in last.ports.values():
                _only_past(port)
            self._into(self._gone, last)

    def add_up(self) -> None:
        """Bring the sum up to date."""
        total = Figures()
        for figures in (self._gone, *self._living.values()):
            self._into(total, figures)
        self.ports = total.ports
        for name in JournalFigures.__struct_fields__:
            setattr(self.journal, name, getattr(total.journal, name))

    def _into(self, total: Figures, more: Figures) -> None:
        _add(total.journal, more.journal)
        for name, port in more.ports.items():
            into = total.ports.setdefault(name, PortTallies(port.name, port.provider))
            _add(into, port, but="models")
            labels = self._labels.setdefault(name, set())
            for model, counts in port.models.items():
                if model not in (OTHER, UNNAMED) and model not in labels:
                    if len(labels) < MODELS_MAX:
                        labels.add(model)
                    else:
                        model = OTHER
                _add(into.models.setdefault(model, type(counts)()), counts)


def _only_past(counted: msgspec.Struct) -> None:
    for field in msgspec.structs.fields(counted):
        if field.name in PRESENT:
            setattr(counted, field.name, field.default)
        elif field.name in BUDGETS:
            setattr(counted, field.name, {})


def _add(into: Counted, more: Counted, but: str = "") -> None:
    """Every field of one into the other's: numbers and counts by key are added, of moments the latest stays."""
    for name in into.__struct_fields__:
        if name != but:
            setattr(into, name, _sum(name, getattr(into, name), getattr(more, name)))


def _sum(name: str, one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if name in ("oldest", "last_write"):
        return max(one, other)
    if name in BUDGETS:
        return _latest(one, other)
    if isinstance(one, dict):
        return {key: one.get(key, 0) + other.get(key, 0) for key in one | other}
    if isinstance(one, Histogram):
        counts = [a + b for a, b in zip(one.counts, other.counts, strict=True)]
        return Histogram(one.bounds, counts, one.sum + other.sum)
    return one if isinstance(one, str) else one + other


def _latest(one: dict[tuple[str, str], BudgetFigures], other: dict[tuple[str, str], BudgetFigures]) -> Any:
    """Of each budget the figures of whoever knows of the newest window, and of the most that was used in it."""

    def known(figures: BudgetFigures) -> tuple[int, int]:
        return figures.window_start, -1 if figures.used is None else figures.used

    found = dict(one)
    for key, figures in other.items():
        if key not in found or known(found[key]) < known(figures):
            found[key] = figures
    return found

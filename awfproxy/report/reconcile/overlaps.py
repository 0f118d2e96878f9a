"""Exports that tell the same twice in different ways: by model and by key, as CSV and as JSON, by days and by hours.

Rules: rows that are the same, or of the same thing, are found by `exports`, because they name it alike.  Here are
those that do not: two files overlap where both have a row of one provider and one time that may be of the same calls,
which it may unless a column that both files tell says otherwise.  Files with the same columns and the same buckets do
not overlap: their rows are told apart.  A column that is empty in a whole file is not told there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from awfproxy.report.reconcile.names import Families
from awfproxy.report.reconcile.used import Used

#: columns whose cells are the same in a provider's CSV and in its JSON: ids, and in usage the model, by whichever name
_ALIKE: Final = frozenset(("api_key_id", "project_id", "workspace_id"))
#: the kind of a result: its file is not grouped by it
_KIND: Final = "object"
_MODEL: Final = {"model": "model", "model_version": "model"}

#: begin and end
Time = tuple[int, int]


class Side:
    """The rows of one file that tell tokens, or costs, of one provider; they must be of one form."""

    def __init__(self, path: str, provider: str, costs: bool, columns: Sequence[str]) -> None:
        self.path = path
        self.provider = provider
        self.costs = costs
        #: of its form: which values a row's grouping has
        self._columns = columns
        #: those of them in which any row has something
        self._told: set[str] = set()
        self._times: dict[tuple[str | None, ...], set[Time]] = defaultdict(set)
        self._begin: int | None = None
        self._end = 0

    def tells(self, used: Used) -> None:
        """A row that the file has, whether it counts or not."""
        self._told.update(name for name, value in zip(used.columns, used.grouping, strict=True) if value)

    def counts(self, used: Used) -> None:
        """A row that is added up."""
        self._times[used.grouping].add((used.begin, used.end))
        self._begin = used.begin if self._begin is None else min(self._begin, used.begin)
        self._end = max(self._end, used.end)

    def overlap(self, other: Side, families: Families) -> str | None:
        """In which way both tell the same: the end of a sentence.  None: they do not."""
        if (self.provider, self.costs) != (other.provider, other.costs):
            return None
        if self._begin is None or other._begin is None or self._begin >= other._end or other._begin >= self._end:
            return None
        alike = self._columns == other._columns
        names, theirs = self._names(), other._names()
        common = names & theirs
        if not alike:
            common &= _ALIKE if self.costs else _ALIKE | {"model"}
        same = alike and names == theirs
        if not _meet(self._by(common, families), other._by(common, families), differing=same):
            return None
        if not alike:
            return "one as CSV and one as JSON"
        if same:
            return "in buckets of different lengths"
        return f"this one by {_list(names)}, the other by {_list(theirs)}"

    def _names(self) -> frozenset[str]:
        return frozenset(_MODEL.get(name, name) for name in self._told)

    def _by(self, names: Iterable[str], families: Families) -> dict[tuple[str | None, ...], set[Time]]:
        """Times by what stands in these columns."""
        names = frozenset(names)
        places = sorted((_MODEL.get(name, name), place) for place, name in enumerate(self._columns)
                        if _MODEL.get(name, name) in names and name in self._told)  # fmt: skip
        found: dict[tuple[str | None, ...], set[Time]] = defaultdict(set)
        for grouping, times in self._times.items():
            cells = (families.of(grouping[place]) if name == "model" else grouping[place] for name, place in places)
            found[tuple(cells)] |= times
        return found


def _meet(
    first: dict[tuple[str | None, ...], set[Time]], second: dict[tuple[str | None, ...], set[Time]], *, differing: bool
) -> bool:
    """Whether any time of both overlaps under the same name.

    :param differing: only times that are not the same
    """
    for name, times in first.items():
        others = second.get(name, set())
        if differing:
            times, others = times - others, others - times
        if not times or not others:
            continue
        ordered = sorted(others)
        begins = [begin for begin, _ in ordered]
        latest = list(accumulate((end for _, end in ordered), max))
        for begin, end in times:
            before = bisect_left(begins, end)
            if before and latest[before - 1] > begin:
                return True
    return False


def _list(names: frozenset[str]) -> str:
    return ", ".join(sorted(names - {_KIND})) or "nothing"

"""One call a line, for people who watch.

Rules: a request and its usage are one line: usage is written first, and is kept until its request comes.  Where there
are no requests (AWF's file) each usage record is a line.  Every text of a record is made harmless, and cut.  What a
terminal has no room for is left out, the least needed first: a call is never two lines.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from awfproxy.report.escaping import terminal
from awfproxy.report.figures import UNKNOWN
from awfproxy.report.rows import Row, read_row
from awfproxy.report.summary import Request, read_request
from awfproxy.report.summary_forms import milliseconds

#: usage records that wait for their requests; they come within milliseconds
WAITING_MAX: Final = 4_096
#: characters of a name in a line
NAME_MAX: Final = 48
#: between two parts
_SPACE: Final = "  "
#: columns of the widest character
_CELLS_MAX: Final = 2


#: a part of a line, and how early it is left out where there is no room: the largest first, 0 never
_Part = tuple[str, int]


def _unlimited() -> int | None:
    return None


class Calls:
    """Turns lines of records into lines for people.

    :param width: tells how many columns there are; None: as many as it takes
    """

    def __init__(self, width: Callable[[], int | None] = _unlimited) -> None:
        self._waiting: OrderedDict[str, Row] = OrderedDict()
        self._width = width

    def usage(self, line: bytes) -> bool:
        """A line of token-usage.jsonl whose request will come; False: it is no record."""
        row = read_row(line)
        if isinstance(row, str):
            return False
        if row.request_id is not None:
            self._waiting[row.request_id] = row
            if len(self._waiting) > WAITING_MAX:
                self._waiting.popitem(last=False)
        return True

    def line(self, line: bytes) -> str | None:
        """What is shown for a line of any kind; None: it is no record."""
        request = read_request(line)
        if isinstance(request, Request):
            return _joined(_of_request(request, self._waiting.pop(request.request_id or "", None)), self._width())
        row = read_row(line)
        return None if isinstance(row, str) else _joined(_of_usage(row), self._width())


def _of_request(request: Request, row: Row | None) -> list[_Part]:
    status = "" if request.status is None else str(request.status)
    ended = [request.outcome, request.refusal_code or request.refusal or request.reason]
    how = " ".join(_name(part) for part in ended if part and part != "complete")
    return [
        (_time(request.timestamp), 0),
        (_name(request.port), 2),
        (status, 3),
        (how, 0),
        (_name(request.model), 1),
        (_tokens(row), 0),
        (milliseconds(request.duration_ms), 4),
        *_labels(request.user, request.run),
    ]


def _of_usage(row: Row) -> list[_Part]:
    outcome = "" if row.outcome in (None, "complete") else _name(row.outcome)
    parts = [(_time(row.timestamp), 0), (_name(row.port or row.provider), 2), (outcome, 0), (_name(row.model), 1)]
    return [*parts, (_tokens(row), 0), *_labels(row.user, row.run)]


def _tokens(row: Row | None) -> str:
    if row is None:
        return ""
    read, output = row.all_input_tokens, row.output_tokens
    cached = f" ({row.cache_read_tokens:,} cached)" if row.cache_read_tokens else ""
    source = "" if row.usage_source in (None, "reported") else f" {_name(row.usage_source)}"
    return f"{_count(read)}{cached} in, {_count(output)} out{source}"


def _count(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _labels(user: str | None, run: str | None) -> list[_Part]:
    labels = (("user", user, 5), ("run", run, 6))
    return [(f"{word} {_name(name)}", drop) for word, name, drop in labels if name]


def _time(text: str | None) -> str:
    """The time of day with milliseconds."""
    return UNKNOWN if text is None else terminal(text[11:23])


def _name(text: str | None) -> str:
    if not text:
        return ""
    return terminal(text[:NAME_MAX]) + ("…" if len(text) > NAME_MAX else "")


def _joined(parts: Sequence[_Part], width: int | None) -> str:
    """One line of them, without those for which there is no room; cut where it is still too long."""
    left = [part for part in parts if part[0]]
    line = _SPACE.join(text for text, _ in left)
    if width is None or len(line) * _CELLS_MAX <= width:
        return line
    from rich.cells import cell_len, set_cell_size

    while cell_len(line) > width:
        last = max(left, key=lambda part: part[1])
        if not last[1]:
            return set_cell_size(line, width - 1).rstrip() + "…" if width > 1 else "…"
        left.remove(last)
        line = _SPACE.join(text for text, _ in left)
    return line

"""One call a line, for people who watch.

Rules: a request and its usage are one line: usage is written first, and is kept until its request comes.  Where there
are no requests (AWF's file) each usage record is a line.  Every text of a record is made harmless, and cut.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from awfproxy.report.escaping import visible
from awfproxy.report.figures import UNKNOWN
from awfproxy.report.rows import Row, read_row
from awfproxy.report.summary import Request, read_request
from awfproxy.report.summary_forms import milliseconds

#: usage records that wait for their requests; they come within milliseconds
WAITING_MAX: Final = 4_096
#: characters of a name in a line
NAME_MAX: Final = 48


class Calls:
    """Turns lines of records into lines for people."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Row] = OrderedDict()

    def usage(self, line: bytes) -> None:
        """A line of token-usage.jsonl whose request will come."""
        row = read_row(line)
        if isinstance(row, str) or row.request_id is None:
            return
        self._waiting[row.request_id] = row
        if len(self._waiting) > WAITING_MAX:
            self._waiting.popitem(last=False)

    def line(self, line: bytes) -> str | None:
        """What is shown for a line of any kind; None: it is no record."""
        request = read_request(line)
        if isinstance(request, Request):
            return _shown_request(request, self._waiting.pop(request.request_id or "", None))
        row = read_row(line)
        return None if isinstance(row, str) else _shown_usage(row)


def _shown_request(request: Request, row: Row | None) -> str:
    status = "" if request.status is None else str(request.status)
    ended = [request.outcome, request.refusal_code or request.refusal or request.reason]
    how = " ".join(_name(part) for part in ended if part and part != "complete")
    parts = [
        _time(request.timestamp),
        _name(request.port),
        status,
        how,
        _name(request.model),
        _tokens(row),
        milliseconds(request.duration_ms),
    ]
    return _joined([*parts, *_labels(request.user, request.run)])


def _shown_usage(row: Row) -> str:
    outcome = "" if row.outcome in (None, "complete") else _name(row.outcome)
    parts = [_time(row.timestamp), _name(row.port or row.provider), outcome, _name(row.model), _tokens(row)]
    return _joined([*parts, *_labels(row.user, row.run)])


def _tokens(row: Row | None) -> str:
    if row is None:
        return ""
    read, output = row.all_input_tokens, row.output_tokens
    cached = f" ({row.cache_read_tokens:,} cached)" if row.cache_read_tokens else ""
    source = "" if row.usage_source in (None, "reported") else f" {_name(row.usage_source)}"
    return f"{_count(read)}{cached} in, {_count(output)} out{source}"


def _count(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _labels(user: str | None, run: str | None) -> list[str]:
    return [f"{word} {_name(name)}" for word, name in (("user", user), ("run", run)) if name]


def _time(text: str | None) -> str:
    """The time of day with milliseconds."""
    return UNKNOWN if text is None else visible(text[11:23])


def _name(text: str | None) -> str:
    if not text:
        return ""
    return visible(text[:NAME_MAX]) + ("…" if len(text) > NAME_MAX else "")


def _joined(parts: list[str]) -> str:
    return "  ".join(part for part in parts if part)

"""Calls that were paid for and of no use: given up, cut off, or failed; and whether they were sent again.

Rules: a request is the same as another if it is of the same conversation, at the same place in it, and answers the same
tools.  It is sent again if it also goes to the same port of the same provider, the same API and the same model; else
somebody else is asked the same.  A call that failed and was sent again is a paid retry; one that did not come to its
end and was not, is aborted.  Of a retried call is lost what it cost, less what it saved the retry: that one reads from
the cache what the first attempt brought there, and would have paid for it otherwise.  Tokens are lost in the same way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from awfproxy.core.kinds import kind
from awfproxy.prices.names import names_of
from awfproxy.report.analysis.board import Board
from awfproxy.report.analysis.codes import ABORTED_BUT_BILLED, PAID_RETRIES
from awfproxy.report.analysis.steps import WHOLE, Step
from awfproxy.report.analysis.thresholds import Thresholds

#: percent, with the provider's figures and with estimated ones
SURE_RETRIED: Final = (90, 60)
SURE_ABORTED: Final = (80, 50)
_ESTIMATED: Final = "estimated"
#: names of models, and paths, of which it is remembered what they mean
NAMES_MAX: Final = 1_000
#: stands for the model where nobody named it (docs/records.md)
_UNKNOWN: Final = "unknown"


def same_request(step: Step, last: Step) -> bool:
    """Whether this asks the same as the one before, both of one conversation; perhaps somebody else."""
    now, before = step.hints, last.hints
    if now is None or before is None or now.messages is None or now.messages != before.messages:
        return False
    if now.conversation_hash is None and now.previous_response_id_hash is None:
        return False
    return (
        now.conversation_hash == before.conversation_hash
        and now.previous_response_id_hash == before.previous_response_id_hash
        and now.tool_result_hashes == before.tool_result_hashes
    )


def sent_again(step: Step, last: Step) -> bool:
    """Whether the same request goes to where the one before went: port, provider, API, model."""
    now, before = step.row, last.row
    return (
        now.port == before.port
        and now.provider == before.provider
        and (now.path == before.path or _api(now.path) == _api(before.path))
        and _same_model(step.model, last.model)
    )


@lru_cache(NAMES_MAX)
def _api(path: str | None) -> str | None:
    """The API of a path, the same whether it streams or not; the path itself where the API is not known."""
    if path is None:
        return None
    found = kind(b"POST", path.encode(errors="replace"))
    return path if found is None else found.name


@lru_cache(NAMES_MAX)
def _same_model(one: str | None, other: str | None) -> bool:
    """Whether both may be the same model.  A call that was cut off may have the request's name, without a date."""
    if one == other or one in (None, _UNKNOWN) or other in (None, _UNKNOWN):
        return True
    return not set(names_of(one.lower())).isdisjoint(names_of(other.lower()))


def retried(board: Board, step: Step, last: Step, limits: Thresholds) -> bool:
    """Looks whether the call before was paid for in vain; this one is the same request."""
    if last.whole or not last.tokens:
        return False
    seconds = step.seconds_after(last)
    if seconds is None or seconds > limits.retry_seconds:
        return False
    outcome = last.row.outcome
    figures: dict[str, int | str] = {"outcome": outcome or "?", "seconds_after": max(int(seconds), 0)}
    if last.row.status is not None:
        figures["status"] = last.row.status
    saved = last.tokens - step.brought_by(last)
    claim = last.claim(last.tokens, last.cost, saved, last.cost - step.more_without(last))
    board.claim(PAID_RETRIES, last, claim, _sure(last, SURE_RETRIED), step, **figures)
    return True


def aborted(board: Board, step: Step, limits: Thresholds) -> None:
    """Looks whether nobody had the answer."""
    outcome = step.row.outcome
    if outcome in WHOLE or step.tokens < max(limits.aborted_tokens, 1):
        return
    claim = step.all_of_it()
    figures: dict[str, int | str] = {"outcome": outcome or "?"}
    if step.row.duration_ms is not None:
        figures["seconds"] = int(step.row.duration_ms / 1000)
    board.claim(ABORTED_BUT_BILLED, step, claim, _sure(step, SURE_ABORTED), **figures)


def _sure(step: Step, sure: tuple[int, int]) -> int:
    return sure[step.row.usage_source == _ESTIMATED]

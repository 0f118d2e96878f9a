"""Calls that were paid for and of no use: given up, cut off, or failed; and whether they were sent again.

Rules: a request is the same as another if it is of the same conversation, at the same place in it, and answers the same
tools.  A call that failed and was sent again is a paid retry; one that did not come to its end and was not, is aborted.
"""

from __future__ import annotations

from typing import Final

from awfproxy.report.analysis.board import Board
from awfproxy.report.analysis.codes import ABORTED_BUT_BILLED, PAID_RETRIES
from awfproxy.report.analysis.steps import WHOLE, Step
from awfproxy.report.analysis.thresholds import Thresholds

#: percent, with the provider's figures and with estimated ones
SURE_RETRIED: Final = (90, 60)
SURE_ABORTED: Final = (80, 50)
_ESTIMATED: Final = "estimated"


def sent_again(step: Step, last: Step) -> bool:
    """Whether this is the same request as the one before, both of one conversation."""
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
    board.claim(PAID_RETRIES, last, last.all_of_it(), _sure(last, SURE_RETRIED), step, **figures)
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

"""How a call was placed in a turn, and how sure that is.

`METHODS` is the table that docs/turns.md shows: in the order in which they are tried, each with its confidence, an
estimate of the share of calls placed right by it.  The truth test (tests/report/turns/test_truth.py) prints the shares
that it finds.  A method that decides between several possibilities has the lower of its two confidences.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Method = Literal[
    "request-id",
    "turn-id",
    "usage",
    "same-request",
    "running-total",
    "order",
    "fit",
    "session",
    "time",
    "initiator",
    "conversation",
]

Reason = Literal["no-log", "other-session", "unlike", "no-time", "no-conversation"]


class Surety(msgspec.Struct, frozen=True):
    """Confidence where all that is known agrees, and where it had to be chosen between possibilities."""

    sure: float
    chosen: float
    words: str


METHODS: Final[dict[Method, Surety]] = {
    "request-id": Surety(1.0, 1.0, "the log and the record have the same id of the request"),
    "turn-id": Surety(0.99, 0.99, "the request named the turn"),
    "usage": Surety(0.98, 0.9, "the log has a call with the same counts at that time"),
    "same-request": Surety(0.97, 0.97, "the same request as another one that was placed: it was sent again"),
    "running-total": Surety(0.95, 0.9, "the log's running total grew by exactly this between two calls placed"),
    "order": Surety(0.95, 0.8, "between calls of the same conversation that were placed"),
    "fit": Surety(0.7, 0.5, "fits by its time and counts between two calls of one conversation"),
    "session": Surety(0.9, 0.85, "the request named the session; the turn is that of its time"),
    "time": Surety(0.8, 0.6, "the log has calls at these times"),
    "initiator": Surety(0.95, 0.95, "without a log: the request said who began it, or which turn it is of"),
    "conversation": Surety(0.85, 0.7, "without a log: told by the conversation and the number of its messages"),
}

REASONS: Final[dict[Reason, str]] = {
    "no-log": "no log that was read tells of that time",
    "other-session": "the request named a session of which no log was read",
    "unlike": "the logs have no calls like these: another program, or lines are missing",
    "no-time": "the record has no time and nothing else to go by",
    "no-conversation": "without a log: the record says nothing of its conversation",
}


class Placement(msgspec.Struct, frozen=True, gc=False):
    """Where a call belongs."""

    #: place of the stream among all streams
    stream: int
    turn: int
    method: Method
    confidence: float
    #: place of the step in the stream; None: the log has no line for this call
    step: int | None = None

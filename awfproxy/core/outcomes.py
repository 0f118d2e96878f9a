"""How a request ended: the closed list of outcome words.

Every request that arrives ends with exactly one of them, in its record and in the metrics.  The list is part of the
contract: a new word is a new version of the ``requests`` schema.  Plain strings and not an Enum, because the byte path
compares them and an attribute look-up on an Enum class costs more than the comparison.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Outcome = Literal[
    "complete",
    "client_left",
    "upstream_cut",
    "upstream_failed",
    "timed_out",
    "refused",
    "bad_request",
    "drained",
    "proxy_error",
]

#: the provider's answer came whole, whatever its status
COMPLETE: Final = "complete"
#: the client closed or reset before the end of the answer
CLIENT_LEFT: Final = "client_left"
#: the provider's answer began and was cut off
UPSTREAM_CUT: Final = "upstream_cut"
#: no answer began: connecting failed, TLS failed, or the connection closed before the first byte of a head
UPSTREAM_FAILED: Final = "upstream_failed"
#: connect, first byte or silence inside an answer took longer than its limit
TIMED_OUT: Final = "timed_out"
#: the proxy said no by a rule: origin, missing credential, size, upgrade, draining, journal full
REFUSED: Final = "refused"
#: what arrived was not one unambiguous HTTP request
BAD_REQUEST: Final = "bad_request"
#: the proxy was stopped and the call was ended at the drain's deadline
DRAINED: Final = "drained"
#: a defect of the proxy itself
PROXY_ERROR: Final = "proxy_error"

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

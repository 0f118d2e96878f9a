"""Where a call's figures are from: the rule behind ``usage_source`` and its reason.

- ``reported``: the provider's final figures were read.
- ``partial``: figures were read, but not the final ones: the answer was cut, or its dialect never finished.
- ``estimated``: no figures, though a model surely worked: the whole request reached the upstream of a model call, and
  the status was 2xx or never seen.  The numbers are `core.estimate`'s.
- ``none``: no tokens were used, or nobody can say.

Missing is unknown, and named: every source but ``reported`` has a reason, from the closed list `REASONS` and the
scanner's own error words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from awfproxy.core.outcomes import COMPLETE, Outcome
from awfproxy.core.records import Source

if TYPE_CHECKING:
    from awfproxy.core.usage import Reading

#: the path is known to use no tokens (model lists, token counting, stored answers)
NOT_A_MODEL_CALL: Final = "not-a-model-call"
#: no rule knows the path, and nothing in the answer looked like usage
UNKNOWN_PATH: Final = "unknown-path"
#: the provider never had the whole request
NOT_SENT: Final = "not-sent"
#: the provider refused or failed: 1xx, 3xx, 4xx, 5xx
STATUS: Final = "status"
#: the answer came whole and has no usage in it
NO_USAGE: Final = "no-usage-in-answer"
#: the answer came whole, and is or ends with an error where the usage was to be (a 200 does not say otherwise)
ERROR_IN_ANSWER: Final = "error-in-answer"
#: the answer came whole and its last usage is not a final one
NO_FINAL_USAGE: Final = "no-final-usage"
#: the model works in the background: the answer only says that it was asked to
BACKGROUND: Final = "background"
#: the scanner broke and was unplugged (said by `server.accounting`)
SCANNER_FAILED: Final = "scanner-failed"
#: the record could not be made (likewise): what the call used is not known
RECORD_FAILED: Final = "record-failed"

#: besides these: outcome words other than "complete" (the answer ended so before its usage came), scanner errors
REASONS: Final = (
    NOT_A_MODEL_CALL, UNKNOWN_PATH, NOT_SENT, STATUS, NO_USAGE, ERROR_IN_ANSWER, NO_FINAL_USAGE, BACKGROUND,
    SCANNER_FAILED, RECORD_FAILED,
)  # fmt: skip

#: scanner errors after which the length of what was delivered says nothing about its tokens
UNREADABLE: Final = frozenset({"decoder-memory", "ratio"})


def judge(
    outcome: Outcome,
    *,
    model_call: bool | None,
    sent: bool,
    status: int | None,
    reading: Reading | None,
    path_known: bool = True,
    background: bool = False,
) -> tuple[Source, str | None]:
    """The source of a call's figures, and why it is not ``reported`` (None where it is).

    :param model_call: whether the path is one that uses tokens; None: only those that the answer reports count
    :param path_known: whether a rule knows the path
    :param sent: whether the whole request was handed to the upstream
    :param status: the provider's status; None: none was seen
    :param reading: what the scanner read; None: nothing was there to be read
    :param background: the model works on after the answer, and its usage comes with a later ``GET``
    """
    if model_call is False:
        return "none", NOT_A_MODEL_CALL
    error = next(iter(reading.errors), None) if reading is not None else None
    if reading is not None and reading.usage is not None:
        if reading.final:
            return "reported", None
        if not background:
            return "partial", error or (NO_FINAL_USAGE if outcome == COMPLETE else outcome)
    if not path_known:
        return "none", error or UNKNOWN_PATH
    if not sent:
        return "none", NOT_SENT
    if status is not None and not 200 <= status < 300:
        return "none", STATUS
    if background:
        return "none", BACKGROUND
    if error is None:
        if outcome != COMPLETE:
            error = outcome
        else:
            error = ERROR_IN_ANSWER if reading is not None and reading.error_seen else NO_USAGE
    if model_call is None:
        return "none", error
    if error in UNREADABLE:
        return "none", error
    return "estimated", error

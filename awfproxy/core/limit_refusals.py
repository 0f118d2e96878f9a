"""The refusals of rate limits and budgets: 429, in words and headers that SDKs obey.

* Rates: type ``rate_limit_error``; `Retry-After`, and `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds since the
  epoch) as AWF's api-proxy has them, in its words for the window.
* Budgets: type ``budget_exceeded``; the code is the reason (`core.budgets`).  Final for the period, with `Retry-After`
  to its end, unless only what other calls have reserved stands in the way.  Members in tokens are always there; those
  in dollars where the cap in dollars stands in the way.

Whoever is told to wait for longer than `PATIENCE` is also told not to repeat the call by itself: SDKs obey a
`Retry-After` of up to a minute and otherwise repeat blindly.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

import msgspec

from awfproxy.core.budgets import ESTIMATED, HARD_CAP, RESERVED, UNBOUNDED, USD_UNIT, Reason, Scope, dollars
from awfproxy.core.rates import CONCURRENT, RateRefusal
from awfproxy.core.records import timestamp
from awfproxy.core.refusals import Headers, Refusal
from awfproxy.core.windows import PRESENT, Period

#: seconds that SDKs wait when they are told to; what is longer, they are told not to wait for
PATIENCE: Final = 60

#: by setting: what is counted, and AWF's word for the window (ours where it has none)
_LIMITS: Final = {
    "requests_per_minute": ("requests per minute", "per_minute"),
    "requests_per_hour": ("requests per hour", "per_hour"),
    "bytes_per_minute": ("bytes per minute", "per_minute_bytes"),
    "tokens_per_minute": ("tokens per minute", "per_minute_tokens"),
    CONCURRENT: ("requests at a time", "concurrent"),
}


def rate_limited(found: RateRefusal, now: float, *, of_user: bool) -> Refusal:
    """A limit has no room for this call.

    :param now: seconds since the epoch
    :param of_user: the limit is a client's, not the port's
    """
    counted, window = _LIMITS[found.name]
    # Not more than the window itself, though the last bucket of it may hold out for one more: SDKs wait 60 seconds and
    # not 61, and who comes a bucket too early is told the second that is left.
    wait = max(1, ceil(min(found.retry_after, found.window or found.retry_after)))
    advice = f"Try again in {wait} s." if found.possible else "This request alone is more than that."
    whose = "this user" if of_user else "this port"
    return Refusal(
        status=429,
        type="rate_limit_error",
        code=found.name,
        message=f"The limit of {whose}, {found.limit} {counted}, is reached. {advice}",
        headers=(
            _retry_after(wait),
            (b"X-RateLimit-Limit", b"%d" % found.limit),
            (b"X-RateLimit-Remaining", b"%d" % found.remaining),
            (b"X-RateLimit-Reset", b"%d" % ceil(now + found.reset)),
        ),
        retryable=found.possible and wait <= PATIENCE,
        details={
            "limit": found.limit,
            "window": window,
            "retry_after": wait,
            "scope": "user" if of_user else "port",
        },
    )


class Amounts(msgspec.Struct, frozen=True):
    """How a cap stands where a call asks; tokens, or millionths of a dollar."""

    used: int
    #: set aside for calls that run, here or elsewhere
    reserved: int
    cap: int
    #: what would have been reserved; None: it has no upper bound, or another cap stands in the way
    estimate: int | None = None
    #: lent to other processes and free there: it can be called back
    lent: int = 0


def budget_exceeded(
    reason: Reason,
    scope: Scope,
    tokens: Amounts,
    usd: Amounts | None = None,
    *,
    period: Period,
    now: float,
    window_end: int,
    wait: int = 1,
    unbounded: str | None = None,
) -> Refusal:
    """A budget does not let this call in.

    :param reason: `HARD_CAP`, `ESTIMATED`, `RESERVED` or `UNBOUNDED`
    :param usd: its cap in dollars, where that is what stands in the way; else it is the one in tokens
    :param now: seconds since the epoch, as ``window_end``
    :param wait: seconds after which to try again, where only reservations stand in the way
    :param unbounded: why it has no upper bound
    """
    amounts, written = (tokens, _tokens) if usd is None else (usd, _dollars)
    whose = f"The {'token' if usd is None else 'dollar'} budget of this {scope.kind}"
    left = written(max(0, amounts.cap - amounts.used))
    headers: Headers = ()
    if reason == RESERVED:
        headers = (_retry_after(wait),)
        elsewhere = f"; other processes hold {written(amounts.lent)}" if amounts.lent else ""
        message = (
            f"{whose} has {left} left {PRESENT[period]}, and calls that run have reserved {written(amounts.reserved)}"
            f"{elsewhere}."
        )
    elif reason == UNBOUNDED:
        message = f"{whose} is strict, and how much this call can use at most is not known: {unbounded}."
    else:
        headers = (_retry_after(max(1, ceil(window_end - now))),)
        again = timestamp(window_end)
        if reason == HARD_CAP:
            message = (
                f"{whose} is used up {PRESENT[period]}: {written(amounts.used)} of {written(amounts.cap)}. "
                f"It begins anew at {again}."
            )
        else:
            message = (
                f"This call may use {written(amounts.estimate or 0)}, and {whose[0].lower()}{whose[1:]} has {left}"
                f" left {PRESENT[period]}. It begins anew at {again}."
            )
    details: dict[str, Any] = {
        "used_tokens": tokens.used,
        "reserved_tokens": tokens.reserved,
        "lent_tokens": tokens.lent,
        "cap_tokens": tokens.cap,
        "scope": scope.kind,
        "period": period,
        "resets_at": timestamp(window_end),
    }
    if tokens.estimate is not None:
        details["estimated_tokens"] = tokens.estimate
    if usd is not None:
        details |= {
            "used_usd": dollars(usd.used),
            "reserved_usd": dollars(usd.reserved),
            "lent_usd": dollars(usd.lent),
            "cap_usd": dollars(usd.cap),
        }
        if usd.estimate is not None:
            details["estimated_usd"] = dollars(usd.estimate)
    return Refusal(
        status=429,
        type="budget_exceeded",
        code=reason,
        message=message,
        headers=headers,
        retryable=reason == RESERVED,
        details=details,
    )


def _tokens(amount: int) -> str:
    return f"{amount} tokens"


def _dollars(amount: int) -> str:
    """Cents, and as many places more as it takes."""
    whole, part = f"{amount / USD_UNIT:.6f}".split(".")
    return f"${whole}.{part[:2]}{part[2:].rstrip('0')}"


#: the reasons for which a call is refused; the others of `budgets.Reason` are what a check says besides
REASONS: Final[tuple[Reason, ...]] = (HARD_CAP, ESTIMATED, RESERVED, UNBOUNDED)


def _retry_after(seconds: int) -> tuple[bytes, bytes]:
    return b"Retry-After", b"%d" % seconds

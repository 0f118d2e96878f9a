"""Budgets in tokens and in dollars: their settings, what counts, whether a call is let in, what it is charged for.

A budget applies to a `Scope` (a port, a user or a feature of it) over a calendar window (`core.windows`).  The rules:

* Settings are kept field by field.  A stored field that is missing or wrong is the field's default (`stored`); giving
  fields merges them over those there are, and is refused as a whole if one is wrong or the soft cap comes to lie above
  the hard one (`merge`).
* A budget that is not enabled refuses nothing; use is recorded all the same.
* Nothing remaining (used >= hard cap): refused, `HARD_CAP`.  More estimated than remains: refused, `ESTIMATED`.  It
  would fit but for what other calls have reserved: refused for the moment, `RESERVED`.  Else it is allowed.
* The soft cap refuses nothing; it is exceeded when used > soft cap.
* A budget has a cap in tokens, and may have one in dollars (``hard_cap_usd``), which holds beside it by the same rules,
  in millionths of a dollar (`cap_of`).  Only a learned budget may: of a price there is no upper bound beforehand.
* Tokens are input + output as the provider reports them; with ``count = "all"``, cache reads and writes too, where the
  input does not hold them already.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final, Literal

import msgspec

from awfproxy.core.windows import PERIODS, Period

Mode = Literal["learned", "strict"]
Count = Literal["reported", "all"]
ScopeKind = Literal["port", "user", "feature"]
#: what of a call an account sums up: tokens as its budget counts them, or its cost in millionths of a dollar
Measure = Count | Literal["usd"]
#: what a cap is in: a budget has one of each, and a call must pass both
Unit = Literal["tokens", "usd"]
UNITS: Final[tuple[Unit, ...]] = ("usd", "tokens")

#: caps are 64-bit integers in ledger and shared memory, with room for sums of them
TOKENS_MAX: Final = 10**15
#: dollars; in millionths still a 64-bit integer
USD_MAX: Final = 10**9
#: millionths of a dollar: money is reckoned in whole ones
USD_UNIT: Final = 1_000_000
#: dollars; what is less would round to no cap
USD_MIN: Final = 1 / USD_UNIT
#: of a millionth of a dollar: far below any price of a token, far above the error of a sum of a few products
_ROUNDING: Final = 1e-4

HARD_CAP: Final = "hard-cap-exceeded"
ESTIMATED: Final = "estimated-exceeds-cap"
RESERVED: Final = "cap-reserved"
UNBOUNDED: Final = "estimate-unbounded"
DISABLED: Final = "budget-disabled"
#: what a check answers of a port that has neither a budget nor a credential
NO_KEY: Final = "budget-disabled-but-no-key"
Reason = Literal[
    "hard-cap-exceeded",
    "estimated-exceeds-cap",
    "cap-reserved",
    "estimate-unbounded",
    "budget-disabled",
    "budget-disabled-but-no-key",
]


class Scope(msgspec.Struct, frozen=True, order=True):
    """What a budget applies to."""

    port: str
    kind: ScopeKind = "port"
    #: the user's or the feature's; "" for the port itself
    name: str = ""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one budget, whole and consistent."""

    enabled: bool = False
    period: Period = "month"
    soft_cap_tokens: int = 100_000
    hard_cap_tokens: int = 500_000
    #: learned: a learned estimate is reserved; strict: an upper bound
    mode: Mode = "learned"
    #: strict, where a call has no upper bound: it is refused, or so many tokens are reserved
    unbounded: Literal["refuse"] | int = "refuse"
    count: Count = "reported"
    #: dollars; 0: no cap
    hard_cap_usd: float = 0.0


#: names of the settings, in their order
FIELDS: Final = Budget.__struct_fields__
DEFAULTS: Final = Budget()
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "period": PERIODS,
    "mode": ("learned", "strict"),
    "count": ("reported", "all"),
}


class Cap(msgspec.Struct, frozen=True):
    """One of the two caps of a budget.  Amounts are tokens, or with the measure "usd" millionths of a dollar."""

    enabled: bool
    period: Period
    measure: Measure
    hard: int
    #: None: there is none
    soft: int | None


def cap_of(budget: Budget, unit: Unit) -> Cap:
    """The cap of a budget in one unit."""
    if unit == "usd":
        hard = round(budget.hard_cap_usd * USD_UNIT)
        return Cap(budget.enabled and hard > 0, budget.period, "usd", hard, None)
    return Cap(budget.enabled, budget.period, budget.count, budget.hard_cap_tokens, budget.soft_cap_tokens)


def micro_dollars(usd: float) -> int:
    """What an account counts for so many dollars: begun millionths are whole ones, so that no cost counts as nothing.

    The least part of a millionth is taken for an error of floating-point arithmetic.
    """
    return ceil(usd * USD_UNIT - _ROUNDING)


def dollars(amount: int) -> float:
    """The same amount in dollars, for people and programs outside."""
    return amount / USD_UNIT


class Charge(msgspec.Struct, frozen=True):
    """What a call cost, and what it counts in dollar budgets."""

    #: dollars; None: its model has no price
    usd: float | None
    #: millionths of a dollar; None: nobody could say yet, because there was no price list
    counted: int | None


class Fault(msgspec.Struct, frozen=True):
    """Why settings are refused."""

    field: str
    #: what is wrong, and what would be right: a clause that follows the field's name
    text: str


def fault(field: str, value: object) -> Fault | None:
    """What is wrong with one field's value by itself."""
    if field not in FIELDS:
        return Fault(field, f"is not a setting of a budget; the settings are {', '.join(FIELDS)}")
    if field == "enabled":
        return None if isinstance(value, bool) else Fault(field, "must be true or false")
    if field in _CHOICES:
        choices = _CHOICES[field]
        return None if value in choices else Fault(field, f"must be one of {', '.join(choices)}")
    if field == "hard_cap_usd":
        number = value if _number(value) and isinstance(value, int | float) else -1
        fits = number == 0 or USD_MIN <= number <= USD_MAX
        return None if fits else Fault(field, f"must be 0 (no cap), or dollars from {USD_MIN:.6f} to {USD_MAX}")
    if field == "unbounded" and value == "refuse":
        return None
    # of 0 tokens there is always room, also at the cap
    either, least = ('"refuse" or ', 1) if field == "unbounded" else ("", 0)
    if _number(value) and isinstance(value, int) and least <= value <= TOKENS_MAX:
        return None
    return Fault(field, f"must be {either}a whole number of tokens from {least} to {TOKENS_MAX}")


def _number(value: object) -> bool:
    return not isinstance(value, bool)


def stored(fields: Mapping[str, Any], base: Budget = DEFAULTS) -> Budget:
    """A budget from settings that somebody kept, whatever is in them: a field that is missing or wrong has its default.

    A soft cap above the hard cap would never be passed, and is read as the hard cap; a cap in dollars beside ``strict``
    is kept, and the mode is the default one.

    :param base: the defaults: those of the program, or what the configuration file says
    """
    good = {name: fields[name] for name in FIELDS if name in fields and fault(name, fields[name]) is None}
    budget = msgspec.structs.replace(base, **good)
    if budget.soft_cap_tokens > budget.hard_cap_tokens:
        budget = msgspec.structs.replace(budget, soft_cap_tokens=budget.hard_cap_tokens)
    if budget.hard_cap_usd and budget.mode == "strict":
        budget = msgspec.structs.replace(budget, mode=DEFAULTS.mode)
    return budget


def merge(
    existing: Budget, given: Mapping[str, Any], remedy: str = "give both, soft_cap_tokens at most hard_cap_tokens"
) -> Budget | list[Fault]:
    """``existing`` with the ``given`` fields in place of its own; all that is wrong with them, if anything is.

    :param remedy: for caps that do not go together
    """
    faults = [found for name, value in given.items() if (found := fault(name, value)) is not None]
    if faults:
        return faults
    merged = msgspec.structs.replace(existing, **given)
    if merged.soft_cap_tokens > merged.hard_cap_tokens:
        changed = "hard_cap_tokens" if "soft_cap_tokens" not in given else "soft_cap_tokens"
        faults.append(
            Fault(
                changed,
                f"would leave the soft cap ({merged.soft_cap_tokens}) above the hard cap ({merged.hard_cap_tokens}); "
                f"{remedy}",
            )
        )
    if merged.hard_cap_usd and merged.mode == "strict":
        changed = "mode" if "mode" in given else "hard_cap_usd"
        faults.append(Fault(changed, 'would cap dollars in a strict budget; dollars need mode = "learned"'))
    return faults or merged


def counted(
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
    *,
    input_includes_cache: bool | None = None,
    count: Count = "reported",
) -> int:
    """Tokens that a record counts for a budget.

    :param input_includes_cache: None: not said; then the cache's tokens are not added, as they may be in there
    """
    total = input_tokens + output_tokens
    if count == "all" and input_includes_cache is False:
        total += cache_read_tokens + cache_write_tokens
    return total


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a call is let in, and how the budget stands without it."""

    allowed: bool
    #: None: allowed, by an enabled budget
    reason: Reason | None = None
    #: of which cap the reason is
    unit: Unit = "tokens"
    used: int = 0
    #: by calls that run
    reserved: int = 0
    #: cap - used, at least 0; None: unlimited
    remaining: int | None = None
    soft_cap: int | None = None
    hard_cap: int | None = None
    #: used > soft cap
    soft_exceeded: bool = False
    #: what would be reserved for the call; None: unknown
    estimate: int | None = None


def check(budget: Budget, used: int, reserved: int, estimate: int | None, *, has_key: bool = True) -> Decision:
    """Whether a call that is estimated to use ``estimate`` tokens is let in.

    :param used: tokens of the scope since its window began
    :param reserved: tokens set aside for calls that run
    :param estimate: None: it has no upper bound
    :param has_key: the port has a credential
    """
    if not budget.enabled:
        reason: Reason = DISABLED if has_key else NO_KEY
        return Decision(allowed=has_key, reason=reason, used=used, reserved=reserved, estimate=estimate)
    if estimate is None and budget.unbounded != "refuse":
        estimate = budget.unbounded
    found = judge(budget.hard_cap_tokens, used, reserved, estimate)
    return Decision(
        allowed=found is None,
        reason=found,
        used=used,
        reserved=reserved,
        remaining=max(0, budget.hard_cap_tokens - used),
        soft_cap=budget.soft_cap_tokens,
        hard_cap=budget.hard_cap_tokens,
        soft_exceeded=used > budget.soft_cap_tokens,
        estimate=estimate,
    )


def judge(cap: int, used: int, reserved: int, estimate: int | None) -> Reason | None:
    """The rule itself, in tokens or in millionths of a dollar: why a call is refused; None: it is not."""
    if used >= cap:
        return HARD_CAP
    if estimate is None:
        return UNBOUNDED
    if used + estimate > cap:
        return ESTIMATED
    if used + reserved + estimate > cap:
        return RESERVED
    return None


def charge(
    mode: Mode,
    reserved: int,
    *,
    reported: int | None,
    sent: bool,
    status: int | None,
    so_far: int = 0,
    delivered: int = 0,
) -> int:
    """Tokens that a call is charged when it is over, whatever its end.

    :param reserved: what was set aside for it
    :param reported: total of the usage it ended with; None: it reported none, or not to the end
    :param sent: its request was handed to the upstream
    :param status: of the upstream's answer; None: none was seen
    :param so_far: what had been reported when it ended
    :param delivered: estimate of what was used for what came
    """
    if reported is not None:
        return reported
    if not sent or (status is not None and status >= 400 and not so_far):
        return 0
    return max(so_far, reserved) if mode == "strict" else max(so_far, delivered)

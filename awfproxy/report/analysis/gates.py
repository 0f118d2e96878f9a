"""Conditions under which `awf logs analyze` fails: for CI.

Rules: a condition that nobody can mean is refused before anything is read.  What is not known is not under a limit:
tokens of which calls did not report all, a cost of which calls have no price or did not report what is to be priced,
and an increase to such a sum fail their gates; so does one from such a sum, unless it would be small enough even if
nothing were missing in what was before.  Where nothing has a price, an increase is that of the tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from awfproxy.core.toml_words import nearest
from awfproxy.report.analysis.amounts import Amounts
from awfproxy.report.analysis.analysis import SEVERITIES, Analysis
from awfproxy.report.analysis.codes import KINDS
from awfproxy.report.analysis.comparison import Comparison
from awfproxy.report.costs import PICO
from awfproxy.report.figures import LEAST, dollars
from awfproxy.report.reading import many

#: characters of a condition
GATE_MAX: Final = 64

#: whether it holds, in a sentence; None: it does not
_Check = Callable[[Analysis, Comparison | None], str | None]


class GateError(ValueError):
    """A condition that is none; the message is a sentence."""


class Gate(msgspec.Struct, frozen=True):
    """One condition."""

    text: str
    check: _Check
    #: it needs a comparison
    compares: bool = False
    #: it needs prices
    of_money: bool = False


def gates_of(texts: Sequence[str]) -> list[Gate]:
    """The conditions in the texts, each of which has one or several, with commas between them.

    :raises GateError: one is none, or a text has none: a variable of a script that is not set would else pass all
    """
    found: list[Gate] = []
    for text in texts:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if not parts:
            raise GateError("An empty text is no condition.")
        found += map(_gate, parts)
    return found


def failed(gates: Sequence[Gate], analysis: Analysis, comparison: Comparison | None) -> list[str]:
    """A sentence for each condition that holds."""
    return [said for gate in gates if (said := gate.check(analysis, comparison)) is not None]


def _gate(text: str) -> Gate:
    if len(text) > GATE_MAX:
        raise GateError(f"{text[:GATE_MAX]!r}... is no condition.")
    if text in KINDS:
        return Gate(text, lambda analysis, _: None if analysis.finding(text) is None else f"{text} was found.")
    if text == "any":
        return Gate(text, _any)
    if text.startswith("severity:"):
        return _of_severity(text)
    if limit := _LIMIT.fullmatch(text):
        return _above(text, limit[1], float(limit[2].replace("_", "")))
    if limit := _INCREASE.fullmatch(text):
        return _increased(text, float(limit[1]))
    words = (*KINDS, "any", *(f"severity:{each}" for each in SEVERITIES), "tokens>N", "cost>N", "increase>N%")
    raise GateError(f"{text!r} is no condition{nearest(text, words)}{'' if '?' in nearest(text, words) else '.'}")


def _any(analysis: Analysis, comparison: Comparison | None) -> str | None:
    del comparison
    codes = [finding.code for finding in analysis.findings]
    return f"found: {', '.join(codes)}." if codes else None


def _of_severity(text: str) -> Gate:
    word = text.partition(":")[2]
    if word not in SEVERITIES:
        raise GateError(f"{text!r} is no condition{nearest(word, SEVERITIES)}")
    at_least = SEVERITIES[: SEVERITIES.index(word) + 1]

    def check(analysis: Analysis, comparison: Comparison | None) -> str | None:
        del comparison
        codes = [finding.code for finding in analysis.findings if finding.severity in at_least]
        return f"{word} or above: {', '.join(codes)}." if codes else None

    return Gate(text, check)


def _above(text: str, what: str, limit: float) -> Gate:
    money = what == "cost"

    def check(analysis: Analysis, comparison: Comparison | None) -> str | None:
        del comparison
        whole, missing = analysis.whole, _missing(analysis.whole, money=money)
        least = LEAST if missing else ""
        sum_, most = (dollars(whole.pico), f"${limit:,g}") if money else (f"{whole.tokens:,} tokens", f"{limit:,.0f}")
        if (whole.pico > limit * PICO) if money else (whole.tokens > limit):
            return f"{least}{sum_}, more than {most}."
        return f"{least}{sum_}, and nobody knows whether more than {most}: {missing}." if missing else None

    return Gate(text, check, of_money=money)


def _increased(text: str, percent: float) -> Gate:
    def check(analysis: Analysis, comparison: Comparison | None) -> str | None:
        if comparison is None or not comparison.whole.before.calls:
            return None
        increase, money = comparison.increase, comparison.of_money
        before = _missing(comparison.whole.before, money=money)
        now = _missing(analysis.whole, money=money)
        above = increase is None or increase * 100 > percent
        # Where what was before is a least sum, the true increase is a smaller one; what is now a least sum can be any.
        if now or (before and above):
            why = "; ".join(f"{when}, {lacks}" for when, lacks in (("before", before), ("now", now)) if lacks)
            return f"Nobody knows whether it is more than {percent:g}% above what it was before: {why}."
        if increase == math.inf:
            return f"It was {'$0.00' if money else '0 tokens'} before, and is more now, which is above {percent:g}%."
        return f"{increase:.1%} more than before, which is above {percent:g}%." if above else None

    return Gate(text, check, True)


def _missing(whole: Amounts, *, money: bool) -> str:
    """What a sum over all calls lacks, in words; empty: nothing.

    :param money: it is one of dollars
    """
    lacks = (
        ((whole.unpriced, "without a price"), (whole.least, "of which not all was reported or has a price"))
        if money
        else ((whole.unknown, "that did not report all tokens"),)
    )
    return ", ".join(f"{many(calls, 'call')} {how}" for calls, how in lacks if calls)


#: ``tokens>1_000_000``, ``cost>2.50``
_LIMIT: Final = re.compile(r"(tokens|cost)\s*>\s*\$?([0-9][0-9_]{0,17}(?:\.[0-9]{1,9})?)")
_INCREASE: Final = re.compile(r"increase\s*>\s*([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*%")

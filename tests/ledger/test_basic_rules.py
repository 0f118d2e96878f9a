"""The basic rules of token budgets, one line each, on every ledger there is: what is stored, what is used, what is let in.

Of a port whose configuration says nothing about a budget.  The one rule that needs a call, that recording a row never
fails it, is shown by processes (`tests/server/test_process_ledger.py`, `test_process_outages.py`); how calls are let in
while others run, by `tests/core/test_budgets.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from awfproxy.configuration import load
from awfproxy.core.budgets import Scope
from awfproxy.core.records import encode
from awfproxy.core.settings import Settings
from awfproxy.core.usage_line import decode_usage_line
from awfproxy.ledger.budget_desk import BudgetDesk, Division, Refused, Statements
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.rows import Row, row_of
from tests.journals import record

FILE = """
[service]
log_dir = "logs"
state_dir = "state"
[ports.openai]
provider = "openai"
credential = { env = "KEY" }
[ports.openai.features.chat]
[ports.openai.features.review]
[ports.other]
provider = "openai"
listen = "tcp:1"
credential = { env = "KEY" }
"""
PORT = Scope("openai")
ANN = "ann (uid 7) on h"
#: a Wednesday
NOW = "2026-03-18T15:30:00"


def seconds(when: str) -> float:
    """Since the epoch, of a time in UTC."""
    return datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()


class Call(msgspec.Struct, frozen=True):
    """A call that was recorded."""

    admitted: str = NOW
    input: int = 100
    output: int = 50
    feature: str = "chat"
    port: str = "openai"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What is so, and what comes out of it."""

    #: as the rule is said
    rule: str
    #: what is in the table of settings, whoever put it there
    kept: dict[str, Any] | None = None
    #: what is set then, by Ann, each after the other
    sets: tuple[dict[str, Any], ...] = ()
    calls: tuple[Call, ...] = ()
    now: str = NOW
    #: tokens of the call that is asked about
    estimate: int = 1
    #: of what `outcome` returns
    expected: dict[str, Any]


ON = {"enabled": True, "soft_cap_tokens": 600, "hard_cap_tokens": 1000}
DEFAULT = {"enabled": False, "soft": 100_000, "hard": 500_000, "period": "month"}
RULES = [
    # settings
    Rule(rule="defaults: disabled, 100,000, 500,000, month", expected=DEFAULT),
    Rule(rule="an empty setting is the defaults", kept={}, expected=DEFAULT),
    Rule(
        rule="a stored setting with a missing field falls back to the default of that field",
        kept={"enabled": True, "period": "day", "hard_cap_tokens": 900_000},
        expected={"enabled": True, "soft": 100_000, "hard": 900_000, "period": "day"},
    ),
    *(
        Rule(
            rule=f"a stored setting with a wrong field falls back to the default of that field: {name} = {value!r}",
            kept={"enabled": True, "soft_cap_tokens": 5, "hard_cap_tokens": 700_000, "period": "week"} | {name: value},
            expected={"enabled": True, "soft": 5, "hard": 700_000, "period": "week"} | {told: DEFAULT[told]},
        )
        for name, told, value in (
            ("enabled", "enabled", "yes"),
            ("enabled", "enabled", 1),
            ("period", "period", "year"),
            ("period", "period", None),
            ("soft_cap_tokens", "soft", -1),
            ("soft_cap_tokens", "soft", 1.5),
            ("hard_cap_tokens", "hard", "900"),
            ("hard_cap_tokens", "hard", True),
        )
    ),
    Rule(
        rule="setting merges given fields over the existing ones",
        sets=({"enabled": True, "hard_cap_tokens": 900_000}, {"period": "day"}, {"hard_cap_tokens": 800_000}),
        expected={"enabled": True, "soft": 100_000, "hard": 800_000, "period": "day"},
    ),
    *(
        Rule(
            rule=f"setting refuses {what}",
            sets=({"hard_cap_tokens": 900_000}, {"period": "day"} | fields),
            expected={"refused": [named], "hard": 900_000, "soft": 100_000, "period": "month"},
        )
        for what, fields, named in (
            ("a negative hard cap", {"hard_cap_tokens": -1}, "hard_cap_tokens"),
            ("a negative soft cap", {"soft_cap_tokens": -1}, "soft_cap_tokens"),
            ("soft > hard", {"soft_cap_tokens": 6, "hard_cap_tokens": 5}, "soft_cap_tokens"),
            ("a hard cap under the existing soft cap", {"hard_cap_tokens": 99_999}, "hard_cap_tokens"),
            ("a soft cap over the existing hard cap", {"soft_cap_tokens": 900_001}, "soft_cap_tokens"),
        )
    ),
    Rule(rule="soft = hard is no soft > hard", sets=({"soft_cap_tokens": 500_000},), expected={"refused": [], "soft": 500_000}),
    Rule(
        rule="setting keeps who changed it and when",
        kept={"enabled": True},
        sets=({"period": "day"},),
        expected={"changed": (ANN, seconds(NOW))},
    ),
    Rule(
        rule="what is refused changes neither who nor when",
        kept={"enabled": True},
        sets=({"hard_cap_tokens": -1},),
        expected={"changed": ("bob", 1.0)},
    ),
    # periods
    *(
        Rule(
            rule=f"period start in UTC: {period}, {what}",
            kept={"period": period},
            now=now,
            expected={"start": seconds(start)},
        )
        for period, what, now, start in (
            ("day", "00:00", NOW, "2026-03-18T00:00:00"),
            ("day", "its first second", "2026-03-18T00:00:00", "2026-03-18T00:00:00"),
            ("day", "its last second", "2026-03-18T23:59:59", "2026-03-18T00:00:00"),
            ("day", "a leap day", "2028-02-29T12:00:00", "2028-02-29T00:00:00"),
            ("week", "Monday 00:00", NOW, "2026-03-16T00:00:00"),
            ("week", "on a Monday", "2026-03-16T00:00:00", "2026-03-16T00:00:00"),
            ("week", "on a Sunday", "2026-03-15T23:59:59", "2026-03-09T00:00:00"),
            ("week", "over a year's end", "2027-01-02T08:00:00", "2026-12-28T00:00:00"),
            ("month", "the 1st 00:00", NOW, "2026-03-01T00:00:00"),
            ("month", "on the 1st", "2026-03-01T00:00:00", "2026-03-01T00:00:00"),
            ("month", "on the 31st of December", "2026-12-31T23:59:59", "2026-12-01T00:00:00"),
        )
    ),
    # use
    Rule(rule="total = input + output", calls=(Call(input=100, output=50),), expected={"used": 150}),
    Rule(
        rule="current use is the sum since the period's start, its first moment included",
        kept={"period": "day"},
        calls=(Call("2026-03-17T23:59:59"), Call("2026-03-18T00:00:00", 1, 2), Call("2026-03-18T15:00:00", 10, 20)),
        expected={"used": 33},
    ),
    Rule(
        rule="another period, another use",
        kept={"period": "week"},
        calls=(Call("2026-03-15T23:59:59"), Call("2026-03-16T00:00:00", 1, 2), Call("2026-03-18T15:00:00", 10, 20)),
        expected={"used": 33},
    ),
    Rule(rule="current use is that of the port", calls=(Call(port="other"), Call(input=1, output=2)), expected={"used": 3}),
    Rule(rule="no calls, no use", expected={"used": 0, "features": []}),
    Rule(
        rule="current use, of one feature",
        calls=(Call(input=1, output=2), Call(feature="review", input=10, output=20), Call(feature="review")),
        expected={"used": 183, "of review": 180, "of chat": 3},
    ),
    # checks
    Rule(
        rule="disabled: allowed, unlimited, nothing enforced, and recorded all the same",
        calls=(Call(input=10**9, output=0),),
        estimate=10**9,
        expected={"allowed": True, "remaining": None, "caps": (None, None), "soft exceeded": False, "used": 10**9},
    ),
    Rule(
        rule="nothing remaining: refused hard-cap-exceeded, with used and cap",
        kept=ON,
        calls=(Call(input=600, output=400),),
        estimate=0,
        expected={"allowed": False, "reason": "hard-cap-exceeded", "used": 1000, "caps": (600, 1000), "remaining": 0},
    ),
    Rule(
        rule="less than nothing remaining is nothing",
        kept=ON,
        calls=(Call(input=600, output=700),),
        expected={"allowed": False, "reason": "hard-cap-exceeded", "used": 1300, "remaining": 0},
    ),
    Rule(
        rule="estimate > remaining: refused estimated-exceeds-cap",
        kept=ON,
        calls=(Call(input=500, output=100),),
        estimate=401,
        expected={"allowed": False, "reason": "estimated-exceeds-cap", "used": 600, "remaining": 400, "caps": (600, 1000)},
    ),
    Rule(
        rule="else allowed, with remaining, used, and whether used > soft cap: it is not",
        kept=ON,
        calls=(Call(input=500, output=100),),
        estimate=400,
        expected={"allowed": True, "reason": None, "used": 600, "remaining": 400, "soft exceeded": False},
    ),
    Rule(
        rule="else allowed, with remaining, used, and whether used > soft cap: it is",
        kept=ON,
        calls=(Call(input=500, output=101),),
        estimate=399,
        expected={"allowed": True, "reason": None, "used": 601, "remaining": 399, "soft exceeded": True},
    ),
    Rule(
        rule="what was used before the period does not count in a check",
        kept=ON | {"period": "day"},
        calls=(Call("2026-03-17T23:59:59", 1000, 0),),
        estimate=1000,
        expected={"allowed": True, "used": 0, "remaining": 1000},
    ),
    # breakdown
    Rule(
        rule="breakdown by feature for the current period: tokens and calls",
        kept={"period": "day"},
        calls=(Call(), Call(input=1, output=1), Call(feature="review"), Call("2026-03-17T12:00:00", feature="review")),
        expected={"features": [("chat", 152, 2), ("review", 150, 1)]},
    ),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two ports, without budgets."""
    path = tmp_path / "a.toml"
    path.write_text(FILE)
    return load(str(path), {"KEY": "k"})


def row(number: int, call: Call) -> Row:
    """As the reader of the journal makes it."""
    tokens = {"input_tokens": call.input, "output_tokens": call.output}
    line = record(number, seconds(call.admitted) + 1, 1.0, port=call.port, feature=call.feature, **tokens)
    made = row_of(decode_usage_line(encode(line)), "host-a", feature=call.feature)
    assert made is not None
    return made


def outcome(rule: Rule, settings: Settings, ledger: Ledger) -> dict[str, Any]:
    """All that can be expected of a rule."""
    if rule.kept is not None:
        ledger.set_setting(PORT, rule.kept, "bob", 1.0, lambda before, given: given)
    ledger.record([row(number, call) for number, call in enumerate(rule.calls)])
    desk = BudgetDesk(settings, ledger, ANN, seconds(rule.now))
    faults: list[str] = []
    for fields in rule.sets:
        answered = desk.set(fields, "openai")
        faults = [fault.field for fault in answered.faults] if isinstance(answered, Refused) else []
    shown = desk.show("openai")
    divided = desk.division("openai")
    assert isinstance(shown, Statements) and isinstance(divided, Division)
    by_name = {(each.kind, each.name): each for each in shown.budgets}
    stated = by_name["port", ""]
    decision = stated.decide(rule.estimate)
    budget = stated.budget
    return {
        "enabled": budget.enabled,
        "soft": budget.soft_cap_tokens,
        "hard": budget.hard_cap_tokens,
        "period": budget.period,
        "refused": faults,
        "changed": (stated.changed_by, stated.changed_at),
        "start": stated.window_start,
        "used": decision.used,
        "of chat": by_name["feature", "chat"].used,
        "of review": by_name["feature", "review"].used,
        "allowed": decision.allowed,
        "reason": decision.reason,
        "remaining": decision.remaining,
        "caps": (decision.soft_cap, decision.hard_cap),
        "soft exceeded": decision.soft_exceeded,
        "features": [(share.name, share.tokens, share.calls) for share in divided.features],
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule)
def test_basic_rule(rule: Rule, settings: Settings, ledger: Ledger) -> None:
    """As its line says."""
    found = outcome(rule, settings, ledger)
    assert {name: found[name] for name in rule.expected} == rule.expected

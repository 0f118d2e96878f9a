"""What `awf budget` prints: tables for people, JSON for programs.

In JSON times are ISO 8601, amounts plain numbers, and what is unlimited or not known is null.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from awfproxy.core.budgets import Decision
from awfproxy.core.scopes import counted_feature
from awfproxy.ledger.budget_desk import Division, Money, Statement, moment, titled
from awfproxy.ledger.facts import Share
from awfproxy.report.table import Column, Table, pretty

_USE = (
    Column("budget"),
    Column(""),
    Column("period from"),
    Column("used", figures=True),
    Column("reserved", figures=True),
    Column("remaining", figures=True),
    Column("lost", figures=True),
    Column("soft cap", figures=True),
    Column("hard cap", figures=True),
)
_FIELDS = (Column("budget"), Column("field"), Column("value"), Column("from"))
_DECISIONS = (
    Column("budget"),
    Column("decision"),
    Column("used", figures=True),
    Column("reserved", figures=True),
    Column("remaining", figures=True),
    Column("soft cap", figures=True),
    Column("hard cap", figures=True),
)
_SHARES = (
    Column("tokens", figures=True),
    Column("calls", figures=True),
    Column("cost", figures=True),
    Column("unpriced calls", figures=True),
)
_MONEY = (
    Column("budget"),
    Column("used", figures=True),
    Column("reserved", figures=True),
    Column("remaining", figures=True),
    Column("lost", figures=True),
    Column("hard cap", figures=True),
)


def shown(statements: Sequence[Statement], form: str) -> str:
    """`awf budget show`."""
    if form == "json":
        return _json([_facts(statement) for statement in statements])
    use = Table(_USE, [_use(statement) for statement in statements])
    money = [(titled(each.scope), each.money) for each in statements if each.money is not None]
    fields = [
        (titled(statement.scope) if number == 0 else "", name, _written(stated.value), stated.source)
        for statement in statements
        for number, (name, stated) in enumerate(statement.settings.items())
    ]
    return "\n".join((pretty(use), *_money(money), pretty(Table(_FIELDS, fields))))


def applying(statements: Sequence[Statement], user: str | None, feature: str | None) -> list[Statement] | str:
    """Those of a port's budgets that a call must pass; a sentence where the user has none.

    A feature that the port does not list counts as its `other`, as it does for calls.
    """
    listed = [statement.name for statement in statements if statement.kind == "feature"]
    counted = None if feature is None else counted_feature(listed, feature)
    chosen = [
        statement
        for statement in statements
        if statement.kind == "port"
        or (statement.kind == "user" and statement.name == user)
        or (statement.kind == "feature" and statement.name == counted)
    ]
    if user is not None and all(statement.kind != "user" for statement in chosen):
        return f"Port {statements[0].port} has no client whose user is {user}."
    return chosen


def decisions(
    statements: Sequence[Statement], estimate: int, form: str, estimate_usd: float = 0.0
) -> tuple[str, bool]:
    """`awf budget check`, and whether the call would be let in."""
    made = [(statement, statement.decide(estimate, estimate_usd)) for statement in statements]
    allowed = all(decision.allowed for _, decision in made)
    if form == "json":
        reason = next((decision.reason for _, decision in made if not decision.allowed), made[0][1].reason)
        rows = [_decision(statement, decision) for statement, decision in made]
        body = {"allowed": allowed, "reason": reason, "estimate": estimate, "estimate_usd": estimate_usd}
        return _json(body | {"budgets": rows}), allowed
    table = pretty(Table(_DECISIONS, [_row(statement, decision) for statement, decision in made]))
    money = [(titled(each.scope), each.money) for each in statements if each.money is not None]
    return "\n".join((table, *_money(money))), allowed


def divided(division: Division, by: str, form: str) -> str:
    """`awf budget breakdown`."""
    shares = {"feature": division.features, "model": division.models, "user": division.users}[by]
    if form == "json":
        return _json(
            {
                "port": division.port,
                "period": division.period,
                "period_start": moment(division.window_start),
                "period_end": moment(division.window_end),
                "by": by,
                "shares": [
                    {
                        by: each.name,
                        "tokens": each.tokens,
                        "calls": each.calls,
                        "cost_usd": each.usd,
                        "unpriced_calls": each.unpriced_calls,
                    }
                    for each in shares
                ],
            }
        )
    rows = [("-" if each.name is None else each.name, *_share(each)) for each in shares]
    whole = Share(
        None,
        sum(each.tokens for each in shares),
        sum(each.calls for each in shares),
        sum(each.usd for each in shares),
        sum(each.unpriced_calls for each in shares),
    )
    return pretty(Table((Column(by), *_SHARES), rows, ("total", *_share(whole))))


def _share(share: Share) -> tuple[str, ...]:
    """Its figures; "-": all of its calls are of models without a price."""
    cost = "-" if share.calls and share.unpriced_calls == share.calls else _usd(share.usd)
    return f"{share.tokens:,}", f"{share.calls:,}", cost, f"{share.unpriced_calls:,}"


def _use(statement: Statement) -> tuple[str, ...]:
    budget = statement.budget
    return (
        titled(statement.scope),
        "enabled" if budget.enabled else "disabled",
        f"{budget.period} {moment(statement.window_start)[:10]}",
        f"{statement.used:,}",
        f"{statement.reserved:,}",
        f"{statement.remaining:,}" if budget.enabled else "unlimited",
        f"{statement.lost:,}",
        f"{budget.soft_cap_tokens:,}",
        f"{budget.hard_cap_tokens:,}",
    )


def _money(found: Sequence[tuple[str, Money]]) -> list[str]:
    """The caps in dollars, and what is not known of them."""
    if not found:
        return []
    rows = [
        (name, *(_usd(each) for each in (money.used, money.reserved, money.remaining, money.lost, money.cap)))
        for name, money in found
    ]
    return [
        pretty(Table(_MONEY, rows)),
        *(
            f"{name}: calls of models without a price: {money.unpriced_calls:,} ({money.unpriced_tokens:,} tokens);"
            " they count as the dearest model of their provider.\n"
            for name, money in found
            if money.unpriced_calls
        ),
    ]


def _usd(amount: float) -> str:
    """Cents; of less than a dollar all that is counted."""
    return f"${amount:,.2f}" if not amount or amount >= 1 else f"${amount:.6f}"


def _row(statement: Statement, decision: Decision) -> tuple[str, ...]:
    budget = statement.budget
    reason = decision.reason or ("soft cap exceeded" if decision.soft_exceeded else None)
    # the other figures of the row are tokens: those of the cap in dollars have a table of their own
    verdict = "allowed" if decision.allowed else "refused" if decision.unit == "tokens" else "refused in dollars"
    return (
        titled(statement.scope),
        f"{verdict}: {reason}" if reason else verdict,
        f"{statement.used:,}",
        f"{statement.reserved:,}",
        f"{statement.remaining:,}" if budget.enabled else "unlimited",
        f"{budget.soft_cap_tokens:,}",
        f"{budget.hard_cap_tokens:,}",
    )


def _decision(statement: Statement, decision: Decision) -> dict[str, Any]:
    budget = statement.budget
    return {
        **_named(statement),
        "allowed": decision.allowed,
        "reason": decision.reason,
        "refused_by": None if decision.allowed else decision.unit,
        "used": statement.used,
        "reserved": statement.reserved,
        "remaining": statement.remaining if budget.enabled else None,
        "soft_cap": budget.soft_cap_tokens,
        "hard_cap": budget.hard_cap_tokens,
        "soft_exceeded": decision.soft_exceeded,
        "money": None if statement.money is None else msgspec.to_builtins(statement.money),
    }


def _facts(statement: Statement) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(statement)
    times = {
        "changed_at": None if statement.changed_at is None else moment(statement.changed_at),
        "window_start": moment(statement.window_start),
        "window_end": moment(statement.window_end),
    }
    unlimited = {} if statement.budget.enabled else {"remaining": None}
    return facts | times | unlimited


def _named(statement: Statement) -> dict[str, str]:
    return {"port": statement.port, "kind": statement.kind, "name": statement.name}


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # cents, and further digits where there are any: a cap may be a millionth of a dollar
        cents, rest = f"{value:,.6f}"[:-4], f"{value:.6f}"[-4:].rstrip("0")
        return cents + rest
    return f"{value:,}" if isinstance(value, int) else str(value)


def _json(body: object) -> str:
    return json.dumps(body, indent=2, ensure_ascii=True) + "\n"

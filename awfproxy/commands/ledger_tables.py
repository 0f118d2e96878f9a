"""What `awf ledger verify` prints."""

from __future__ import annotations

import json
from typing import Any

from awfproxy.commands.comparison import LISTED_MAX, Released, Verified
from awfproxy.core.budgets import dollars
from awfproxy.ledger.budget_desk import moment, titled
from awfproxy.ledger.facts import Release, Window
from awfproxy.ledger.rows import Difference, Row
from awfproxy.report.reading import many
from awfproxy.report.table import Column, Table, pretty

_COLUMNS = (
    Column("difference"),
    Column("request"),
    Column("admitted"),
    Column("port"),
    Column("model"),
    Column("journal", figures=True),
    Column("ledger", figures=True),
    Column("fields"),
)

#: what of a killed process is still to be told from a running one's
_KILLED = (
    "What a killed process had is settled when the service starts the next time: start it and stop it, then release."
)


def verified(found: Verified, freed: Released | None, form: str) -> str:
    """The differences, and what was given back.

    :param freed: None: nothing was tried
    """
    return _json(found, freed) if form == "json" else _pretty(found, freed)


def _pretty(found: Verified, freed: Released | None) -> str:
    parts = []
    if found.differences:
        parts.append(pretty(Table(_COLUMNS, [_cells(each) for each in found.differences])))
    if found.total > len(found.differences):
        parts.append(f"and {found.total - len(found.differences):,} more (listed are {LISTED_MAX:,})\n")
    if found.total:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.counts.items()))
        parts.append(f"{many(found.records, 'record')} read; {counts}.\n")
    else:
        parts.append(f"{many(found.records, 'record')} read; the ledger is what the journal says.\n")
    if freed is not None:
        parts += [
            f"{titled(each.window.scope)}, {each.window.period} from {moment(each.window.start)[:10]}:"
            f" {_amount(each.released, each.window)} lost are released, {_amount(each.shown, each.window)} were used.\n"
            for each in freed.released
        ]
        parts += [
            f"{titled(window.scope)}: not released, as processes hold pieces of it; stop them first. {_KILLED}\n"
            for window in freed.held
        ]
        parts += [
            f"{titled(window.scope)}: {_amount(amount, window)} are reserved, and not lost yet. {_KILLED}\n"
            for window, amount in freed.reserved
        ]
        if not freed.released and not freed.held and not freed.reserved:
            parts.append("Nothing is lost.\n")
    return "".join(parts)


def _amount(amount: int, window: Window) -> str:
    return f"${dollars(amount):,.6f}" if window.measure == "usd" else f"{amount:,} tokens"


def _released(release: Release) -> dict[str, float]:
    if release.window.measure == "usd":
        return {"released_usd": dollars(release.released), "used_usd": dollars(release.shown)}
    return {"released": release.released, "used": release.shown}


def _reserved(amount: int, window: Window) -> dict[str, float]:
    return {"reserved_usd": dollars(amount)} if window.measure == "usd" else {"reserved": amount}


def _cells(difference: Difference) -> tuple[str, ...]:
    row = difference.journal or difference.ledger
    assert row is not None
    return (
        difference.kind,
        difference.request_id,
        moment(row.created_at / 1000),
        row.port,
        row.model,
        _tokens(difference.journal),
        _tokens(difference.ledger),
        ", ".join(difference.fields),
    )


def _tokens(row: Row | None) -> str:
    if row is None:
        return "-"
    return "?" if row.total_tokens is None else f"{row.total_tokens:,}"


def _json(found: Verified, freed: Released | None) -> str:
    body: dict[str, Any] = {
        "since": moment(found.since),
        "until": moment(found.until),
        "records": found.records,
        "counts": found.counts,
        "differences": [_facts(each) for each in found.differences],
    }
    if freed is not None:
        body["released"] = [
            {"budget": titled(each.window.scope), **_released(each)}
            for each in freed.released
        ]
        body["held"] = [titled(window.scope) for window in freed.held]
        body["reserved"] = [
            {"budget": titled(window.scope), **_reserved(amount, window)} for window, amount in freed.reserved
        ]
    return json.dumps(body, indent=2, ensure_ascii=True) + "\n"


def _facts(difference: Difference) -> dict[str, Any]:
    row = difference.journal or difference.ledger
    assert row is not None
    return {
        "kind": difference.kind,
        "request_id": difference.request_id,
        "admitted_at": moment(row.created_at / 1000),
        "port": row.port,
        "model": row.model,
        "fields": {
            name: {
                "journal": getattr(difference.journal, name, None),
                "ledger": getattr(difference.ledger, name, None),
            }
            for name in difference.fields
        },
        "journal_tokens": None if difference.journal is None else difference.journal.total_tokens,
        "ledger_tokens": None if difference.ledger is None else difference.ledger.total_tokens,
    }

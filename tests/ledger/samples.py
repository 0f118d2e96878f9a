"""Rows and windows to test with."""

from typing import Any

from msgspec import structs

from awfproxy.core.budgets import Scope, micro_dollars
from awfproxy.ledger.facts import Held, Holder, Window
from awfproxy.ledger.rows import Row

#: 2026-03-01T00:00:00Z, and a month later
MARCH, APRIL = 1_772_323_200, 1_775_001_600
#: some moment within
NOW = MARCH + 1000.0
#: when leases of the tests expire
LATER = NOW + 30

PORT = Window(Scope("openai"), "month", MARCH, APRIL)
A, B, C = Holder("host-a", 0), Holder("host-a", 1), Holder("host-b", 0)


def row(number: int, total: int = 10, **more: Any) -> Row:
    """Row ``number`` of a call admitted that many seconds after the start of the window; its cost is what counts."""
    cost = more.get("cost_usd")
    made = Row(
        request_id=f"r{number:06d}",
        instance="host-a",
        port="openai",
        created_at=(MARCH + number) * 1000,
        provider="openai",
        model="gpt-5",
        usage_source="reported",
        user=None,
        feature="chat",
        input_tokens=total - total // 4,
        output_tokens=total // 4,
        total_tokens=total,
        cache_read_tokens=0,
        cache_write_tokens=0,
        include_cache=True,
        cost_usd=None,
        counted_usd=None if cost is None else micro_dollars(cost),
    )
    return structs.replace(made, **more)


def held(granted: int = 0, spent: int = 0, reserved: int = 0, window: Window = PORT) -> Held:
    return Held(window, granted, spent, reserved)

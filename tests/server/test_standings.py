"""How budgets are shown before anybody knows what was used of them."""

from __future__ import annotations

import msgspec
from twisted.internet.task import Clock

from awfproxy.core.budgets import Budget
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.server.soft_caps import SoftCaps
from awfproxy.server.standings import Standings, in_dollars
from tests.server.ledger_stage import PORT, START, Process
from tests.server.stage import Stage
from tests.server.test_allowance import turn


def test_what_nobody_knows_is_not_0() -> None:
    """Before the ledger has told of the window caps are shown and amounts are not; afterwards both are."""
    clock = Clock()
    clock.advance(START + 3600)
    of_port = Budget(enabled=True, period="day", soft_cap_tokens=400, hard_cap_tokens=500, hard_cap_usd=2.0)
    one = Process(MemoryLedger(), clock, {PORT: of_port}, read=False)
    settings = msgspec.structs.replace(Stage().port.settings, name=PORT.port)
    standings = Standings(settings, one.allowances.of, clock.seconds, SoftCaps(lambda allowance, standing: None))
    turn(clock, 3)
    tokens, usd = (found["port", ""] for found in standings.look())
    assert (tokens.limit, tokens.soft_cap) == (500, 400)
    assert (tokens.used, tokens.reserved, tokens.remaining) == (None, None, None)
    assert in_dollars(usd) | {"limit": 2.0, "used": None, "reserved": None, "remaining": None} == in_dollars(usd)
    one.mark.at = clock.seconds()
    turn(clock, 10)
    tokens, usd = (found["port", ""] for found in standings.look())
    assert (tokens.used, tokens.reserved, tokens.remaining) == (0, 0, 500)
    assert (in_dollars(usd)["used"], in_dollars(usd)["remaining"]) == (0.0, 2.0)

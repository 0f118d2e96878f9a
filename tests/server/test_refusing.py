"""The figures of refusals: what calls have reserved is told apart from what other processes only have at hand."""

from __future__ import annotations

from twisted.internet.task import Clock

from awfproxy.ledger.memory import MemoryLedger
from awfproxy.server.demand import Demand
from awfproxy.server.refusing import Refusing
from awfproxy.server.tallies import PortTallies
from tests.server.ledger_stage import PORT, START, Process, budget
from tests.server.test_allowance import taken, turn


def test_pieces_of_an_idle_process_are_lent_and_not_reserved() -> None:
    """They stand in the way for a moment, so the code is `cap-reserved`; but no call runs that has reserved anything."""
    clock = Clock()
    clock.advance(START + 3600)
    ledger = MemoryLedger()
    idle, busy = (Process(ledger, clock, {PORT: budget(1000)}) for _ in range(2))
    (there,), (here,) = (each.allowances.of("p", None, "chat") for each in (idle, busy))
    reservation = taken(there, clock, 100)
    assert reservation is not None
    there.settle(reservation, 0)
    assert taken(here, clock, 1) is not None
    turn(clock, 3)
    standing = here.standing(clock.seconds())
    assert (standing.used, standing.reserved) == (0, 1)
    assert standing.lent > 0
    refusing = Refusing(lambda demand: (here,), lambda allowance: 0, PortTallies("p", "openai"), clock.seconds)
    demand = Demand(None, "chat", None, None, None, 0)
    refusal = refusing.exceeded(here, demand, 999 - standing.lent + 1)
    assert refusal.code == "cap-reserved"
    details = refusal.details
    assert details is not None
    assert (details["reserved_tokens"], details["lent_tokens"]) == (1, standing.lent)
    assert refusal.message == (
        "The token budget of this port has 1000 tokens left today, and calls that run have reserved 1 tokens; other"
        f" processes hold {standing.lent} tokens."
    )

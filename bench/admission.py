"""What deciding about a call costs on one core, and settling it: rates, budgets, both; nothing of it waits.

    python -m bench.admission

Medians in µs.  Budgets are leased ones, as they are in service, with enough at hand; the request is a short one, and a
strict budget looks into all of it for its upper bound.  Gates nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from twisted.internet.task import Clock

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.counts import Usage
from awfproxy.core.holdings import WORDS, Holding
from awfproxy.core.kinds import CHAT
from awfproxy.core.rates import RateLimits, Rates
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Port, Upstream
from awfproxy.core.settlement import Spent
from awfproxy.ledger.facts import Window
from awfproxy.prices.charges import Charges
from awfproxy.server.admission import Admission
from awfproxy.server.admitted import Admitted
from awfproxy.server.demand import Demand
from awfproxy.server.lease import Lease
from awfproxy.server.leased_allowance import LeasedAllowance
from awfproxy.server.named_allowances import NamedAllowances
from awfproxy.server.tallies import PortTallies
from awfproxy.server.tariff import Tariff

CALLS = 20_000
#: µs of a decision that are aimed at
MOST = 5.0
PLENTY = 10**14
BODY = b'{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"How many ships?"}]}'
MODEL = "gpt-4o-mini"
SPENT = Spent(usage=Usage(12, 34, 0, 0, None, True, {}), final=True, sent=True, status=200, model=MODEL)
LIMITS = RateLimits(
    requests_per_minute=PLENTY, requests_per_hour=PLENTY, bytes_per_minute=PLENTY, tokens_per_minute=PLENTY,
    concurrent_requests=PLENTY,
)  # fmt: skip
SCOPES = (Scope("main"), Scope("main", "feature", "chat"), Scope("main", "user", "alice"))


class Lender:
    """Has lent plenty."""

    unavailable = False
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def open(self, window: Window, owner: LeasedAllowance) -> Lease:
        holding = Holding(memoryview(bytearray(8 * WORDS)).cast("q"), 0, window.start)
        holding.granted = PLENTY
        lease = Lease(window, holding, owner, 0, False)
        lease.known, lease.until = True, float("inf")
        return lease


def admission(limits: RateLimits, mode: Any, count: int) -> Admission:
    """A port with so many budgets; ``mode`` "dollars": learned, with a cap in dollars too."""
    usd = 1e8 if mode == "dollars" else 0.0
    budget = Budget(
        enabled=True, mode="strict" if mode == "strict" else "learned", hard_cap_tokens=PLENTY, soft_cap_tokens=PLENTY,
        hard_cap_usd=usd,
    )  # fmt: skip
    lender: Any = Lender()
    allowances = tuple(
        LeasedAllowance(scope, budget, lender, "tokens", LeasedAllowance(scope, budget, lender, "usd"))
        for scope in SCOPES[:count]
    )
    named = NamedAllowances()
    for each in allowances:
        named.name(each.scope, each)
    tariff = Tariff(Clock(), time.time)
    charges = Charges(None, time.monotonic)
    tariff.look_up = lambda provider, model, at, found: found(charges.rate(provider, model, at))
    tariff.ask("openai", MODEL, lambda rate: None)
    client = Client(name="alice", key=Secret("alice-0123456789ab"), user="alice")
    port = Port(
        name="main", listen="", provider="openai", upstream=Upstream("http", "u", 80), limits=limits, clients=(client,)
    )
    return Admission(
        port, named.of, lambda port, user, limits: Rates(limits),
        PortTallies("main", "openai"), tariff, clock=Clock(), monotonic=time.monotonic, wall=time.time, wait=2.0,
        soft_cap_passed=lambda allowance, standing: None,
    )  # fmt: skip


def measure(port: Admission) -> tuple[float, float]:
    """µs to decide and to settle."""
    asked, settled = [], []
    clock: Callable[[], float] = time.perf_counter
    for _ in range(CALLS):
        begin = clock()
        demand = Demand("alice", "chat", CHAT, MODEL, BODY, len(BODY), len(BODY), 100)
        decision = port.ask(demand, print)
        decided = clock()
        assert isinstance(decision, Admitted)
        decision.settle(SPENT)
        asked.append(decided - begin)
        settled.append(clock() - decided)
    return median(asked) * 1e6, median(settled) * 1e6


def main() -> None:
    none = RateLimits()
    print(f"{'':34} {'decide':>7} {'settle':>7}  target <= {MOST:g}")
    for name, limits, mode, count in (
        ("no limits, no budgets", none, None, 0),
        ("five limits", LIMITS, None, 0),
        ("a learned budget", none, "learned", 1),
        ("five limits, a learned budget", LIMITS, "learned", 1),
        ("five limits, three learned budgets", LIMITS, "learned", 3),
        ("a learned budget, dollars too", none, "dollars", 1),
        ("a strict budget", none, "strict", 1),
        ("five limits, three strict budgets", LIMITS, "strict", 3),
    ):
        decided, settled = measure(admission(limits, mode, count))
        print(f"{name:34} {decided:7.1f} {settled:7.1f}  {'met' if round(decided, 1) <= MOST else 'MISSED'}")


if __name__ == "__main__":
    main()

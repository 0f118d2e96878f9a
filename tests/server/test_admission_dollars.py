"""Caps in dollars: what is reserved, what is charged, and what happens where a price is not known yet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from awfproxy.core.budgets import TOKENS_MAX, USD_UNIT, Budget, Scope, cap_of
from awfproxy.core.counts import Usage
from awfproxy.core.kinds import CHAT
from awfproxy.core.learned import MODELS_MAX
from awfproxy.core.settlement import Spent
from awfproxy.server.admission import LEDGER_WAIT
from awfproxy.server.allowance import Standing
from awfproxy.server.allowance_memory import MemoryAllowance
from awfproxy.server.demand import Estimates
from awfproxy.server.tariff import KEPT_MAX, _Kept
from tests.server.test_admission import Door, demand
from tests.server.test_tariff import Thread

#: dollars for a million tokens of input and of output
PRICES = {"small": (1.0, 4.0), "large": (10.0, 50.0)}
MAIN = Scope("main")


def budget(usd: float) -> Budget:
    """A cap in dollars alone."""
    return Budget(enabled=True, soft_cap_tokens=TOKENS_MAX, hard_cap_tokens=TOKENS_MAX, hard_cap_usd=usd)


class Till(Door):
    """A port with budgets in dollars, and a thread that finds prices when the test says so."""

    def __init__(self, budgets: dict[Scope, Budget], *, known: bool = True, **options: Any) -> None:
        super().__init__(budgets, **options)
        self.thread = Thread(**PRICES)
        self.tariff.look_up = self.thread.look_up
        if known:
            for model in PRICES:
                self.tariff.ask("openai", model, lambda rate: None)
            self.thread.answer()

    def call(self, model: str = "small", **options: Any) -> None:
        self.ask(demand(kind=CHAT, model=model, limit=100, **options))

    def end(self, spent: Spent, number: int = 0) -> None:
        self.admitted.pop(number)[0].settle(spent)

    def usd(self, scope: Scope = MAIN) -> MemoryAllowance:
        """Its cap in dollars."""
        found = self.budgets.all[scope].dollars
        assert found is not None
        return found

    def stands(self, scope: Scope = MAIN) -> Standing:
        return self.usd(scope).standing(0.0)


def spent(given_: int, made: int, model: str | None = "small", **more: Any) -> Spent:
    """A call that ended well."""
    usage = Usage(given_, made, None, None, None, True, {})
    told: dict[str, Any] = {"usage": usage, "final": True, "sent": True, "status": 200, "model": model}
    return Spent(**(told | more))


def test_the_first_call_of_a_model_waits_for_its_price() -> None:
    """And the next one does not; what is reserved is its tokens at that price, to a bin."""
    till = Till({MAIN: budget(1.0)}, known=False, users=())
    till.call(size=35_000)
    assert (till.admitted, len(till.waiting)) == ([], 1)
    assert till.thread.answer() == ["small"]
    till.clock.advance(0)
    assert len(till.admitted) == 1
    # 10,000 of input at $1 and 100 of output at $4
    assert till.stands().reserved == pytest.approx(10_400, rel=0.05)
    till.call(size=35_000)
    assert len(till.admitted) == 2


def test_it_is_charged_what_it_cost() -> None:
    """In millionths; begun ones are whole."""
    till = Till({MAIN: budget(1.0)}, users=())
    till.call()
    till.end(spent(1_000, 250))
    till.call()
    till.end(spent(1, 0, "large"))
    standing = till.stands()
    assert (standing.used, standing.reserved) == (2_000 + 10, 0)


@pytest.mark.parametrize(
    ("how", "charged"),
    [
        ({"final": False}, 2_000),
        ({"final": False, "delivered": 5_000, "delivered_output": 1_000}, 8_000),
        ({"usage": None, "final": False, "delivered": 5_000, "delivered_output": 1_000}, 8_000),
        ({"usage": None, "final": False, "status": 500}, 0),
        ({"usage": None, "final": False, "sent": False, "status": None}, 0),
        ({"usage": None, "final": False, "only_reported": True}, 0),
    ],
)
def test_without_final_usage(how: dict[str, Any], charged: int) -> None:
    """The greater of what was reported so far and the estimate of what was delivered; nothing where nothing was used."""
    till = Till({MAIN: budget(1.0)}, users=())
    till.call()
    till.end(spent(1_000, 250, **how))
    assert (till.stands().used, till.stands().reserved) == (charged, 0)


def test_where_nothing_can_be_estimated_the_reservation_is_charged() -> None:
    """An answer that could not be decoded."""
    till = Till({MAIN: budget(1.0)}, users=())
    till.call()
    reserved = till.stands().reserved
    till.end(spent(0, 0, usage=None, final=False, delivered=None))
    assert till.stands().used == reserved > 0


def test_a_model_that_nobody_asked_for() -> None:
    """Its price is looked up when it answers; the reservation stands until then."""
    till = Till({MAIN: budget(1.0)}, users=())
    till.call("small")
    till.end(spent(1_000, 0, "large-2026"))
    assert till.stands().reserved > 0
    assert till.thread.answer() == ["large-2026"]
    # without a price it counts as the dearest
    assert (till.stands().used, till.stands().reserved) == (10_000, 0)


def test_its_price_cannot_be_found() -> None:
    """Then the price of the model that was asked for is charged."""
    till = Till({MAIN: budget(1.0)}, users=())
    till.call("small")
    till.thread.unreachable = True
    till.end(spent(1_000, 0, "large-2026"))
    till.thread.answer()
    assert (till.stands().used, till.stands().reserved) == (1_000, 0)


def test_no_price_can_be_found_at_all() -> None:
    """The call is over, and charged when the ledger is back; meanwhile its reservation stands."""
    till = Till({MAIN: budget(1.0)}, users=())
    till.call("small")
    till.tariff._known.clear()
    till.thread.unreachable = True
    till.end(spent(1_000, 0, "large"))
    till.thread.answer()
    assert (till.stands().used, till.stands().reserved > 0) == (0, True)
    till.tariff.retry()
    till.thread.answer()
    assert till.stands().reserved > 0
    till.thread.unreachable = False
    till.tariff.retry()
    till.thread.answer()
    assert (till.stands().used, till.stands().reserved) == (10_000, 0)


def test_too_many_wait_for_the_ledger() -> None:
    """Those beyond are charged what was reserved for them."""
    till = Till({MAIN: budget(1.0)}, users=())
    till.call("small")
    reserved = till.stands().reserved
    till.tariff._known.clear()
    till.tariff._kept = [_Kept("openai", "m", "m", lambda rate: None)] * KEPT_MAX
    till.thread.unreachable = True
    till.end(spent(1_000, 0, "large"))
    till.thread.answer()
    assert (till.stands().used, till.stands().reserved) == (reserved, 0)


def test_a_model_without_a_price_counts_as_the_dearest() -> None:
    """Reserved and charged."""
    till = Till({MAIN: budget(1.0)}, users=())
    till.call("new")
    till.thread.answer()
    till.clock.advance(0)
    assert till.stands().reserved >= 100 * 50
    till.end(spent(1_000, 0, "new"))
    assert till.stands().used == 10_000


def test_what_calls_cost_is_learned() -> None:
    """Not what their tokens would cost: most of these are read from the cache."""
    till = Till({MAIN: budget(10_000.0)}, users=())
    usage = Usage(100_000, 10, 95_000, 0, None, True, {})
    before = 0
    for number in range(60):
        till.call(size=350_000)
        before = till.stands().reserved if number == 0 else before
        till.end(spent(0, 0, usage=usage))
    till.call(size=350_000)
    assert before == pytest.approx(100_400, rel=0.05)
    assert till.stands().reserved == pytest.approx(5_000 + 9_500 + 40, rel=0.05)


def test_refusals_say_it_in_dollars() -> None:
    """Each of the three, with how the cap in tokens stands."""
    cap = Budget(enabled=True, soft_cap_tokens=0, hard_cap_tokens=10**9, hard_cap_usd=0.01)
    till = Till({MAIN: cap}, users=())
    till.call(size=350_000)
    (refusal,) = till.refused
    assert (refusal.code, refusal.retryable) == ("estimated-exceeds-cap", False)
    till.call()
    till.end(spent(9_000, 100, final=False))
    till.call(size=280)
    till.call(size=280)
    till.clock.advance(2.1)
    assert till.refused[-1].code == "cap-reserved"
    till.end(spent(0, 150, final=False))
    till.call()
    refusal = till.refused[-1]
    assert (refusal.code, refusal.retryable) == ("hard-cap-exceeded", False)
    details = refusal.details or {}
    assert (details["used_usd"], details["reserved_usd"], details["cap_usd"]) == (0.01, 0.0, 0.01)
    assert (details["used_tokens"], details["cap_tokens"]) == (9_250, 10**9)
    assert "$0.01 of $0.01" in refusal.message


def test_both_caps_hold() -> None:
    """A call that the dollars let in and the tokens do not is refused in tokens, and leaves nothing reserved."""
    cap = Budget(enabled=True, soft_cap_tokens=0, hard_cap_tokens=50, hard_cap_usd=100.0)
    till = Till({MAIN: cap}, users=())
    till.call()
    (refusal,) = till.refused
    assert (refusal.code, refusal.details and "used_usd" in refusal.details) == ("estimated-exceeds-cap", False)
    assert till.stands().reserved == 0


def test_what_is_used_up_is_refused_without_a_price() -> None:
    """Whatever the model costs; nobody waits."""
    till = Till({MAIN: budget(0.001)}, users=())
    till.usd().used_elsewhere = 1_000
    till.call("never seen")
    assert [each.code for each in till.refused] == ["hard-cap-exceeded"]
    assert till.thread.asked == []


@pytest.mark.parametrize("answered", [True, False])
def test_a_price_that_does_not_come(answered: bool) -> None:
    """The ledger is out of reach, or silent: the port's `on_ledger_loss` decides, and denies by itself."""
    till = Till({MAIN: budget(1.0)}, known=False, users=())
    till.thread.unreachable = True
    till.call()
    if answered:
        till.thread.answer()
        till.clock.advance(0)
    else:
        till.clock.advance(LEDGER_WAIT)
        till.clock.advance(0)
    assert [each.code for each in till.refused] == ["ledger_unavailable"]
    till.thread.answer()  # it comes too late, and nothing happens
    assert (till.admitted, till.clock.getDelayedCalls()) == ([], [])


def test_a_port_that_goes_on_without_prices() -> None:
    """Lets calls in without cover, and charges what they cost once the price is found; not if all is used up."""
    till = Till({MAIN: budget(1.0)}, known=False, users=(), on_ledger_loss="allow")
    till.thread.unreachable = True
    till.call()
    till.thread.answer()
    till.clock.advance(0)
    assert len(till.admitted) == 1
    assert till.stands().reserved == 0
    till.thread.unreachable = False
    till.end(spent(1_000, 250))
    till.thread.answer()
    assert till.stands().used == 2_000
    till.usd().used_elsewhere = USD_UNIT
    till.call("another")
    assert [each.code for each in till.refused] == ["hard-cap-exceeded"]


def test_a_client_that_leaves_while_its_price_is_looked_up() -> None:
    """Holds nothing then, and nobody is told."""
    till = Till({MAIN: budget(1.0)}, known=False, users=())
    till.call()
    till.waiting[0].cancel()
    till.thread.answer()
    till.clock.advance(5)
    assert (till.admitted, till.refused) == ([], [])
    assert till.stands().reserved == 0


def test_without_a_cap_in_dollars_no_price_is_asked_for() -> None:
    """Neither when a call comes nor when it ends."""
    till = Till({MAIN: Budget(enabled=True)}, known=False, users=())
    till.call()
    till.end(spent(10, 10))
    assert till.thread.asked == []
    assert till.stands().used == 0


def test_a_cap_that_is_switched_on_while_a_call_runs() -> None:
    """The call is charged when it ends, and its price is looked up then."""
    till = Till({MAIN: budget(0.0)}, known=False, users=())
    till.call()
    usd = till.usd()
    usd.cap = structs.replace(usd.cap, enabled=True, hard=USD_UNIT)
    till.end(spent(1_000, 250))
    till.thread.answer()
    assert (till.stands().used, till.stands().reserved) == (2_000, 0)


def test_work_in_the_background_is_charged_when_it_is_shown_finished() -> None:
    """By the answer that shows it, which nothing was reserved for."""
    till = Till({MAIN: budget(1.0)}, users=())
    till.admission.charge_late(demand(model=None), spent(1_000, 250, final=False, late=True))
    assert (till.stands().used, till.stands().reserved) == (2_000, 0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(["small", "large", "new"]), st.integers(50, 50_000)),
        st.tuples(st.just("end"), st.integers(0, 30), st.integers(0, 20_000), st.integers(0, 3_000), st.booleans()),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("prices")),
        st.tuples(st.just("wait"), st.floats(0, 3)),
    ),
    max_size=60,
)


@given(steps)
def test_the_cap_is_passed_by_no_more_than_running_calls_use_beyond_their_reservations(story: list[Any]) -> None:
    """Whatever comes in whatever order; and when all has ended nothing is reserved, and what is used is what it cost."""
    cap = 200_000
    till = Till({MAIN: budget(cap / USD_UNIT)}, known=False, users=())
    #: what those let in have reserved, in the order of `Till.admitted`
    reserved: list[int] = []
    beyond = cost = 0

    def look() -> None:
        """Calls that were let in since the last look: all that is used and reserved fits at that moment."""
        nonlocal beyond
        if len(reserved) < len(till.admitted):
            for admitted, _ in till.admitted[len(reserved):]:
                reserved.append(admitted._usd[0][1])
            standing = till.stands()
            assert standing.used + standing.reserved <= cap
            beyond = 0

    def end(number: int, given_: int, made: int, final: bool) -> None:
        nonlocal beyond, cost
        usd = given_ + 4 * made
        till.end(spent(given_, made, final=final), number)
        beyond += max(0, usd - reserved.pop(number))
        cost += usd

    def prices() -> None:
        till.thread.answer()
        till.clock.advance(0)

    for step in story:
        if step[0] == "ask":
            till.call(step[1], size=step[2])
        elif step[0] == "end" and till.admitted:
            end(step[1] % len(till.admitted), *step[2:])
        elif step[0] == "leave" and (waiting := [each for each in till.waiting if not each.over]):
            waiting[step[1] % len(waiting)].cancel()
        elif step[0] == "prices":
            prices()
        elif step[0] == "wait":
            till.clock.advance(step[1])
        look()
        prices_known = till.tariff.known("openai", "small") is not None
        assert till.stands().used <= cap + beyond or not prices_known
    while till.admitted or till.thread.asked or till.clock.getDelayedCalls():
        while till.admitted:
            end(0, 1, 1, True)
        prices()
        till.clock.advance(3)
        look()
    assert (till.stands().used, till.stands().reserved) == (cost, 0)


def test_models_beyond_the_table_have_a_price_of_their_own() -> None:
    """64 cheap models were learned: the dear one after them is reserved at its own price, also when it has ended."""
    till = Till({MAIN: budget(1.0)}, users=())
    small, large = (till.tariff.known("openai", name) for name in PRICES)
    assert small and large
    honest = Estimates().usd(demand(kind=CHAT, model="large", size=35_000, limit=100), large)
    crowded = Estimates()
    for number in range(MODELS_MAX + 1):
        made_up = demand(kind=CHAT, model=f"m{number}", size=35_000, limit=100)
        crowded.usd(made_up, small)
        crowded.learn_usd(made_up, small, 10, 10)
    dear = demand(kind=CHAT, model="large", size=35_000, limit=100)
    assert crowded.usd(dear, large) == honest
    crowded.learn_usd(dear, large, 10, 10)
    assert crowded.usd(dear, large) == honest


@pytest.mark.parametrize("on_ledger_loss", ["deny", "allow"])
def test_a_price_that_had_to_make_way(on_ledger_loss: Any) -> None:
    """It was found, and is gone when it is asked for: the port's rule decides, and the refusal is counted."""
    till = Till({MAIN: budget(1.0)}, known=False, users=(), on_ledger_loss=on_ledger_loss)
    till.tariff.known = lambda provider, model: None  # type: ignore[method-assign]
    till.call()
    till.thread.answer()
    till.clock.advance(0)
    denied = on_ledger_loss == "deny"
    assert [each.code for each in till.refused] == ["ledger_unavailable"] * denied
    assert len(till.admitted) == (not denied)
    assert till.tally.budget_decisions.get(("port", "ledger-unavailable"), 0) == denied


def test_a_cap_in_dollars_that_is_switched_on_while_a_call_waits() -> None:
    """It waits for the price of its model then."""
    cap = Budget(enabled=True, hard_cap_tokens=200_000, soft_cap_tokens=0)
    till = Till({MAIN: cap}, known=False, users=())
    tokens = till.budgets.all[MAIN]
    tokens.reserved_elsewhere = 199_990
    till.call(size=35_000)
    assert till.waiting and not till.thread.asked
    tokens.budget = structs.replace(cap, hard_cap_usd=1.0)
    till.usd().budget, till.usd().cap = tokens.budget, cap_of(tokens.budget, "usd")
    tokens.reserved_elsewhere = 0
    tokens.changed()
    assert till.thread.answer() == ["small"]
    till.clock.advance(0)
    assert len(till.admitted) == 1
    assert till.stands().reserved == pytest.approx(10_400, rel=0.05)

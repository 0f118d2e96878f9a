"""Decisions about calls: rates and budgets together, in whatever order calls come, wait, leave and end."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from twisted.internet.task import Clock

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.counts import Usage
from awfproxy.core.kinds import CHAT, EMBEDDINGS, Kind
from awfproxy.core.rates import RateLimits, Rates
from awfproxy.core.refusals import Refusal
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Feature, Port, PortBudget, Upstream
from awfproxy.core.settlement import Spent
from awfproxy.server.admission import Admission
from awfproxy.server.admitted import Admitted, Waiting
from awfproxy.server.allowance_memory import MemoryAllowances
from awfproxy.server.demand import Demand
from awfproxy.server.tallies import PortTallies
from awfproxy.server.tariff import Tariff
from tests.conftest import LoggedFailures

USERS = ("alice", "bob", "carol")
FEATURES = ("review", "triage")
CAPS = {
    Scope("main"): 1_000,
    **{Scope("main", "user", user): 500 for user in USERS},
    **{Scope("main", "feature", feature): 700 for feature in FEATURES},
}
#: what an embedding of so many bytes may use beyond them, when it is strict
BEYOND = 512


class Door:
    """A port's admission, and who came to it."""

    def __init__(
        self,
        budgets: dict[Scope, Budget] | None = None,
        limits: RateLimits = RateLimits(),  # noqa: B008
        users: tuple[str, ...] = USERS,
        on_ledger_loss: Literal["deny", "allow"] = "deny",
    ) -> None:
        self.clock = Clock()
        self.budgets = MemoryAllowances(budgets or {}, self.clock)
        clients = tuple(Client(name=user, key=Secret(f"{user}-0123456789ab"), user=user) for user in users)
        features = tuple(Feature(name=feature) for feature in FEATURES)
        port = Port(
            name="main", listen="", provider="openai", upstream=Upstream("http", "up.test", 80), limits=limits,
            clients=clients, features=features, budget=PortBudget(on_ledger_loss=on_ledger_loss),
        )  # fmt: skip
        self.tally = PortTallies("main", "openai")
        self.tariff = Tariff(self.clock, self.clock.seconds)
        self.admission = Admission(
            port, self.budgets.of, lambda port, user, limits: Rates(limits), self.tally,
            self.tariff, clock=self.clock, monotonic=self.clock.seconds, wall=self.clock.seconds, wait=2.0,
            soft_cap_passed=lambda allowance, standing: None,
        )  # fmt: skip
        self.admitted: list[tuple[Admitted, int]] = []
        self.refused: list[Refusal] = []
        self.waiting: list[Waiting] = []

    def ask(self, demand: Demand) -> None:
        """A call comes."""
        size = demand.size

        def decided(decision: Admitted | Refusal) -> None:
            if isinstance(decision, Admitted):
                self.admitted.append((decision, size))
            else:
                self.refused.append(decision)

        decision = self.admission.ask(demand, decided)
        if isinstance(decision, Waiting):
            self.waiting.append(decision)
        else:
            decided(decision)


def demand(size: int = 50, **options: Any) -> Demand:
    """A call whose upper bound is ``size`` and `BEYOND`."""
    values: dict[str, Any] = {
        "user": None, "feature": "chat", "kind": EMBEDDINGS, "model": "m", "body": b'{"input":"%b"}' % (b"x" * (size - 12)),
        "size": size, "prompt": size,
    }  # fmt: skip
    return Demand(**(values | options))


def strict(cap: int) -> Budget:
    """A strict budget."""
    return Budget(enabled=True, mode="strict", hard_cap_tokens=cap + BEYOND, soft_cap_tokens=cap)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(USERS), st.sampled_from((*FEATURES, "x")), st.integers(20, 400)),
        st.tuples(st.just("end"), st.integers(0, 30), st.booleans(), st.floats(0, 1)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.floats(0, 3)),
    ),
    max_size=60,
)


@given(steps)
def test_no_cap_is_ever_passed_and_nothing_is_left(story: list[Any]) -> None:
    """Over three kinds of budgets at once: used and reserved stay under every cap, a call is in all its budgets or in
    none, and when all have ended nothing is reserved, held or waited for."""
    door = Door({scope: strict(cap) for scope, cap in CAPS.items()})
    every = door.budgets.all.values()

    def end(number: int, reported: bool, part: float) -> None:
        admitted, size = door.admitted.pop(number)
        used = int(part * (size + BEYOND))
        usage = Usage(used, 0, 0, 0, None, True, {})
        admitted.settle(Spent(usage=usage, final=True, sent=True, status=200) if reported else Spent(sent=True))

    for step in story:
        if step[0] == "ask":
            door.ask(demand(step[3], user=step[1], feature=step[2]))
        elif step[0] == "end" and door.admitted:
            end(step[1] % len(door.admitted), step[2], step[3])
        elif step[0] == "leave" and door.waiting:
            door.waiting.pop(step[1] % len(door.waiting)).cancel()
        elif step[0] == "wait":
            door.clock.advance(step[1])
        for allowance in every:
            standing = allowance.standing(0.0)
            assert standing.used + standing.reserved <= standing.cap
    while door.admitted or door.clock.getDelayedCalls():
        while door.admitted:
            end(0, False, 0.0)
        door.clock.advance(3)
    for allowance in every:
        assert allowance.standing(0.0).reserved == 0
        assert not allowance._asked
        line = door.admission._lines.get(allowance)
        assert line is None or (len(line) == 0 and line.held == {})


def test_settling_twice_is_settling_once() -> None:
    """A call that ends while its answer is told."""
    door = Door({Scope("main"): strict(1_000)}, users=())
    door.ask(demand())
    ((admitted, _),) = door.admitted
    for _ in range(2):
        admitted.settle(Spent(sent=True))
    assert door.budgets.all[Scope("main")].standing(0.0).used == 50 + BEYOND


def test_a_call_that_waited_is_counted_when_it_is_let_in() -> None:
    """Not before, and not if it is refused: rates are asked again then."""
    limits = RateLimits(requests_per_minute=2)
    door = Door({Scope("main"): strict(50)}, limits, users=())
    for _ in range(3):
        door.ask(demand())
    assert len(door.waiting) == 2
    door.clock.advance(1)
    for _ in range(2):
        admitted, _ = door.admitted.pop()
        admitted.settle(Spent())
        door.clock.advance(0)
    assert [refusal.code for refusal in door.refused] == ["requests_per_minute"]
    assert door.tally.rate_limited == {("port", "requests_per_minute"): 1}


def test_what_is_learned_is_of_a_model_and_of_what_counts() -> None:
    """Another model's calls say nothing; a budget that counts the cache learns with it."""
    plain, everything = Scope("main"), Scope("main", "feature", "review")
    learned = Budget(enabled=True, hard_cap_tokens=10**9)
    all_counts = Budget(enabled=True, hard_cap_tokens=10**9, count="all")
    door = Door({plain: learned, everything: all_counts}, users=())
    usage = Usage(10, 10, 5_000, 0, None, False, {})
    for _ in range(60):
        door.ask(demand(model="m", feature="review", kind=CHAT))
        door.admitted.pop()[0].settle(Spent(usage=usage, final=True, sent=True, status=200))

    def reserved(model: str) -> tuple[int, int]:
        door.ask(demand(model=model, feature="review", kind=CHAT))
        found = tuple(door.budgets.all[scope].standing(0.0).reserved for scope in (plain, everything))
        door.admitted.pop()[0].settle(Spent())
        return found[0], found[1]

    known, unknown = reserved("m"), reserved("other")
    assert 20 <= known[0] < 30
    assert 5_020 <= known[1] < 5_500
    assert unknown[0] == unknown[1] > 4_000


def test_what_is_no_estimate_does_not_follow_the_size() -> None:
    """An unknown API, and a file: their bytes are not their tokens."""
    door = Door({Scope("main"): Budget(enabled=True, hard_cap_tokens=10**9)}, users=())
    allowance = door.budgets.all[Scope("main")]
    seen = set()
    cases: list[tuple[Kind | None, int | None]] = [(None, 10), (None, 10**7), (CHAT, None)]
    for kind, prompt in cases:
        door.ask(demand(kind=kind, prompt=prompt))
        seen.add(allowance.standing(0.0).reserved)
        door.admitted.pop()[0].settle(Spent())
    assert len(seen) == 1
    assert 0 < seen.pop() < 10_000


def test_one_budget_that_fails_to_settle_leaves_no_other_reserved(logged_failures: LoggedFailures) -> None:
    """A defect in one is loud, and the others let go."""
    strict = Budget(enabled=True, mode="strict", hard_cap_tokens=100_000, soft_cap_tokens=0)
    door = Door({Scope("main"): strict, Scope("main", "user", "alice"): strict})
    door.ask(demand(user="alice"))
    call = door.admitted[0][0]

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    call._held[0][0].settle = broken  # type: ignore[assignment, method-assign]
    call.settle(Spent())
    assert call._held[1][0].standing(0.0).reserved == 0
    assert logged_failures.flush(RuntimeError)


def test_a_waiting_call_is_quoted_again_when_its_budget_becomes_strict() -> None:
    """It was estimated by the learned rule; a strict budget lets it in with its upper bound, or refuses it."""
    body = b'{"model":"gpt-4o","max_tokens":16000,"messages":[]}'
    for elsewhere, wait, held in ((190_000, 3.0, 0), (150_000, 0.0, 16_000)):
        door = Door({Scope("main"): Budget(enabled=True, hard_cap_tokens=200_000, soft_cap_tokens=0)}, users=())
        allowance = door.budgets.all[Scope("main")]
        allowance.reserved_elsewhere = 199_000
        door.ask(demand(kind=CHAT, model="gpt-4o", body=body, limit=16_000))
        assert door.waiting and not door.admitted
        allowance.budget = structs.replace(allowance.budget, mode="strict")
        allowance.reserved_elsewhere = elsewhere
        allowance.changed()
        door.clock.advance(wait)
        door.clock.advance(0)
        assert allowance.standing(0.0).reserved - elsewhere >= held
        assert [admitted.strict for admitted, _ in door.admitted] == [True] * bool(held)
        assert [refusal.code for refusal in door.refused] == ["cap-reserved"] * (not held)


def test_a_waiting_call_without_a_bound_is_refused_when_its_budget_becomes_strict() -> None:
    """As one that comes now; and one whose budget became learned needs less, at the latest when its time is over."""
    door = Door({Scope("main"): Budget(enabled=True, hard_cap_tokens=200_000, soft_cap_tokens=0)}, users=())
    allowance = door.budgets.all[Scope("main")]
    allowance.reserved_elsewhere = 199_000
    door.ask(demand(kind=None))
    allowance.budget = structs.replace(allowance.budget, mode="strict")
    allowance.reserved_elsewhere = 0
    allowance.changed()
    door.clock.advance(0)
    assert [refusal.code for refusal in door.refused] == ["estimate-unbounded"]
    allowance.reserved_elsewhere = 190_000
    body = b'{"model":"gpt-4o","max_tokens":16000,"messages":[]}'
    door.ask(demand(kind=CHAT, model="gpt-4o", body=body, limit=16_000))
    allowance.budget = structs.replace(allowance.budget, mode="learned")
    assert not door.admitted
    door.clock.advance(2.1)
    door.clock.advance(0)
    assert len(door.admitted) == 1

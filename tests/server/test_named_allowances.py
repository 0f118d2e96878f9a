"""Which budgets a call must pass: as they are named now, whatever was asked before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.settings import OTHER_FEATURES
from awfproxy.server.allowance_memory import MemoryAllowance, MemoryAllowances
from awfproxy.server.named_allowances import FOUND_MAX, NamedAllowances

PORTS = ("main", "other")
USERS = ("alice", "bob")
FEATURES = ("chat", OTHER_FEATURES, "search")
SCOPES = (
    *(Scope(port) for port in PORTS),
    *(Scope(port, "user", user) for port in PORTS for user in USERS),
    *(Scope(port, "feature", feature) for port in PORTS for feature in FEATURES),
)
ASKED = [
    (port, user, feature) for port in (*PORTS, "no port") for user in (None, *USERS) for feature in (*FEATURES, "x")
]


def allowance(scope: Scope) -> MemoryAllowance:
    """One that is told from others."""
    return MemoryAllowance(scope, Budget(), MemoryAllowances({}, Clock()))


@given(st.lists(st.tuples(st.sampled_from(("name", "forget", "ask")), st.sampled_from(SCOPES)), max_size=20))
def test_what_was_found_before_hides_nothing(steps: list[tuple[str, Scope]]) -> None:
    """After any steps, with questions between them, all is found as the fake finds it in what is named last."""
    named = NamedAllowances()
    plain = MemoryAllowances({}, Clock())
    for step, scope in steps:
        if step == "name":
            plain.all[scope] = allowance(scope)
            named.name(scope, plain.all[scope])
        elif step == "forget":
            plain.all.pop(scope, None)
            named.forget(scope)
        else:
            named.of(scope.port, "alice", scope.name)
    assert [named.of(*asked) for asked in ASKED] == [plain.of(*asked) for asked in ASKED]


def test_made_up_features_take_no_more_memory() -> None:
    """A client that names a feature with every call is answered, and what is remembered stays bounded."""
    named = NamedAllowances()
    others = allowance(Scope("main", "feature", OTHER_FEATURES))
    named.name(others.scope, others)
    for number in range(3 * FOUND_MAX):
        assert named.of("main", None, f"made up {number}") == (others,)
        assert len(named._found) <= FOUND_MAX

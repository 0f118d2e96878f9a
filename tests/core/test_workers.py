"""Who serves which sockets, and when a dead worker is started again."""

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.workers import (
    RESTART_FIRST,
    RESTART_LONGEST,
    RESTART_WINDOW,
    RESTARTS_AT_ONCE,
    restart_delay,
    serving,
)


@given(workers=st.integers(1, 12), data=st.data())
def test_every_socket_has_one_server_while_anybody_runs(workers: int, data: st.DataObject) -> None:
    """Whoever is dead: each slot is served by exactly one, a living one by itself; who is in its first start by none."""
    slots = st.integers(0, workers - 1)
    ready = data.draw(st.sets(slots))
    starting = data.draw(st.sets(slots)) - ready
    served = serving(workers, ready, starting)
    assert set(served) == ready
    assert all(slot in served[slot] for slot in ready)
    every = sorted(slot for slots in served.values() for slot in slots)
    assert every == ([slot for slot in range(workers) if slot not in starting] if ready else [])


def test_a_dead_ones_sockets_go_to_the_next() -> None:
    """And to the one after it, if that is dead too."""
    assert serving(4, {0, 1, 2, 3}, ()) == {0: [0], 1: [1], 2: [2], 3: [3]}
    assert serving(4, {0, 2, 3}, ()) == {0: [0], 2: [1, 2], 3: [3]}
    assert serving(4, {0}, ()) == {0: [0, 1, 2, 3]}


@given(count=st.integers(1, 40))
def test_restarts_wait_longer_and_longer(count: int) -> None:
    """The first few at once, then twice as long each time, to a bound."""
    delay = restart_delay([100.0] * count, 100.0)
    if count <= RESTARTS_AT_ONCE:
        assert delay == 0
    else:
        assert delay == min(RESTART_FIRST * 2 ** (count - RESTARTS_AT_ONCE - 1), RESTART_LONGEST)
    assert delay <= restart_delay([100.0] * (count + 1), 100.0) <= RESTART_LONGEST


def test_old_deaths_are_forgiven() -> None:
    """A worker that dies once an hour is started again at once."""
    deaths = [100.0] * 30 + [100.0 + RESTART_WINDOW]
    assert restart_delay(deaths, 100.0 + RESTART_WINDOW) == 0

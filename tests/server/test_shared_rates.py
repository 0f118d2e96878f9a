"""Rate limits over several workers: one area of memory, one writer a page."""

from __future__ import annotations

import os

import pytest

from awfproxy.core.rates import RateLimits, RateRefusal
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Database, Port, Service, Settings, Upstream
from awfproxy.server.shared_memory import Area
from awfproxy.server.shared_rates import RATES, forget_worker, parties, rates_bytes, shared_rates

LIMITS = RateLimits(requests_per_minute=10, concurrent_requests=4)


def settings(*ports: Port) -> Settings:
    """Two workers that serve these ports."""
    service = Service(log_dir="", state_dir="", admin="", ledger=Database("sqlite:////l.db"), workers=2)
    return Settings(service=service, ports=ports, source="test")


def port(name: str, limits: RateLimits = RateLimits(), *clients: Client) -> Port:  # noqa: B008
    """A port."""
    upstream = Upstream("http", "up.test", 80)
    return Port(name=name, listen="tcp:0", provider="openai", upstream=upstream, limits=limits, clients=clients)


ALICE = Client(name="a", key=Secret("alice-key-0123456789"), user="alice", limits=LIMITS)
BOB = Client(name="b", key=Secret("bob-key-0123456789ab"), user="bob")
SETTINGS = settings(port("free"), port("one", LIMITS, ALICE, BOB), port("two", LIMITS))
PARTIES = parties(SETTINGS)


@pytest.fixture
def area() -> Area:
    """Memory for the counters."""
    return Area(RATES, rates_bytes(len(PARTIES), 2))


def test_what_one_worker_counts_the_other_sees(area: Area) -> None:
    """And a port, a user and another port are apart."""
    mine, others = shared_rates(area, PARTIES, 2, 0), shared_rates(area, PARTIES, 2, 1)
    one, same = mine("one", None, LIMITS), others("one", None, LIMITS)
    for _ in range(3):
        stamp = one.ask(1000.0, 1, 0)
        assert isinstance(stamp, int)
        one.settle(stamp, 0)
    one.ask(1000.0, 1, 0)
    assert same.remaining(1000.0) == {"requests_per_minute": 6, "concurrent_requests": 3}
    for party in (others("one", "alice", LIMITS), others("two", None, LIMITS)):
        assert party.remaining(1000.0)["requests_per_minute"] == 10


def test_a_dead_workers_calls_run_no_more(area: Area) -> None:
    """What it had let in still counts in the minute."""
    one = shared_rates(area, PARTIES, 2, 0)("one", None, LIMITS)
    for _ in range(4):
        one.ask(1000.0, 1, 0)
    other = shared_rates(area, PARTIES, 2, 1)("one", None, LIMITS)
    assert isinstance(other.ask(1000.0, 1, 0), RateRefusal)
    forget_worker(area, len(PARTIES), 2, 0)
    assert other.remaining(1000.0) == {"requests_per_minute": 6, "concurrent_requests": 4}


def test_settings_without_limits_have_an_area_too() -> None:
    """Of one page for each worker: the kernel knows no empty ones."""
    nothing = parties(settings(port("free")))
    area = Area(RATES, rates_bytes(len(nothing), 2))
    forget_worker(area, len(nothing), 2, 0)
    area.close()


def test_other_settings_only_add_parties(area: Area) -> None:
    """Who was there keeps the place, and what was counted there; new ones come behind, in memory that has grown."""
    before = shared_rates(area, PARTIES, 2, 0)("two", None, LIMITS)
    before.ask(1000.0, 1, 0)
    changed = settings(port("new", LIMITS), port("two", RateLimits(requests_per_minute=5)))
    more = parties(changed, PARTIES)
    assert more[: len(PARTIES)] == PARTIES and more[len(PARTIES) :] == [("new", None)]
    assert parties(SETTINGS, more) == more, "who comes back has the old place"
    other = Area(RATES, rates_bytes(len(PARTIES), 2), os.dup(area.fd))
    area.grow(rates_bytes(len(more), 2))
    new = shared_rates(area, more, 2, 0)("new", None, LIMITS)
    new.ask(1000.0, 1, 0)
    before.ask(1000.0, 1, 0)
    other.grow(rates_bytes(len(more), 2))
    seen = shared_rates(other, more, 2, 1)
    assert seen("new", None, LIMITS).remaining(1000.0)["requests_per_minute"] == 9
    assert seen("two", None, LIMITS).remaining(1000.0)["requests_per_minute"] == 8

"""Rate limits over several workers: one area of memory, one writer a page."""

from __future__ import annotations

import pytest

from awfproxy.core.rates import RateLimits, RateRefusal
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Database, Port, Service, Settings, Upstream
from awfproxy.server.shared_memory import Area
from awfproxy.server.shared_rates import RATES, forget_worker, rates_bytes, shared_rates

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


@pytest.fixture
def area() -> Area:
    """Memory for the counters."""
    return Area(RATES, rates_bytes(SETTINGS))


def test_what_one_worker_counts_the_other_sees(area: Area) -> None:
    """And a port, a user and another port are apart."""
    mine, others = shared_rates(area, SETTINGS, 0), shared_rates(area, SETTINGS, 1)
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
    one = shared_rates(area, SETTINGS, 0)("one", None, LIMITS)
    for _ in range(4):
        one.ask(1000.0, 1, 0)
    other = shared_rates(area, SETTINGS, 1)("one", None, LIMITS)
    assert isinstance(other.ask(1000.0, 1, 0), RateRefusal)
    forget_worker(area, SETTINGS, 0)
    assert other.remaining(1000.0) == {"requests_per_minute": 6, "concurrent_requests": 4}


def test_settings_without_limits_have_an_area_too() -> None:
    """Of one page for each worker: the kernel knows no empty ones."""
    nothing = settings(port("free"))
    area = Area(RATES, rates_bytes(nothing))
    forget_worker(area, nothing, 0)
    area.close()

"""What calls count in dollar budgets: by their price, by rule, or not yet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.budgets import Charge, micro_dollars
from awfproxy.core.consumption import Consumption
from awfproxy.prices.charges import NAME_MAX, OTHER, RETRY_SECONDS, UNPRICED_MAX, Charges
from awfproxy.prices.price_list import Price, PriceFileError
from tests.prices.lists import FixedList, usage_record

AT = 1_780_000_000.0


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def charges(**prices: tuple[float, float]) -> Charges:
    """Models by name, dollars for a million of input and output."""
    return Charges(None, Clock(), FixedList(prices))


def test_a_price_is_what_counts() -> None:
    """The cost, and its millionths."""
    found = charges(known=(2.0, 8.0)).charge(usage_record(1_000, 500), "known", AT)
    assert found.usd == pytest.approx(0.006)
    assert found.counted == 6_000


def test_a_model_without_a_price_counts_as_the_dearest() -> None:
    """Its cost stays unknown, and its tokens are counted by name."""
    made = charges(cheap=(1.0, 1.0), dear=(10.0, 50.0))
    assert made.charge(usage_record(1_000, 100), "new", AT) == Charge(None, 15_000)
    made.charge(usage_record(5, 1), "new", AT)
    made.charge(usage_record(5, 1), "cheap", AT)
    assert made.unpriced == {("openai", "new"): 1_106}
    rate = made.rate("openai", "new", AT)
    assert rate is not None and rate.unpriced
    assert (rate.input_per_million, rate.output_per_million) == (10_000_000, 50_000_000)


def test_a_price_of_nothing_is_a_price() -> None:
    """Free models count 0, and are not unpriced."""
    made = charges(free=(0.0, 0.0), dear=(10.0, 10.0))
    assert made.charge(usage_record(1_000, 100), "free", AT) == Charge(0.0, 0)
    rate = made.rate("openai", "free", AT)
    assert rate is not None and not rate.unpriced
    assert made.unpriced == {}


def test_of_a_call_without_counts_nothing_is_known() -> None:
    """Nothing counts, and it is not to be priced later."""
    made = charges(known=(2.0, 8.0))
    record = usage_record(0, 0, unknown=["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"])
    assert made.charge(record, "known", AT) == Charge(None, 0)


def test_names_of_models_are_bounded() -> None:
    """A client may send any: long ones are cut, and those beyond the table share a line."""
    made = charges(dear=(1.0, 1.0))
    for number in range(UNPRICED_MAX + 5):
        made.charge(usage_record(10, 0), f"{number}-" + "x" * 1_000, AT)
    assert len(made.unpriced) == UNPRICED_MAX + 1
    assert made.unpriced["openai", OTHER] == 50
    assert max(len(model) for _, model in made.unpriced) == NAME_MAX


def test_without_a_list_nothing_is_priced_yet() -> None:
    """It says why, tries again only after a while, and then all is well."""
    clock, tries = Clock(), []

    def open_list(path: str | None) -> Any:
        tries.append(path)
        if len(tries) < 3:
            raise PriceFileError(["p.toml:1: no price"])
        return FixedList({"known": (2.0, 8.0)})

    made = Charges("p.toml", clock, open_list)
    for _ in range(3):
        assert made.charge(usage_record(1_000, 0), "known", AT) == Charge(None, None)
        assert made.rate("openai", "known", AT) is None
    assert made.trouble is not None and "p.toml:1: no price" in made.trouble
    clock.now += RETRY_SECONDS
    assert made.rate("openai", "known", AT) is None
    clock.now += RETRY_SECONDS
    assert made.charge(usage_record(1_000, 0), "known", AT).counted == 2_000
    assert made.trouble is None
    assert tries == ["p.toml"] * 3


def test_a_defect_in_a_price_stops_nobody() -> None:
    """The call is not priced yet, and the trouble names the model."""

    class Broken(FixedList):
        def find(self, provider: str, model: str, at: float) -> Price | None:
            if model == "odd":
                raise ZeroDivisionError
            return super().find(provider, model, at)

    made = Charges(None, Clock(), Broken({"known": (2.0, 8.0)}))
    assert made.charge(usage_record(1_000, 0), "odd", AT) == Charge(None, None)
    assert made.rate("openai", "odd", AT) is None
    assert made.trouble is not None and "'odd'" in made.trouble
    assert made.charge(usage_record(1_000, 0), "known", AT).counted == 2_000


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_no_call_counts_less_than_it_costs(given_: int, made_: int) -> None:
    """To the millionth of a dollar, and by less than one more; but for a rounding error of floats."""
    usd = FixedList({"m": (0.05, 0.4)}).price("m").cost(Consumption(input=given_, output=made_))
    counted = micro_dollars(usd)
    exact = (given_ * 5 + made_ * 40) / 100
    assert exact - 0.01 <= counted < exact + 1.01


def test_the_published_prices_are_used() -> None:
    """Without a file of one's own; the least that can be said of a list that changes: a known model has a price above
    nothing, and the dearest is no cheaper."""
    made = Charges(None, Clock())
    known, unknown = made.rate("anthropic", "claude-sonnet-4-5", AT), made.rate("anthropic", "no-such-model", AT)
    assert made.trouble is None
    assert known is not None and unknown is not None
    assert (known.unpriced, unknown.unpriced) == (False, True)
    assert 0 < known.input_per_million <= unknown.input_per_million
    assert known.input_per_million < known.output_per_million <= unknown.output_per_million


def test_another_file() -> None:
    """What is priced next goes by it; where it cannot be had, by the one before, and it is said."""
    lists: dict[str | None, Any] = {None: FixedList({"known": (2.0, 8.0)}), "mine": FixedList({"known": (4.0, 8.0)})}

    def opened(path: str | None) -> Any:
        if path not in lists:
            raise PriceFileError(["it is gone"])
        return lists[path](path)

    found = Charges(None, Clock(), opened)
    found.reopen("mine")
    assert found.charge(usage_record(1_000, 0), "known", AT).usd == pytest.approx(0.004)
    found.reopen(None)
    assert found.charge(usage_record(1_000, 0), "known", AT).usd == pytest.approx(0.002)
    found.reopen("gone")
    assert found.charge(usage_record(1_000, 0), "known", AT).usd == pytest.approx(0.002)
    assert found.trouble is not None and "it is gone" in found.trouble

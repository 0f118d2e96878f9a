"""The file of the user's prices: which entry counts, from when on, and every fault with its line and remedy."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.consumption import Consumption
from awfproxy.prices.override_file import (
    FILE_MAX,
    ModelTable,
    parse_overrides,
    read_overrides,
)
from awfproxy.prices.overrides import Overrides, PriceFileError
from awfproxy.prices.price import Price

NOW = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
FILE = """
[models."house-model"]
input_per_million = 1
output_per_million = 4
cache_read_per_million = 0.1

[models."house-*"]
input_per_million = 2
output_per_million = 2

[models."house-model-l*"]
input_per_million = 3
output_per_million = 3

[models."*"]
provider = "generic"
input_per_million = 0
output_per_million = 0

[models."changed".since.2026-07-01]
input_per_million = 6
output_per_million = 60

[models."changed".since.2026-10-01]
input_per_million = 5
output_per_million = 50

[models."claude-house"]
input_per_million = 10
output_per_million = 50
"""


def found(overrides: Overrides, provider: str, model: str, at: float = NOW) -> Price | None:
    """The file's price at a time."""
    prices = (offer.price(at) for offer in overrides.offers(provider, model))
    return next((price for price in prices if price is not None), None)


def dollars(provider: str, model: str, at: float = NOW, **counts: int) -> float | None:
    """For millions of tokens; None: the file has no price."""
    price = found(parse_overrides(FILE, "p.toml"), provider, model, at)
    tokens: dict[str, Any] = {name: 1_000_000 * count for name, count in counts.items()}
    return None if price is None else price.cost(Consumption(**tokens))


@pytest.mark.parametrize(
    ("provider", "model", "counts", "expected"),
    [
        ("openai", "house-model", {"input": 1, "output": 1}, 5),
        ("openai", " HOUSE-Model ", {"input": 1}, 1),
        ("openai", "house-model", {"cache_read": 1}, 0.1),
        ("openai", "house-model", {"cache_write": 1, "cache_write_1h": 1}, 2),
        ("openai", "house-other", {"input": 1}, 2),
        ("openai", "house-model-large", {"input": 1}, 3),
        ("generic", "anything", {"input": 1, "output": 1}, 0),
        ("openai", "anything", {"input": 1}, None),
        ("openai", "claude-house", {"cache_write": 1, "cache_write_1h": 1}, 12.5 + 20),
    ],
)
def test_which_entry_counts(provider: str, model: str, counts: dict[str, int], expected: float | None) -> None:
    """A name before a prefix, the longest prefix before others, only for its provider; cache rates are filled in."""
    cost = dollars(provider, model, **counts)
    assert cost == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ("gpt-house", 1),
        ("gpt-house-2026-08-07", 1),
        ("GPT-House-20260807", 1),
        ("openai/gpt-house-2026-08-07", 1),
        ("gpt-house:latest", 1),
        ("us.anthropic.gpt-house-v1:0", 1),
        ("gpt-house-2026-09-01", 2),
        ("gpt-house-20260901", 2),
        ("gpt-house-mini-2026-08-07", 3),
        ("ft:gpt-house-2026-08-07", None),
        ("gpt-house:free", 3),
    ],
)
def test_a_name_counts_for_all_forms_of_it(model: str, rate: float | None) -> None:
    """As published ones do: the call's own form first, without its date last, and all before a prefix."""
    table = '[models."{}"]\ninput_per_million = {}\noutput_per_million = 0\n'
    names = ("gpt-house", 1), ("gpt-house-2026-09-01", 2), ("gpt-house*", 3), ("gpt-house-2026*", 4)
    price = found(parse_overrides("".join(table.format(*each) for each in names), "p.toml"), "openai", model)
    assert (price and price.cost(Consumption(input=1_000_000))) == (None if rate is None else pytest.approx(rate))


@pytest.mark.parametrize(
    ("day", "expected"), [((2026, 6, 30), None), ((2026, 7, 1), 6), ((2026, 9, 30), 6), ((2026, 10, 1), 5)]
)
def test_rates_from_a_day_on(day: tuple[int, int, int], expected: float | None) -> None:
    """Before the first day the file says nothing, and the published price counts."""
    assert dollars("openai", "changed", datetime(*day, tzinfo=UTC).timestamp(), input=1) == expected


def test_rates_before_the_first_day() -> None:
    """Rates beside dated ones hold until the first of them."""
    text = (
        "[models.m]\ninput_per_million = 1\noutput_per_million = 1\n"
        "[models.m.since.2026-07-01]\ninput_per_million = 2\noutput_per_million = 2\n"
    )
    overrides = parse_overrides(text, "p.toml")
    for at, expected in ((0.0, 1), (NOW, 2)):
        price = found(overrides, "openai", "m", at)
        assert price is not None
        assert price.cost(Consumption(input=1_000_000)) == expected


RIGHT = "input_per_million = 1\noutput_per_million = 1\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[models.m]\ninput_per_million = 1\n", "p.toml:1: `models.m` has no `output_per_million`; write 0 where it is free."),
        ("[models.m]\n", "p.toml:1: `models.m` has no `input_per_million`; write 0 where it is free."),
        (f"[models.m]\n{RIGHT}cache_read = 1\n", "p.toml:4: `models.m.cache_read` is not a setting; did you mean `cache_read_per_million`?"),
        ("[models.m]\ninput_per_million = -1\noutput_per_million = 1\n", "p.toml:2: `models.m.input_per_million` is wrong: expected a number >= 0.0."),
        ("[models.m]\ninput_per_million = nan\noutput_per_million = 1\n", "p.toml:2: `models.m.input_per_million` must be a finite number."),
        ("[models.m]\ninput_per_million = inf\noutput_per_million = 1\n", "p.toml:2: `models.m.input_per_million` must be a finite number."),
        ("[models.m]\ninput_per_million = 100001\noutput_per_million = 1\n", "p.toml:2: `models.m.input_per_million` is wrong: expected a number <= 100000.0."),
        ("[models.m]\ninput_per_million = true\noutput_per_million = 1\n", "p.toml:2: `models.m.input_per_million` is wrong: expected a number, got true or false."),
        (f'[models.m]\nprovider = "opanai"\n{RIGHT}', "p.toml:2: `models.m.provider` cannot be `opanai`; did you mean `openai`?"),
        (f"[models.m]\n{RIGHT}[models.M]\n{RIGHT}", "p.toml:4: `models.M` is `m` again; capital letters are as small ones, leave one out."),
        (f'[models."a*b"]\n{RIGHT}', "p.toml:1: `models.a*b` is no usable name: up to 256 bytes of text, nothing unprintable in it, `*` only at the end."),
        (f"[models.m.since.soon]\n{RIGHT}", "p.toml:1: `models.m.since.soon` is no date; write it like `2026-07-01`."),
        (f"[models.m.since.2026-02-30]\n{RIGHT}", "p.toml:1: `models.m.since.2026-02-30` is no day of the calendar."),
        ("[models.m.since.2026-02-03]\ninput_per_million = 1\n", "p.toml:1: `models.m.since.2026-02-03` has no `output_per_million`; write 0 where it is free."),
        ("[model.m]\n", "p.toml:1: `model` is not a setting; did you mean `models`?"),
        ("models = 3\n", "p.toml:1: `models` must be a table; write `[models]`."),
        ("[models.m]\n[models.m]\n", "p.toml:2: this is not valid TOML: the table `[models.m]` is there already; write both into one."),
    ],
)  # fmt: skip
def test_faults(text: str, fault: str) -> None:
    """File, line, key and remedy of everything that is wrong."""
    with pytest.raises(PriceFileError) as error:
        parse_overrides(text, "p.toml")
    assert fault in error.value.faults


def test_all_faults_are_told_at_once() -> None:
    """In the order of the file."""
    with pytest.raises(PriceFileError) as error:
        parse_overrides(f"[models.a]\ninput_per_million = -1\n[models.b]\n{RIGHT}typo = 1\n", "p.toml")
    assert [fault.split(":")[1] for fault in error.value.faults] == ["1", "2", "6"]


def test_the_example_of_the_documentation() -> None:
    """It is right, and prices what its comments say; every key of the file is in the page's table."""
    page = (Path(__file__).parents[2] / "docs" / "prices.md").read_text()
    overrides = parse_overrides(page.partition("```toml\n")[2].partition("```")[0], "prices.toml")
    expected = {("openai", "GPT-5"): 1.1, ("generic", "our-llama-8b"): 0.0, ("anthropic", "claude-opus-5"): 4.5}
    for (provider, model), dollars in expected.items():
        price = found(overrides, provider, model)
        assert price is not None
        assert price.cost(Consumption(input=1_000_000)) == pytest.approx(dollars)
    assert found(overrides, "openai", "our-llama-8b") is None
    for key in ModelTable.__struct_fields__:
        assert f"`{key}`" in page.partition("| key | meaning |")[2]


@given(st.text())
def test_any_text_is_prices_or_faults(text: str) -> None:
    """No other exception, and never a fault without words."""
    faults: tuple[str, ...] = ()
    try:
        parse_overrides(text, "p.toml")
    except PriceFileError as error:
        faults = error.faults or ("",)
    assert all(fault.startswith("p.toml") for fault in faults)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, a pipe without a writer, too large, no UTF-8: a fault that names the file, and no hanging."""
    pipe, large, binary = tmp_path / "pipe", tmp_path / "large", tmp_path / "binary"
    os.mkfifo(pipe)
    large.write_bytes(b"#" * (FILE_MAX + 1))
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none", tmp_path, pipe, large, binary):
        with pytest.raises(PriceFileError) as error:
            read_overrides(str(path))
        assert str(path) in str(error.value)

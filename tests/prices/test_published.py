"""The library's table, read without the library: the same models, the same matches, the same dollars as the library's."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import pytest
from genai_prices.data import providers as library_providers
from genai_prices.types import Usage as LibraryUsage
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.core.consumption import Consumption
from awfproxy.prices import published
from awfproxy.prices.offers import offer_of
from awfproxy.prices.published import published_providers
from awfproxy.prices.tiers import tier_of

OURS = published_providers()
#: every model of the library beside ours
MODELS: list[tuple[str, Any, Any]] = [
    (mine.id, model, theirs)
    for mine, library in zip(OURS, library_providers, strict=True)
    for model, theirs in zip(mine.models, library.models, strict=True)
]
#: token classes of ours, the library's word for the rate, and the library's count that has them
CLASSES = (
    ("cache_read", "cache_read_mtok", "cache_read_tokens"),
    ("cache_write", "cache_write_mtok", "cache_write_tokens"),
    ("cache_write_1h", "cache_write_1h_mtok", "cache_write_1h_tokens"),
    ("reasoning", "output_reasoning_mtok", "output_reasoning_tokens"),
    ("input_audio", "input_audio_mtok", "input_audio_tokens"),
    ("output_audio", "output_audio_mtok", "output_audio_tokens"),
    ("output_image", "output_image_mtok", "output_image_tokens"),
)
counts = st.integers(0, 400_000)
#: from 2024 to the middle of 2027
moments = st.integers(1_704_067_200, 1_811_808_000)


def test_every_provider_and_model_is_read() -> None:
    """Nothing of the table is lost: ids, order, marks."""
    assert [provider.id for provider in OURS] == [provider.id for provider in library_providers]
    assert len(MODELS) > 2000
    for _, mine, theirs in MODELS:
        assert (mine.id, bool(mine.deprecated)) == (theirs.id, bool(theirs.deprecated))


@given(st.sampled_from(MODELS), st.sampled_from(MODELS), st.sampled_from(["", "-latest", "-20260101", "x", ":free"]))
def test_matches_are_those_of_the_library(one: Any, other: Any, ending: str) -> None:
    """A model's rule for names says of any name what the library's says."""
    for name in (other[1].id.lower() + ending, one[1].id.lower() + ending):
        assert one[1].match.is_match(name) == one[2].match.is_match(name)


@settings(max_examples=400)
@given(st.sampled_from(MODELS), moments, st.lists(counts, min_size=len(CLASSES) + 2, max_size=len(CLASSES) + 2))
def test_costs_are_those_of_the_library(model: Any, at: int, amounts: list[int]) -> None:
    """For any model, time, way of serving and amounts of what it has rates for, the dollars are the library's."""
    seller, mine, theirs = model
    when = datetime.fromtimestamp(at, UTC)
    offer = offer_of(seller, mine)
    for context in [None, *(variant.when for variant in theirs.price_variants or () if tier_of(variant.when))]:
        rates = theirs.get_prices(when, context)
        keys = {key for key, rate in vars(rates).items() if rate is not None}
        price = offer.price(at)
        if not {"input_mtok", "output_mtok"} & keys:
            assert price is None or offer.free
            continue
        assert price is not None
        plain, made, *parts = amounts
        given_parts = {
            (name, count): amount for (name, key, count), amount in zip(CLASSES, parts, strict=True) if key in keys
        }
        # The library's figures are sums with their parts within, ours stand side by side.
        told = {count: amount for (_, count), amount in given_parts.items()}
        writes = told.get("cache_write_tokens", 0) + told.get("cache_write_1h_tokens", 0)
        if writes:
            told["cache_write_tokens"] = writes
        # What is both is asked for where it has a rate: none of it.
        told |= {f"cache_{kind}_read_tokens": 0 for kind in ("audio", "image") if f"cache_{kind}_read_mtok" in keys}
        inputs = told.get("cache_read_tokens", 0) + writes + told.get("input_audio_tokens", 0)
        outputs = sum(told.get(f"output_{kind}_tokens", 0) for kind in ("reasoning", "audio", "image"))
        usage = LibraryUsage(input_tokens=plain + inputs, output_tokens=made + outputs, **told)
        active = context is None or any(
            variant.when == context and (variant.constraint is None or variant.constraint.active(when))
            for variant in theirs.price_variants
        )
        if not active:
            continue  # there our own rule holds (tiers.TIER_FACTORS)
        counted: dict[str, Any] = {name: amount for (name, _), amount in given_parts.items()}
        tier = None if context is None else tier_of(context)
        consumed = Consumption(input=plain, output=made, service_tier=tier, **counted)
        expected = float(rates.calc_price(usage)["total_price"])
        assert price.cost(consumed) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_library_laid_out_otherwise_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the table cannot be read as it is known, the library itself gives it."""
    monkeypatch.setattr(published, "_TABLE", "no_such_file.py")
    assert published_providers() is library_providers
    assert offer_of("openai", library_providers[0].models[0]).price(0.0) is not None


def test_reading_it_brings_nothing_else() -> None:
    """In a process of its own: neither the library nor pydantic nor an HTTP client has been imported in the end."""
    code = (
        "import sys; from awfproxy.prices.price_list import open_price_list; before = set(sys.modules); "
        "open_price_list().find('openai', 'gpt-5', 2e9); "
        "print(sorted(name.split('.')[0] for name in sys.modules if name.split('.')[0] in "
        "('genai_prices', 'pydantic', 'httpx2', 'ssl', 'asyncio', 'twisted')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_installed_one() -> None:
    """By the short way and by the long one, which is taken where an installer left no folder of that name."""
    assert published.published_version() == version(published.LIBRARY)


def test_a_version_without_its_folder_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an installation by other means."""
    monkeypatch.setattr("os.listdir", lambda _: [])
    assert published.published_version() == version(published.LIBRARY)

"""Quota headers in records."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.billing import SNAPSHOTS_MAX, billing


def test_nothing() -> None:
    """An answer without quota headers has no billing, not an empty one."""
    assert billing({b"content-type": b"application/json"}) is None


def test_quota_and_rates() -> None:
    """Snapshots are taken apart, values are decoded and stay text."""
    fields = {
        b"x-quota-snapshot-premium-chat": b"ent=50&ovPerm=false&rem=48.5&rst=2025-12-15T23%3A59%3A59Z",
        b"x-ratelimit-limit": b"100",
        b"x-ratelimit-remaining": b"95",
        b"x-ratelimit-reset": b"1700000000",
    }
    assert billing(fields) == {
        "quota_premium-chat": {"ent": "50", "ovPerm": "false", "rem": "48.5", "rst": "2025-12-15T23:59:59Z"},
        "rate_limit": "100",
        "rate_remaining": "95",
        "rate_reset": "1700000000",
    }


def test_recorded_cases(corpus: Path) -> None:
    """The cases behind the AWF api-proxy's own tests."""
    cases = [msgspec.json.decode(line) for line in (corpus / "awf" / "awf_extra_cases.jsonl").read_bytes().splitlines()]
    cases = [case for case in cases if case["kind"] == "billing_headers"]
    assert len(cases) >= 4
    for case in cases:
        fields = {name.encode(): value.encode() for name, value in case["input"].items()}
        assert billing(fields) == case["expect"], case["source"]


@pytest.mark.parametrize("value", [b"\xff", b"a\x1b=b", b"", b"&&", b"x" * 1000, b"a=%0A"])
def test_what_is_not_a_snapshot(value: bytes) -> None:
    """Unprintable, empty and overlong values are left out."""
    assert billing({b"x-quota-snapshot-chat": value}) is None


@given(st.dictionaries(st.binary(max_size=10).map(lambda name: b"x-quota-snapshot-" + name), st.binary(max_size=300)))
def test_always_bounded_and_encodable(fields: dict[bytes, bytes]) -> None:
    """Law: any headers give None or a small value that JSON can hold."""
    found = billing(fields)
    assert found is None or (len(found) <= SNAPSHOTS_MAX and len(msgspec.json.encode(found)) < 10_000)

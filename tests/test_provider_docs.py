"""docs/providers.md against the table in code."""

from __future__ import annotations

from pathlib import Path

import pytest

from awfproxy.core import kinds
from awfproxy.core.kinds import Kind
from awfproxy.core.providers import PROVIDERS

PAGE = (Path(__file__).parents[1] / "docs" / "providers.md").read_text()


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_every_provider_has_its_row(name: str) -> None:
    """Port, key, upstream, header and default of every provider stand in its row."""
    provider = PROVIDERS[name]
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    row = rows[0]
    assert provider.include_usage in row
    assert f"`{(provider.credential_header + b': ' + provider.credential_scheme).decode()}KEY`" in row
    for text in (*provider.env_keys, provider.default_upstream, provider.default_port):
        assert text is None or str(text) in row
    for header, value in provider.default_headers:
        assert any(f"`{header.decode()}: {value.decode()}`" in line for line in rows)
    assert provider.env_target is None or f"`{provider.env_target}`" in PAGE


def test_every_kind_is_named() -> None:
    """A kind that appears in records is explained."""
    names = {value.name for value in vars(kinds).values() if isinstance(value, Kind)}
    assert len(names) > 15
    assert {name for name in names if f"`{name}`" not in PAGE} == set()

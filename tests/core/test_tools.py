"""The names of tools, by where each API has them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from awfproxy.core.tools import LOOK_MAX, NAME_MAX, NAMES_BYTES_MAX, NAMES_MAX, TOOLS_MAX, offered, plain_name


def names(tools: Any) -> list[str]:
    """The names offered."""
    return offered(Raw(json.dumps(tools).encode()))[1]


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        ([{"type": "function", "function": {"name": "a", "parameters": {"properties": {"name": {}}}}}], ["a"]),
        ([{"type": "custom", "custom": {"name": "patch"}}], ["patch"]),
        ([{"name": "a"}], ["a"]),
        ([{"type": "function", "name": "a"}, {"type": "web_search"}, {"type": "mcp", "server_label": "x"}],
         ["a", "web_search", "mcp"]),
        ([{"name": "a", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}], ["a", "bash"]),
        ([{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}, {"googleSearch": {}}], ["a", "b", "googleSearch"]),
        ([{"function_declarations": [{"name": "a"}]}], ["a"]),
        ({"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": {}}}}], "toolChoice": {"auto": {}}}, ["a"]),
        ([], []), ({}, []), ("x", []), (None, []), ([1], []), ([[{"name": "a"}]], []),
        ([{"function": {"function": {"name": "a"}}}], []),
        # not plain names
        ([{"name": "two words"}, {"name": ""}, {"name": "n" * (NAME_MAX + 1)}, {"name": 1}, {"name": "é"}], []),
        ([{"name": None, "type": "x"}], []),
    ],
)  # fmt: skip
def test_names(tools: Any, expected: list[str]) -> None:
    """Each shape; what is none of them offers nothing."""
    assert names(tools) == expected


def test_bounds() -> None:
    """Of many tools the first; all are counted, to a bound."""
    assert offered(Raw(json.dumps([{"name": f"t{n}"} for n in range(100)]).encode())) == (
        100, [f"t{n}" for n in range(NAMES_MAX)],
    )  # fmt: skip
    count, some = offered(Raw(json.dumps([{"name": "n" * NAME_MAX}] * 1000).encode()))
    assert (count, len(some)) == (TOOLS_MAX, NAMES_BYTES_MAX // NAME_MAX)
    assert offered(Raw(json.dumps([{"name": "a", "description": "d" * LOOK_MAX}]).encode())) == (0, [])


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["name", "function", "functionDeclarations", "tools", "type"]), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_no_tools_raise(tools: Any) -> None:
    """Law: whatever stands there, names are plain and at most as many as there are tools."""
    count, found = offered(Raw(json.dumps(tools).encode()))
    assert len(found) <= count <= TOOLS_MAX
    assert all(plain_name(json.dumps(name).encode()) == name for name in found)

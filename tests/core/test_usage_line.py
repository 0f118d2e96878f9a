"""What the ledger reads of a usage line is what the record says."""

from __future__ import annotations

import msgspec
import pytest

from awfproxy.core.records import TOKEN_USAGE_SCHEMA, TokenUsageRecord, encode
from awfproxy.core.usage_line import UsageLine, decode_usage_line


def record() -> TokenUsageRecord:
    """Everything that rows and prices are made of."""
    made = TokenUsageRecord(
        "2026-01-15T12:00:00.000Z", "01a2", "openai", "m", "/v1/x", 200, True, 10, 20, 3, 4, 1.5, 5, 6, "partial",
        "complete", "p",
    )  # fmt: skip
    made.reasoning_tokens, made.input_tokens_include_cache, made.unknown = 7, True, ["input_tokens"]
    made.admitted_at, made.user, made.feature = "2026-01-15T11:00:00.000Z", "ci", "chat"
    made.usage = {"prompt_tokens": 10, "service_tier": "flex", "deep": {"list": [1, None]}}
    return made


def test_it_is_a_part_of_the_record() -> None:
    """Every member, by name, type and value; and none is left at its default by this record."""
    line = decode_usage_line(encode(record()))
    types = {field.name: field.type for field in msgspec.structs.fields(TokenUsageRecord)}
    for field in msgspec.structs.fields(UsageLine):
        assert field.type == types[field.name]
        assert getattr(line, field.name) == getattr(record(), field.name)
        assert getattr(line, field.name) is not None


def test_what_was_not_said_is_none() -> None:
    """As in the record."""
    made = record()
    made.user = made.unknown = made.usage = made.admitted_at = None
    line = decode_usage_line(encode(made))
    assert (line.user, line.unknown, line.usage, line.admitted_at) == (None, None, None, None)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"null", b"{}", b'{"_schema":"requests/v1.0.0"}', b'{"_schema":"%b"}' % TOKEN_USAGE_SCHEMA.encode(),
        encode(record()).replace(b'"input_tokens":10', b'"input_tokens":"10"'),
        encode(record()).replace(b"token-usage/v1.0.0", b"token-usage/v2.0.0"),
    ],
)  # fmt: skip
def test_what_is_no_usage_line_is_refused(line: bytes) -> None:
    """Another schema, a missing member, another type."""
    with pytest.raises(msgspec.MsgspecError):
        decode_usage_line(line)

"""What of a line of ``token-usage.jsonl`` the ledger reads: a third of its members, decoded in a third of the time.

A line that lacks a member which only people read (its path, its bytes) is one all the same.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from awfproxy.core.records import TOKEN_USAGE_SCHEMA


class UsageLine(msgspec.Struct, tag_field="_schema", tag=TOKEN_USAGE_SCHEMA, gc=False):
    """Some members of `records.TokenUsageRecord`, with its names and meaning."""

    timestamp: str
    request_id: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    usage_source: Literal["reported", "partial", "estimated"]
    port: str
    reasoning_tokens: int | None = None
    input_tokens_include_cache: bool | None = None
    unknown: list[str] | None = None
    admitted_at: str | None = None
    user: str | None = None
    feature: str | None = None
    usage: dict[str, Any] | None = None


#: raises one of `undecodable.UNDECODABLE` for what is no usage line of this schema
decode_usage_line: Final = msgspec.json.Decoder(UsageLine).decode

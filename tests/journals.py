"""Journals for tests: lines as the service writes them."""

import gzip
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from awfproxy.core.records import TokenUsageRecord, encode, timestamp
from awfproxy.report.lines import _zstd

#: 2026-03-15T12:00:00Z: in the middle of a month, of a week and of a day
NOON = int(datetime(2026, 3, 15, 12, tzinfo=UTC).timestamp())


def record(number: int, ended: float, lasted: float = 1.0, **more: Any) -> TokenUsageRecord:
    """The call of this number, which ended then (seconds since the epoch) and was admitted ``lasted`` before."""
    made = TokenUsageRecord(
        timestamp=timestamp(ended),
        request_id=f"r{number:06d}",
        provider="openai",
        model="gpt-5",
        path="/v1/responses",
        status=200,
        streaming=True,
        input_tokens=10,
        output_tokens=number,
        cache_read_tokens=0,
        cache_write_tokens=0,
        duration_ms=lasted * 1000,
        request_bytes=1,
        response_bytes=1,
        usage_source="reported",
        outcome="complete",
        port="openai",
        admitted_at=timestamp(ended - lasted),
        feature="chat",
    )
    return msgspec.structs.replace(made, **more)


def write(path: Path, records: Iterable[TokenUsageRecord]) -> None:
    """A file of them, compressed as its name says."""
    data = b"".join(map(encode, records))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = _zstd().compress(data)
    path.write_bytes(data)

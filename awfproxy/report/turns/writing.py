"""The lines of token-usage-by-turn.jsonl, and where it goes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from awfproxy.report.lines import comes_once

#: what the file is called
FILE_NAME: Final = "token-usage-by-turn.jsonl"

_encode = msgspec.json.Encoder().encode


def place_of(paths: Iterable[str]) -> str:
    """Where the file goes if nobody says: beside the first records that were read, but for a pipe's."""
    for path in paths:
        if not comes_once(path):
            return os.path.join(path if os.path.isdir(path) else os.path.dirname(path), FILE_NAME)
    return FILE_NAME


def encoded(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """The lines of the file.  A text that no UTF-8 can hold has "?" where it cannot."""
    for row in rows:
        try:
            yield _encode(row) + b"\n"
        except UnicodeEncodeError:
            yield _encode(_plain(row)) + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_plain(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value

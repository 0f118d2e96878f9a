"""The file token-usage-by-turn.jsonl.

It is written whole, then renamed into its place: readers see the old one or the new one, and never a part.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from awfproxy.report.lines import STDIN

#: what the file is called
FILE_NAME: Final = "token-usage-by-turn.jsonl"

_encode = msgspec.json.Encoder().encode


def place_of(paths: Iterable[str]) -> str:
    """Where the file goes if nobody says: beside the first records that were read."""
    for path in paths:
        if path != STDIN:
            return os.path.join(path if os.path.isdir(path) else os.path.dirname(path), FILE_NAME)
    return FILE_NAME


def encoded(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """The lines of the file.  A text that no UTF-8 can hold has "?" where it cannot."""
    for row in rows:
        try:
            yield _encode(row) + b"\n"
        except UnicodeEncodeError:
            yield _encode(_plain(row)) + b"\n"


def write(rows: Iterable[dict[str, Any]], path: str) -> None:
    """Writes the file, with the mode of the one that was there.

    :raises OSError: it cannot be written; then the old one is as it was
    """
    folder = os.path.dirname(path) or "."
    number, name = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.writelines(encoded(rows))
            os.fchmod(file.fileno(), os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o640)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_plain(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value

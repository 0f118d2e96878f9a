"""After a crash: the request lines that were never written.

A batch is appended to ``token-usage.jsonl`` first and to ``requests.jsonl`` second, so a ``kill -9`` between the two
leaves usage lines without their request line.  At the start each of them gets one, marked ``recovered``, made from what
the usage line says.

Which ones: only the last batch can be incomplete, so only the last `BATCH_LINES` usage lines are looked at, and a line
is missing where its ``request_id`` is nowhere in the end of ``requests.jsonl`` **and** that end reaches back further
than the usage line (lines are in the order in which calls ended).  Where it does not reach back far enough, because
``requests.jsonl`` was rotated away just before, the newest rotated file beside it is read too; if that cannot be read
(compressed), nothing is added and the log says so: a second record would be as wrong as a missing one.

With workers each process may have left a batch.  When one is killed while the others go on, theirs look incomplete for
a moment too: its supervisor takes `last_batches`, has every other worker write what it has begun, and only then asks
what is `lacking`.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from awfproxy.core.records import RECORD_BYTES_MAX, RequestRecord, TokenUsageRecord, encode
from awfproxy.core.undecodable import UNDECODABLE

#: usage lines that one batch can have left without their request lines (`journal.BATCH_MAX`)
BATCH_LINES: Final = 256
#: bytes of the end of a file that are read: a batch of the longest lines
TAIL_BYTES: Final = BATCH_LINES * RECORD_BYTES_MAX
#: the same of all processes together: 300 batches of ordinary lines
TAIL_MOST: Final = 64 * 1024 * 1024

#: rotated files that are looked through: one rotation can fall between the two appends of a batch, two cannot
ROTATED_MAX: Final = 2
#: endings of files that are not read here
COMPRESSED: Final = (".gz", ".zst", ".xz", ".bz2")


class Found(msgspec.Struct, frozen=True):
    """What the tails say."""

    #: request lines to append
    lines: list[bytes]
    #: why some could not be told, in words; None: all could
    unsure: str | None = None


class _Key(msgspec.Struct):
    request_id: str
    timestamp: str


_key = msgspec.json.Decoder(_Key)
_usage = msgspec.json.Decoder(TokenUsageRecord)


def recover(usage_path: str, requests_path: str, processes: int = 1) -> Found:
    """Compare the ends of the two files, which must end with whole lines.

    :param processes: how many wrote them; each may have left a batch
    :raises OSError: one of them cannot be read
    """
    return lacking(last_batches(usage_path, processes), requests_path, processes)


def lacking(missing: list[TokenUsageRecord], requests_path: str, processes: int = 1) -> Found:
    """The request lines of those of the records that have none.

    :raises OSError: the file cannot be read
    """
    known: set[str] = set()
    for path in (requests_path, *rotated(requests_path)):
        if not missing:
            break
        if path.endswith(COMPRESSED):
            return Found([], f"{os.path.basename(path)} is compressed: {len(missing)} usage lines were not checked")
        keys, whole = _keys(path, processes)
        known.update(key.request_id for key in keys)
        missing = [record for record in missing if record.request_id not in known]
        oldest = keys[0].timestamp if keys else ""
        if keys and (not whole or all(record.timestamp > oldest for record in missing)):
            missing = [record for record in missing if record.timestamp > oldest]
            break
    return Found([encode(_request(record)) for record in missing])


def _request(usage: TokenUsageRecord) -> RequestRecord:
    """The request line that a usage line implies; what only the lost one knew stays unsaid."""
    unseen = usage.unknown is not None and "status" in usage.unknown
    return RequestRecord(
        timestamp=usage.timestamp,
        request_id=usage.request_id,
        provider=usage.provider,
        port=usage.port,
        outcome=usage.outcome,
        usage_source=usage.usage_source,
        path=usage.path,
        status=None if unseen else usage.status,
        streaming=usage.streaming,
        model=usage.model,
        request_model=usage.request_model,
        request_bytes=usage.request_bytes,
        response_bytes=usage.response_bytes,
        admitted_at=usage.admitted_at,
        duration_ms=usage.duration_ms,
        ttfb_ms=usage.ttfb_ms,
        attempts=usage.attempts,
        user=usage.user,
        feature=usage.feature,
        run=usage.run,
        conversation=usage.conversation,
        initiator=usage.initiator,
        x_initiator=usage.x_initiator,
        client_request_id=usage.client_request_id,
        upstream_request_id=usage.upstream_request_id,
        billing=usage.billing,
        response_id_hash=None if usage.hints is None else usage.hints.response_id_hash,
        recovered=True,
    )


def last_batches(path: str, processes: int = 1) -> list[TokenUsageRecord]:
    """The usage records of the last batches.

    :raises OSError: the file cannot be read
    """
    lines, _whole = _tail(path, processes)
    records = []
    for line in lines[-BATCH_LINES * processes :]:
        try:
            records.append(_usage.decode(line))
        except UNDECODABLE:
            continue  # a torn line, or one of another program: nothing was acknowledged for it here
    return records


def _keys(path: str, processes: int) -> tuple[list[_Key], bool]:
    lines, whole = _tail(path, processes)
    keys = []
    for line in lines:
        try:
            keys.append(_key.decode(line))
        except UNDECODABLE:
            continue
    return keys, whole


def _tail(path: str, processes: int) -> tuple[list[bytes], bool]:
    """The whole lines in the last `TAIL_BYTES` a process of a file, and whether that is all of it; none: no lines."""
    most = min(TAIL_BYTES * processes, TAIL_MOST)
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            data = file.read(most)
    except FileNotFoundError:
        return [], True
    lines = data.splitlines()
    return (lines, True) if size <= most else (lines[1:], False)


def rotated(path: str) -> list[str]:
    """The last `ROTATED_MAX` files that ``path`` was before, newest first, as logrotate names them.

    :raises OSError: its directory cannot be read
    """
    directory, name = os.path.split(path)
    found = []
    for entry in os.scandir(directory or "."):
        if entry.name.startswith((f"{name}.", f"{name}-")) and entry.is_file():
            found.append((entry.stat().st_mtime, entry.path))
    return [path for _time, path in sorted(found, reverse=True)[:ROTATED_MAX]]

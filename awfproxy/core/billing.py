"""Quota headers of an answer, for the record's ``billing`` (the names are the AWF api-proxy's).

``x-quota-snapshot-NAME: ent=50&rem=48.5&...`` (Copilot) becomes ``quota_NAME`` with the members as text;
``x-ratelimit-limit``, ``-remaining`` and ``-reset`` become ``rate_limit``, ``rate_remaining`` and ``rate_reset``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

_QUOTA: Final = b"x-quota-snapshot-"
_RATES: Final = (
    (b"x-ratelimit-limit", "rate_limit"),
    (b"x-ratelimit-remaining", "rate_remaining"),
    (b"x-ratelimit-reset", "rate_reset"),
)
#: snapshots, and bytes of one, that are kept: a record is one short line
SNAPSHOTS_MAX: Final = 8
VALUE_MAX: Final = 256

Billing = dict[str, str | dict[str, str]]


def billing(fields: Mapping[bytes, bytes]) -> Billing | None:
    """What the answer's header ``fields`` (lower-case names) say of quotas; None: nothing."""
    found: Billing = {}
    for header, name in _RATES:
        value = fields.get(header)
        if value is not None and (text := _printable(value)) is not None:
            found[name] = text
    snapshots = [header for header in fields if header.startswith(_QUOTA)]
    for header in snapshots[:SNAPSHOTS_MAX]:
        label, text = _printable(header[len(_QUOTA) :]), _printable(fields[header])
        if label and text:
            members = {key: value for key, value in parse_qsl(text) if (key + value).isprintable()}
            if members:
                found["quota_" + label] = members
    return found or None


def _printable(value: bytes) -> str | None:
    if len(value) > VALUE_MAX or not value.isascii():
        return None
    text = value.decode("ascii")
    return text if text.isprintable() else None

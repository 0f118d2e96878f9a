"""What a client says of its call, for the record: the `x-awf-*` headers and Copilot's `x-initiator`.

A label is a name that a person chose, not data: at most `LABEL_MAX` bytes of printable UTF-8, cut between characters
if it is longer; with anything unprintable in it, it counts as not said.
"""

from __future__ import annotations

from typing import Final

import msgspec

from awfproxy.core.message import RequestHead

#: bytes of UTF-8
LABEL_MAX: Final = 256


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """None: not said."""

    feature: str | None = None
    user: str | None = None
    run: str | None = None
    conversation: str | None = None
    initiator: str | None = None


NO_LABELS: Final = Labels()

_HEADERS: Final = (
    (b"x-awf-feature", "feature"),
    (b"x-awf-user", "user"),
    (b"x-awf-run", "run"),
    (b"x-awf-conversation", "conversation"),
    (b"x-initiator", "initiator"),
)
_NAMES: Final = frozenset(name for name, _ in _HEADERS)


def labels(request: RequestHead) -> Labels:
    """The labels of one request."""
    fields = request.fields
    if _NAMES.isdisjoint(fields):
        return NO_LABELS
    return Labels(**{field: label(fields[name]) for name, field in _HEADERS if name in fields})


def label(value: bytes) -> str | None:
    """``value`` as a label; None: it is none."""
    cut = value[:LABEL_MAX]
    try:
        text = cut.decode()
    except UnicodeDecodeError as error:
        if len(value) <= LABEL_MAX or error.end < len(cut):
            return None
        text = cut[: error.start].decode()  # the cut went through a character
    text = text.strip()
    return text if text and text.isprintable() else None

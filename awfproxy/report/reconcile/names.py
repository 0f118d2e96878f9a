"""Names of one model on two sides, made comparable.

Rules: a name is compared without what hosts put around it and without its date (`prices.names`), and with blanks and
points as dashes: consoles write ``Claude Haiku 4.5`` where the interface says ``claude-haiku-4-5-20251001``.
Fine-tuned models keep their whole names.
"""

from __future__ import annotations

import re
from typing import Final

from awfproxy.prices.names import names_of

#: names whose answer is remembered
REMEMBERED_MAX: Final = 4_096
#: characters of a name that is looked into; the longest that are sold have 122
NAME_MAX: Final = 256

_SEPARATORS: Final = re.compile(r"[ ._]+")
#: OpenAI's line items: ``gpt-5.4-2026-03-05, cached input``, ``priority | gpt-5, output, long context``,
#: ``gpt-image-1 text, input``
_LINE_ITEM: Final = re.compile(
    r"(?:[a-z]{3,16} \| )?([^\s,|]{1,128})(?: [a-z]{3,16})?, "
    r"(?:cached input|cache writes|input|output)(?:, [a-z ]{1,40})?"
)


class Families:
    """The comparable form of names; remembers what it has found."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, name: str | None) -> str:
        """Empty: no model was named."""
        if not name:
            return ""
        found = self._known.get(name)
        if found is None:
            found = _family(name)
            if len(self._known) < REMEMBERED_MAX and len(name) <= NAME_MAX:
                self._known[name] = found
        return found


def _family(name: str) -> str:
    lower = name.strip().lower()
    if len(lower) > NAME_MAX or lower.startswith("ft:"):
        return lower
    forms = list(names_of(lower))
    return _SEPARATORS.sub("-", forms[-1] if forms else lower)


def model_of_item(item: str) -> str | None:
    """The model that one of OpenAI's line items is for; None: it is for something else (``web search tool calls``)."""
    found = _LINE_ITEM.fullmatch(item) if len(item) <= NAME_MAX else None
    return None if found is None else found[1]

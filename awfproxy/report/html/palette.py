"""Colours.

Rules: every colour of a plot is at least 3:1 against what is behind it, every letter at least 4.5:1 (WCAG 2.2, 1.4.11
and 1.4.3), in light and in dark; colours that are told apart in one plot stay apart for people who see red and green
alike.  Tests measure all of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Colour(NamedTuple):
    light: str
    dark: str


#: what letters stand on, and the letters
PAGE: Final = Colour("#f4f5f7", "#0e1116")
CARD: Final = Colour("#ffffff", "#181c23")
INK: Final = Colour("#14181f", "#e8ebf0")
SOFT: Final = Colour("#535c6a", "#a3adbb")
LINE: Final = Colour("#dfe3e8", "#2d333d")
LINK: Final = Colour("#0b5cad", "#7cb8f5")
GOOD: Final = Colour("#1a6b3c", "#6fce97")

#: what tokens are for (after Okabe and Ito)
CLASSES: Final = {
    "fresh": Colour("#0072b2", "#4aa3df"),
    "read": Colour("#179e77", "#2fb98f"),
    "written": Colour("#963971", "#dd8fbe"),
    "output": Colour("#d55e00", "#f08a3c"),
}
OTHER: Final = Colour("#778da7", "#626e7b")
#: models, in order (after Tol)
MODELS: Final = (
    Colour("#332288", "#a79bf5"),
    Colour("#b74b5f", "#eb8c9f"),
    Colour("#2a8f80", "#2f9e7e"),
    Colour("#8a7a1f", "#d3c455"),
    Colour("#882255", "#d463a6"),
    Colour("#488fc7", "#7fc4ee"),
)
#: one colour alone; and how calls ended
PLAIN: Final = Colour("#2563a8", "#5ea2e6")
WELL: Final = Colour("#2f7d5b", "#3fae80")
BADLY: Final = Colour("#c2410c", "#f0803c")
STOPPED: Final = Colour("#8a6d1b", "#d0ad45")

#: by class of the element
COLOURS: Final = {
    **CLASSES,
    "other": OTHER,
    **{f"m{number}": colour for number, colour in enumerate(MODELS)},
    "plain": PLAIN,
    "well": WELL,
    "badly": BADLY,
    "stopped": STOPPED,
}
_LETTERS: Final = {"page": PAGE, "card": CARD, "ink": INK, "soft": SOFT, "line": LINE, "link": LINK, "good": GOOD}


def variables(dark: bool) -> str:
    """All colours as CSS custom properties."""
    place = 1 if dark else 0
    return "".join(f"--{name}:{colour[place]};" for name, colour in {**_LETTERS, **COLOURS}.items())


def fills() -> str:
    """A rule for each class of a plot's element."""
    return "".join(f".{name}{{fill:var(--{name})}}" for name in COLOURS)

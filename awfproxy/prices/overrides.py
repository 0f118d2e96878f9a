"""The user's own prices, once they are read: which entry counts for a model.

Rules: a name counts before a prefix, a longer prefix before a shorter one; capital letters are as small ones.  A name
is for every form in which published prices are found (`names.names_of`): an entry for the name as the call has it
counts first, one for what is left without a date last.  How the file is read is `override_file`, which most never need.
"""

from __future__ import annotations

from typing import Final

from awfproxy.prices.moments import Span
from awfproxy.prices.names import LIBRARY_PROVIDERS, names_of
from awfproxy.prices.offers import Offer
from awfproxy.prices.rates import Sheet


class PriceFileError(ValueError):
    """The file of the user's prices cannot be used; `faults` are sentences that name file, line, key and remedy."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class Override:
    """What the user says of one model, or of all with a prefix.

    :param name: of the model; of several, their beginning and ``*``
    :param provider: for whose ports it holds; None: for all
    :param sheets: rates by time, as `Offer` takes them
    """

    def __init__(self, name: str, provider: str | None, sheets: list[tuple[Span, Sheet]]) -> None:
        self.provider = provider
        self.prefix = name.endswith("*")
        self.text = name.lower().removesuffix("*")
        self._sheets = sheets
        self._name = name
        self._offers: dict[str, Offer] = {}

    def fits(self, provider: str, model: str) -> bool:
        """Whether it is about this model.

        :param model: in small letters
        """
        if self.provider not in (None, provider):
            return False
        return model.startswith(self.text) if self.prefix else model == self.text

    def offer(self, provider: str) -> Offer:
        """The model as this provider sells it, whose are the rules for other ways of serving (`tiers`)."""
        seller = LIBRARY_PROVIDERS.get(provider, "")
        if seller not in self._offers:
            self._offers[seller] = Offer(seller, self._name, self._sheets, source="override")
        return self._offers[seller]


class Overrides:
    """The prices of one file."""

    def __init__(self, name: str = "", entries: tuple[Override, ...] = ()) -> None:
        #: the file's name; empty: there is none
        self.name = name
        self._names = [entry for entry in entries if not entry.prefix]
        # The longest first.
        self._prefixes = sorted((entry for entry in entries if entry.prefix), key=lambda entry: -len(entry.text))

    def offers(self, provider: str, model: str) -> tuple[Offer, ...]:
        """What the file has for a model; the first counts that has a price at the time of the call."""
        name = model.strip().lower()
        if not self._names and not self._prefixes:
            return ()
        named = [entry for form in names_of(name) for entry in self._names if entry.fits(provider, form)]
        begun = [entry for entry in self._prefixes if entry.fits(provider, name)]
        return tuple(entry.offer(provider) for entry in named + begun)


NO_OVERRIDES: Final = Overrides()

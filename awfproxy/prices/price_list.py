"""The price list: from a provider and the name of a model to what its tokens cost.

Rules (docs/prices.md has them in full):

* The user's own prices (`overrides`) go before the published ones (genai-prices).
* A model that neither knows is unpriced: None, never 0.  A price of 0 is a price.
* The library is read when a list is opened, and only then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from awfproxy.prices.names import LIBRARY_PROVIDERS, MAKERS, is_bedrock, names_of
from awfproxy.prices.offers import FREE_NAME, Offer, offer_of
from awfproxy.prices.overrides import NO_OVERRIDES, Overrides, PriceFileError
from awfproxy.prices.price import Price, Source
from awfproxy.prices.published import published_providers, published_version
from awfproxy.prices.rates import CLASS_NAMES, Rates

__all__ = ("Price", "PriceFileError", "PriceList", "Source", "open_price_list")

#: Names of models that are remembered, found or not: clients make them up.
REMEMBERED_MAX = 4096
#: Characters of a name that is looked for; the longest ones that are sold, ARNs, have 130.
NAME_MAX = 256
#: What a record has where nobody named a model.
_NAMELESS = frozenset(("", "unknown"))
_DAY = 86400.0


class PriceList:
    """Prices by provider (of ours, `core.providers`) and model.  For one thread; what it gives is for any."""

    def __init__(self, providers: Sequence[Any], overrides: Overrides = NO_OVERRIDES) -> None:
        """
        :param providers: `published.types.Provider`
        """
        self._providers = {provider.id: provider for provider in providers}
        self._overrides = overrides
        self._offers: dict[tuple[str, str], Offer] = {}
        #: by provider and model: what may have a price, the first that has one counts
        self._found: dict[tuple[str, str], tuple[Offer, ...]] = {}
        self._dearest: dict[str, tuple[float, Price]] = {}

    @property
    def description(self) -> str:
        """Where the prices are from, for reports: ``genai-prices 0.2.3``, and the user's file where there is one."""
        published = f"genai-prices {published_version()}"
        return f"{self._overrides.name}, {published}" if self._overrides.name else published

    def find(self, provider: str, model: str, at: float) -> Price | None:
        """The price of `model`, as the provider's answer or the request names it.

        :param at: seconds since the epoch, of the call's admission: prices change
        :returns: None: unpriced
        """
        offers = self._found.get((provider, model))
        if offers is None:
            offers = self._offers_of(provider, model)
        for offer in offers:
            if (price := offer.price(at)) is not None:
                return price
        return None

    def hourly(self, provider: str, model: str) -> bool:
        """Whether what `find` gives for the model changes at full hours only."""
        return all(offer.hourly for offer in self._offers_of(provider, model))

    def _offers_of(self, provider: str, model: str) -> tuple[Offer, ...]:
        key = (provider, model)
        offers = self._found.get(key)
        if offers is None:
            if len(model) > NAME_MAX:
                return ()
            published = self._find(provider, model.strip().lower())
            offers = self._overrides.offers(provider, model) + (() if published is None else (published,))
            if len(self._found) >= REMEMBERED_MAX:
                del self._found[next(iter(self._found))]
            self._found[key] = offers
        return offers

    def dearest(self, provider: str, at: float) -> Price:
        """What an unpriced model counts as in a budget: per class the dearest rate among the provider's current text
        models (of all providers, for a generic one)."""
        day = at // _DAY
        kept = self._dearest.get(provider)
        if kept is None or kept[0] != day:
            kept = self._dearest[provider] = (day, self._dearest_on(provider, day * _DAY))
        return kept[1]

    def _find(self, provider: str, name: str) -> Offer | None:
        if name in _NAMELESS:
            return None
        own = LIBRARY_PROVIDERS.get(provider)
        for seller in self._sellers(own, name):
            for tried in names_of(name):
                for model in seller.models:
                    if model.match.is_match(tried) and self._counts(offer := self._offer(seller.id, model), own, name):
                        return offer
        return None

    def _counts(self, offer: Offer, own: str | None, name: str) -> bool:
        """Has it a price that holds here?  What is free with one provider is not so with all."""
        if offer.free:
            return offer.provider == own or name.endswith(FREE_NAME)
        return offer.priced

    def _sellers(self, own: str | None, name: str) -> Iterator[Any]:
        """Whom to ask, in order, each once."""
        forms = list(names_of(name))
        # The form of a name tells more than the port, before whose provider there may be a gateway.
        order = ["aws"] if is_bedrock(name) else []
        if own is not None:
            order.append(own)
        if "/" in name:
            order.append("openrouter")
        order += [
            each.id
            for each in self._providers.values()
            if each.model_match is not None and any(each.model_match.is_match(form) for form in forms)
        ]
        for name_of_one in dict.fromkeys((*order, *MAKERS, *self._providers)):
            if (seller := self._providers.get(name_of_one)) is not None:
                yield seller

    def _offer(self, seller: str, model: Any) -> Offer:
        key = (seller, model.id)
        if key not in self._offers:
            self._offers[key] = offer_of(seller, model)
        return self._offers[key]

    def _dearest_on(self, provider: str, at: float) -> Price:
        seller = LIBRARY_PROVIDERS.get(provider)
        sellers = [self._providers[seller]] if seller in self._providers else list(self._providers.values())
        dearest = [0.0] * len(CLASS_NAMES)
        call = search = 0.0
        for each in sellers:
            for model in each.models:
                rates = None if model.deprecated else offer_of(each.id, model).text_rates(at)
                if rates is not None:
                    call, search = max(call, rates.call), max(search, rates.search)
                    for _, vector in rates.bands:
                        dearest = [max(pair) for pair in zip(dearest, vector, strict=True)]
        rates = Rates(((0, tuple(dearest)),), call, search, frozenset())
        return Price("genai-prices", f"dearest of {seller or 'all'}", rates)


def open_price_list(path: str | None = None) -> PriceList:
    """The published prices, and those of the file at `path` before them.

    :raises PriceFileError: the file cannot be read, or something in it is wrong
    """
    if path is None:
        return PriceList(published_providers())
    # Reading TOML with its lines takes a tenth of a small report's time, and few have such a file.
    from awfproxy.prices.override_file import read_overrides

    return PriceList(published_providers(), read_overrides(path))

"""What calls count in dollar budgets: by the price of their model, and by a rule where it has none.

Rules:

* A model without a price counts as the dearest of its provider (`PriceList.dearest`), never as nothing; what it cost
  stays unknown (`Charge.usd` None).
* Prices are those of the moment in which the call was admitted.
* The price list is opened with the first call that is priced.  If it cannot be, nothing is priced (`Charge.counted`
  None, no `Rate`), `trouble` says why, and it is tried again after `RETRY_SECONDS`.
* A defect in a price stops nobody: that call is not priced, and `trouble` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from awfproxy.core.budgets import Charge, micro_dollars
from awfproxy.core.consumption import Consumption, of_record
from awfproxy.prices.price_list import PriceFileError, open_price_list

if TYPE_CHECKING:
    from awfproxy.core.consumption import Counted
    from awfproxy.prices.price_list import Price, PriceList

#: seconds between two attempts to open a price list: somebody has to mend its file first
RETRY_SECONDS: Final = 30.0
#: tokens by which a price per million is found: few, so that no price for long prompts is met
SAMPLE: Final = 1_000
MILLION: Final = 1_000_000
#: models whose unpriced tokens are counted by name; those of all further ones together, as `OTHER`
UNPRICED_MAX: Final = 64
OTHER: Final = "other"
#: characters of a name among them: a client may send any
NAME_MAX: Final = 128


class Rate:
    """What calls of one model count.  Immutable: for any thread."""

    __slots__ = ("input_per_million", "output_per_million", "price", "unpriced")

    def __init__(self, price: Price, unpriced: bool) -> None:
        self.price = price
        #: the model has no price of its own
        self.unpriced = unpriced
        #: millionths of a dollar for a million tokens of a short prompt, and of its answer
        self.input_per_million = round(price.cost(Consumption(input=SAMPLE)) * MILLION * (MILLION / SAMPLE))
        self.output_per_million = round(price.cost(Consumption(output=SAMPLE)) * MILLION * (MILLION / SAMPLE))


class Charges:
    """See the module.  For one thread, but for what says otherwise.

    :param path: the user's own prices; None: there are none
    :param monotonic: seconds that only grow
    """

    def __init__(
        self,
        path: str | None,
        monotonic: Callable[[], float],
        open_list: Callable[[str | None], PriceList] = open_price_list,
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._open_list = open_list
        self._list: PriceList | None = None
        self._not_before = float("-inf")
        #: why nothing is priced; None: all is, or nobody has asked yet; for any thread to read
        self.trouble: str | None = None
        #: tokens of models without a price, by provider and model; for any thread to read
        self.unpriced: dict[tuple[str, str], int] = {}

    def reopen(self, path: str | None) -> None:
        """Another file of the user's own prices, or another content of the same: what is priced next goes by it.

        The price list that there is goes on serving where the new one cannot be had.
        """
        self._path = path
        self._not_before = float("-inf")
        before, self._list = self._list, None
        if before is not None and self._prices() is None:
            self._list = before

    def rate(self, provider: str, model: str, at: float) -> Rate | None:
        """What calls of this model count; None: there is no price list.

        :param at: seconds since the epoch
        """
        prices = self._prices()
        if prices is None:
            return None
        try:
            found = prices.find(provider, model, at)
            return Rate(found or prices.dearest(provider, at), found is None)
        except Exception as error:
            self._defect(provider, model, error)
            return None

    def charge(self, record: Counted, model: str, at: float) -> Charge:
        """What one call cost and counts, by its record.

        :param at: seconds since the epoch, when it was admitted
        """
        prices = self._prices()
        if prices is None:
            return _UNKNOWN
        try:
            return self._charge(prices, record, model, at)
        except Exception as error:
            self._defect(record.provider, model, error)
            return _UNKNOWN

    def _charge(self, prices: PriceList, record: Counted, model: str, at: float) -> Charge:
        consumed = of_record(record)
        if consumed is None:
            return _NOTHING
        found = prices.find(record.provider, model, at)
        if found is None:
            self._count(record.provider, model, consumed)
            return Charge(None, micro_dollars(prices.dearest(record.provider, at).cost(consumed)))
        usd = found.cost(consumed)
        return Charge(usd, micro_dollars(usd))

    def _prices(self) -> PriceList | None:
        if self._list is None and self._monotonic() >= self._not_before:
            try:
                self._list = self._open_list(self._path)
            except (PriceFileError, ImportError) as error:
                self._not_before = self._monotonic() + RETRY_SECONDS
                self.trouble = f"calls cannot be priced: {error}"
            else:
                self.trouble = None
        return self._list

    def _defect(self, provider: str, model: str, error: Exception) -> None:
        self.trouble = f"calls of {model!r} of {provider} cannot be priced, which is a defect: {error!r}"

    def _count(self, provider: str, model: str, consumed: Consumption) -> None:
        key = (provider, model[:NAME_MAX])
        if key not in self.unpriced and len(self.unpriced) >= UNPRICED_MAX:
            key = (provider, OTHER)
        self.unpriced[key] = self.unpriced.get(key, 0) + consumed.prompt + consumed.output + consumed.reasoning


#: nothing is known of what it used
_NOTHING: Final = Charge(None, 0)
#: to be priced later
_UNKNOWN: Final = Charge(None, None)

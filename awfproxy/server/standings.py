"""How the budgets of a port stand: for metrics, `/reflect` and the header on answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from awfproxy.core.budgets import dollars
from awfproxy.core.settings import OTHER_FEATURES
from awfproxy.core.settings import Port as PortSettings
from awfproxy.server.allowance import Allowance, Standing
from awfproxy.server.soft_caps import SoftCaps
from awfproxy.server.tallies import BudgetFigures

BudgetsOf = Callable[[str, str | None, str], tuple[Allowance, ...]]
#: by kind and name of their scope
Figures = dict[tuple[str, str], BudgetFigures]


class Standings:
    """Of one port.

    :param budgets: those that a call must pass, as `Allowances.of`
    :param wall: seconds since the epoch
    :param soft_caps: of the port, whatever its settings are
    """

    def __init__(
        self, settings: PortSettings, budgets: BudgetsOf, wall: Callable[[], float], soft_caps: SoftCaps
    ) -> None:
        self._settings = settings
        self._budgets = budgets
        self._wall = wall
        self.soft_caps = soft_caps

    def notice(self, allowances: Sequence[Allowance]) -> bytes | None:
        """What `X-AWF-Budget` says of these budgets; None: nothing."""
        if not self.soft_caps.passed:
            return None
        now = self._wall()
        return next((said for each in allowances if (said := self.soft_caps.notice(each, now)) is not None), None)

    def look(self) -> tuple[Figures, Figures]:
        """How the enabled caps stand: those in tokens, and those in dollars, in millionths."""
        settings, now = self._settings, self._wall()
        tokens: Figures = {}
        usd: Figures = {}
        for user in {client.user: None for client in settings.clients} or (None,):
            for feature in (OTHER_FEATURES, *(each.name for each in settings.features)):
                for allowance in self._budgets(settings.name, user, feature):
                    key = (allowance.scope.kind, allowance.scope.name)
                    if key not in tokens and allowance.cap.enabled:
                        standing = allowance.standing(now)
                        self.soft_caps.look(allowance, standing)
                        tokens[key] = _figures(standing)
                        if allowance.dollars is not None and allowance.dollars.cap.enabled:
                            usd[key] = _figures(allowance.dollars.standing(now))
        return tokens, usd


def _figures(standing: Standing) -> BudgetFigures:
    known = standing.known
    return BudgetFigures(
        standing.cap, standing.used if known else None, standing.reserved if known else None,
        standing.remaining if known else None, standing.soft_cap, standing.window_start, standing.window_end,
    )  # fmt: skip


def in_dollars(figures: BudgetFigures) -> dict[str, float | int | None]:
    """A cap in dollars for `/reflect`."""

    def shown(amount: int | None) -> float | None:
        return None if amount is None else dollars(amount)

    return {
        "limit": dollars(figures.limit),
        "used": shown(figures.used),
        "reserved": shown(figures.reserved),
        "remaining": shown(figures.remaining),
        "window_start": figures.window_start,
        "window_end": figures.window_end,
    }

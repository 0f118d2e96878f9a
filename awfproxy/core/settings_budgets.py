"""Limits, budgets and features of a port, from a file's tables.

Rules: what a budget may be is said in `budgets`; one that is written but not enabled is worth a warning, and so are a
cap in dollars without a word about tokens, a number for what has no bound where nothing needs one, and a webhook that
there is nothing to tell.
"""

from collections.abc import Iterable

import msgspec

from awfproxy.core.budgets import DEFAULTS, FIELDS, TOKENS_MAX, UNITS, Budget, cap_of, merge
from awfproxy.core.holdings import PLACES
from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Feature, Port, PortBudget
from awfproxy.core.settings_draft import Draft
from awfproxy.core.toml_lines import Path
from awfproxy.core.toml_tables import BudgetTable, FeatureTable, LimitsTable, PortBudgetTable
from awfproxy.core.urls import parse_webhook


def limits_of(table: LimitsTable) -> RateLimits:
    return RateLimits(**msgspec.structs.asdict(table))


def budget_of(draft: Draft, at: Path, table: BudgetTable) -> Budget:
    """The budget of a client or a feature; what is wrong with it is noted."""
    given = {name: getattr(table, name) for name in FIELDS if (*at, name) in draft.document.given}
    merged = merge(DEFAULTS, given)
    if not isinstance(merged, Budget):
        for fault in merged:
            draft.document.fault((*at, fault.field), fault.text)
        return DEFAULTS
    if given and "enabled" not in given:
        draft.warnings.append(
            f"{draft.document.place(at)}: `{'.'.join(at)}` is not enabled, so that nothing of it is enforced; add"
            " `enabled = true`, or `enabled = false` if that is meant."
        )
    if merged.enabled and merged.hard_cap_usd and "hard_cap_tokens" not in given:
        draft.warnings.append(
            f"{draft.document.place((*at, 'hard_cap_usd'))}: `{'.'.join(at)}` has a cap in dollars, and beside it the"
            f" default one of {merged.hard_cap_tokens} tokens; give `hard_cap_tokens` too, {TOKENS_MAX} where only"
            " money is to count."
        )
    if merged.unbounded != "refuse" and merged.mode == "learned":
        draft.warnings.append(
            f"{draft.document.place((*at, 'unbounded'))}: `{'.'.join(at)}.unbounded` says nothing in a learned budget;"
            ' it is for `mode = "strict"`.'
        )
    return merged


def port_budget_of(draft: Draft, at: Path, table: PortBudgetTable) -> PortBudget:
    """The same of a port, which says more."""
    budget = budget_of(draft, at, table)
    path = (*at, "webhook")
    webhook = None
    if table.webhook is not None and (text := draft.text(path, table.webhook)) is not None:
        found = parse_webhook(text)
        if isinstance(found, Secret):
            webhook = found
        else:
            draft.document.fault(path, found)
    return PortBudget(**msgspec.structs.asdict(budget), on_ledger_loss=table.on_ledger_loss, webhook=webhook)


def note_idle_webhook(draft: Draft, at: Path, budget: PortBudget, others: Iterable[Budget]) -> None:
    """A webhook is told of the soft caps of a port's budgets.

    :param others: those of its users and features
    """
    if budget.webhook is not None and not any(each.enabled for each in (budget, *others)):
        draft.warnings.append(
            f"{draft.document.place((*at, 'webhook'))}: `{'.'.join(at)}.webhook` is told nothing, as no budget of this"
            " port is enabled."
        )


def note_lack_of_places(draft: Draft, ports: Iterable[Port]) -> None:
    """A process holds only so many windows: one of each enabled cap, and at the turn of a period the next one too."""
    needed = 0
    for port in ports:
        users = {client.user: client.budget for client in port.clients}
        budgets = [port.budget, *users.values(), *(feature.budget for feature in port.features)]
        needed += sum(cap_of(budget, unit).enabled for budget in budgets for unit in UNITS)
    if 2 * needed > PLACES:
        draft.warnings.append(
            f"{draft.document.name}: {needed} caps of budgets are enabled, and a process can hold {PLACES // 2} through"
            " the turn of their periods: calls of the others would be treated as if the ledger could not be reached."
            " Enable fewer, or spread the ports over several services."
        )


def features_of(draft: Draft, at: Path, tables: dict[str, FeatureTable]) -> tuple[Feature, ...]:
    return tuple(
        Feature(name=name, budget=budget_of(draft, (*at, name, "budget"), table.budget))
        for name, table in tables.items()
    )

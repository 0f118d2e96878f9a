"""Limits, budgets and features of a port, from a file's tables.

Rules: what a budget may be is said in `budgets`; one that is written but not enabled is worth a warning, and so is a
cap in dollars without a word about tokens.
"""

import msgspec

from awfproxy.core.budgets import DEFAULTS, FIELDS, TOKENS_MAX, Budget, merge
from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Feature, PortBudget
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


def features_of(draft: Draft, at: Path, tables: dict[str, FeatureTable]) -> tuple[Feature, ...]:
    return tuple(
        Feature(name=name, budget=budget_of(draft, (*at, name, "budget"), table.budget))
        for name, table in tables.items()
    )

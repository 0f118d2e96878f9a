"""What goes into the ledger and comes out of it.  Tokens are whole numbers, times are seconds since the epoch.

A *window* is one calendar period of a budget.  A *lease* is the piece of a window that one *holder*, a process, may
spend without asking again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from awfproxy.core.budgets import Measure, Scope
from awfproxy.core.windows import Period


class Window(msgspec.Struct, frozen=True, order=True):
    """One period of a scope, named by its start; calls belong to the window in which they were admitted.

    ``measure`` belongs to the identity: a budget that begins to count otherwise begins another account, from the rows.
    With "usd" all amounts are millionths of a dollar in the place of tokens.
    """

    scope: Scope
    period: Period
    start: int
    end: int
    measure: Measure = "reported"


class Holder(msgspec.Struct, frozen=True, order=True):
    """A process that holds leases: the installation's id, and the worker's slot in it."""

    instance: str
    worker: int


class Held(msgspec.Struct, frozen=True):
    """A holder's own figures of one lease.

    ``spent`` never becomes less in the life of a lease; ``reserved`` is for calls that run.  Together they may be over
    ``granted``: the excess is a debt, and the ledger takes it up with whatever call it is told in.
    """

    window: Window
    granted: int
    spent: int
    reserved: int
    #: the part of ``spent`` whose records were read into the ledger for certain
    shown: int = 0
    #: the ledger has said that it has this lease.  False: it may have it as it was before something went out of
    #: ``spent`` because rows show it
    agreed: bool = True


class Standing(msgspec.Struct, frozen=True):
    """A window as all holders together have it, by their last figures."""

    #: handed out as leases, or used before the window's account was opened, and not given back
    committed: int
    #: the part of ``committed`` whose holder died: it counts as used until it is released
    lost: int
    #: the part of ``committed`` that living holders have not spent, or that may have been counted twice
    outstanding: int
    #: the part of ``outstanding`` that is reserved for calls that run
    reserved: int
    #: living leases
    holders: int
    #: another holder waits for pieces: give back what is free
    wanted: bool

    @property
    def used(self) -> int:
        """Spent or lost."""
        return self.committed - self.outstanding


class Grant(msgspec.Struct, frozen=True):
    """The ledger's answer about one lease.  ``granted`` is the truth: the holder takes it over, be it more or less.

    With ``known`` False there is no such lease: the holder must `interface.Ledger.join` before it spends anything.
    """

    window: Window
    granted: int
    #: whether the lease now has free what was asked for
    fits: bool
    standing: Standing
    known: bool = True


class Loss(msgspec.Struct, frozen=True):
    """A lease whose holder is dead: ``lost`` tokens of it count as used from now on."""

    holder: Holder
    window: Window
    lost: int
    #: the ledger had followed the lease to its end.  False: it may have spent what only rows show, and `recount` is due
    followed: bool = True


class Release(msgspec.Struct, frozen=True):
    """What became of a window's lost tokens: ``released`` come back, ``shown`` were really used, as rows say."""

    window: Window
    released: int
    shown: int


class Position(msgspec.Struct, frozen=True):
    """How far an installation's journal is in the ledger: all before ``offset`` (bytes) of ``file``, and older files.

    ``file`` is whatever tells the reader its files apart; the ledger only keeps it.
    """

    instance: str
    file: str
    offset: int


class Setting(msgspec.Struct, frozen=True):
    """The stored fields of a budget, only those that were set, and who changed them last, and when.

    ``fields`` is as it was stored: nobody has checked it since, and what cannot be read is empty.
    """

    scope: Scope
    fields: dict[str, Any]
    changed_by: str
    changed_at: float


class Share(msgspec.Struct, frozen=True):
    """One line of a breakdown; ``name`` None: the calls of which it is not known."""

    name: str | None
    tokens: int
    calls: int
    #: dollars, of the calls whose model has a price
    usd: float = 0.0
    #: the other calls that used something
    unpriced_calls: int = 0


def ranked(shares: Iterable[Share]) -> list[Share]:
    """The greatest share first; those alike by name."""
    return sorted(shares, key=lambda share: (-share.tokens, -share.calls, share.name or ""))


class Breakdown(msgspec.Struct, frozen=True):
    """A port's use, three times divided; the greatest share first."""

    features: list[Share]
    models: list[Share]
    users: list[Share]


class Cost(msgspec.Struct, frozen=True):
    """Money, and what it does not cover: calls and tokens of models that have no price."""

    usd: float
    unpriced_calls: int
    unpriced_tokens: int

"""What can be wrong with somebody's HTTP, as a value.

A reader never raises for bytes from outside: it returns a `Fault` and from then on eats what it is fed.
"""

from __future__ import annotations


class Fault:
    """Why a message was not accepted.  ``reason`` is ours and short; it holds nothing of the bytes themselves."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Fault({self.reason!r})"

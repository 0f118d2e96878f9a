"""What somebody else counted: one row of a provider's export, or one call of an agent's log.

Rules: tokens stand in classes that do not overlap (`CLASSES`), whatever the source calls them.  What a source does not
tell is None, and is compared as a part of the class it is in there (`FOLDS`).  Money is in whole pico-dollars.
"""

from __future__ import annotations

from typing import Final

import msgspec

#: classes of tokens, none a part of another; the third is what is kept for five minutes, or as long as is usual
CLASSES: Final = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)
UNCACHED, READ, WRITE, WRITE_1H, OUTPUT = range(len(CLASSES))
#: a class that a side does not tell, and where its tokens are then; in this order
FOLDS: Final = ((WRITE_1H, WRITE), (WRITE, UNCACHED), (READ, UNCACHED))
#: classes of the input
INPUT: Final = (UNCACHED, READ, WRITE, WRITE_1H)
#: what they are called in a sentence
WORDS: Final = ("uncached input", "cache reads", "cache writes", "1-hour cache writes", "output")

Counts = tuple[int | None, int | None, int | None, int | None, int | None]
#: of a row that tells nothing of tokens
NO_COUNTS: Final[Counts] = (None, None, None, None, None)

HOUR: Final = 3_600
DAY: Final = 86_400


class Used(msgspec.Struct, frozen=True, gc=False):
    """One row."""

    #: of `core.providers`; empty: of any (logs of agents)
    provider: str
    #: the time it is about, seconds since the epoch, the end not included
    begin: int
    end: int
    #: None: the source does not tell models apart
    model: str | None
    counts: Counts = NO_COUNTS
    #: calls; None: not said
    requests: int | None = None
    #: pico-dollars; None: no row of costs
    cost: int | None = None
    #: what a row of costs is for that is no model's tokens: searches, storage
    item: str | None = None
    #: the key, and the project or workspace, by id or name, as far as the export tells them
    key: str | None = None
    project: str | None = None
    #: of a batch, whose usage no answer tells
    batch: bool = False
    #: by how much the written figure may be off: tokens of each class, pico-dollars
    token_slack: int = 0
    cost_slack: int = 0
    #: tells the row of the same thing in another file
    identity: int = 0
    #: tells the same row of the same file; all that is written there is in it
    written: int = 0
    #: what the rows of its form can be grouped by, and what stands there; None, or empty: nothing
    columns: tuple[str, ...] = ()
    grouping: tuple[str | None, ...] = ()

    @property
    def tells_tokens(self) -> bool:
        return any(count is not None for count in self.counts)


class Faults:
    """What is wrong with files, each with its place; the first are kept in words, all are counted."""

    #: sentences that are kept
    KEPT_MAX: Final = 20

    def __init__(self) -> None:
        self.count = 0
        self.sentences: list[str] = []

    def add(self, place: str, what: str) -> None:
        """
        :param place: file, line and column, as far as there are any: ``usage.csv:12: column input_tokens``
        """
        self.count += 1
        if len(self.sentences) < self.KEPT_MAX:
            self.sentences.append(f"{place}: {what}.")

    def lines(self) -> list[str]:
        """Whole sentences."""
        more = self.count - len(self.sentences)
        return [*self.sentences, f"{more:,} more faults like these."] if more else self.sentences

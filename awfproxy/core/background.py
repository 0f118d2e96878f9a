"""Work that goes on after its answer, counted once.

Some APIs answer before the model has worked: a Response or an interaction with ``background``, a run of the Assistants
API.  The answer has an id and says "queued"; the usage comes with a later answer about that id, to whoever asks, as
often as they ask.  It is counted with the first one that shows the work finished, if the work was begun through the
same port; everything else that is asked about stored work uses no tokens.

Sources: OpenAI, "Background mode" (non-terminal while ``queued`` or ``in_progress``) and "Runs" (``requires_action``,
``cancelling``); Google, "Interactions API"; Perplexity, "Background mode".

Ids are kept as keyed hashes, as in the records, so that what is unfinished can be told from ``requests.jsonl`` again
after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from awfproxy.core.kinds import Kind

if TYPE_CHECKING:
    from awfproxy.core.usage import Reading

#: what an answer says of work that is not at its end; any other word is an end
WAITS: Final = "requires_action"
UNFINISHED: Final = frozenset(("queued", "in_progress", WAITS, "cancelling"))
#: unfinished works that a port remembers, the oldest forgotten first: OpenAI keeps them to be polled for 10 minutes
WORKS_MAX: Final = 4096


class Works:
    """The unfinished works of one port, by name."""

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: dict[str, None] = {}
        for name in names:
            self.began(name)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __len__(self) -> int:
        return len(self._names)

    def began(self, name: str) -> None:
        """Work goes on under this name."""
        self._names.pop(name, None)
        self._names[name] = None
        if len(self._names) > WORKS_MAX:
            del self._names[next(iter(self._names))]

    def ended(self, name: str) -> bool:
        """It is about to be counted: whether it is for the caller to count it, because it went on until now."""
        if name not in self._names:
            return False
        del self._names[name]
        return True


def goes_on(kind: Kind, background: bool, reading: Reading, *, whole: bool = False) -> str | None:
    """The id under which work goes on after this answer; None: it does not, or nobody can ask for it.

    A stream that was cut is no proof by itself: providers cancel what is not in the background.  One that came whole
    and waits for its client to act is: a run tells its usage, that of its steps included, when it is at its end.

    :param background: the request asked for it
    :param whole: the answer came to its end
    """
    status = reading.object_status
    if not kind.may_go_on or reading.final or status not in UNFINISHED:
        return None
    told = background or reading.framing == "json" or (whole and status == WAITS)
    return reading.object_id if told else None


def is_over(work: str, reading: Reading) -> bool:
    """Whether an answer about ``work`` shows it finished.

    An interaction that needs its client to act is, and says its usage; a run in the same state is not, and does not.
    """
    status = reading.object_status
    if reading.object_id != work or status is None:
        return False
    return status not in UNFINISHED or (status == WAITS and reading.final)

"""What the simulated providers keep of their answers: asked for again, finished later, cancelled, deleted.

Work that was asked for in the background is unfinished for the first polls (``x-sim-polls``) and then done; a stream of
it that was read whole shows its end too.  What it used stands in the ledger with the answer that told it first:
``told_by``.  Bounded: the newest `WORKS_MAX` works, each with no more of its request than its answer repeats.

Sources: platform.openai.com/docs/guides/background and /docs/api-reference/responses,
ai.google.dev/gemini-api/docs/interactions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import msgspec

from awfproxy.simulator import interactions, responses
from awfproxy.simulator.answers import Answer, document
from awfproxy.simulator.asking import Ask
from awfproxy.simulator.ledger import Call

#: Works that can still be asked for; older ones are forgotten.
WORKS_MAX = 1000
#: Bytes of JSON that one member of a request may have to be kept with the work, which repeats it.
MEMBER_MAX = 4096
#: Answers that show work in the background unfinished, unless ``x-sim-polls`` says how many.
USUAL_POLLS = 1

#: The APIs whose answers are kept, and the shapes of those.
SHAPES: Mapping[str, ModuleType] = {"responses": responses, "interactions": interactions}


class Work:
    """One answer that was kept."""

    __slots__ = ("ask", "cancelled", "polls", "shape", "told_by")

    def __init__(self, ask: Ask, call: Call) -> None:
        self.ask = ask
        self.shape = SHAPES[ask.api]
        #: answers that will still show it unfinished
        self.polls = (USUAL_POLLS if ask.mode.polls is None else ask.mode.polls) if ask.background else 0
        self.cancelled = False
        #: the call whose answer told what was used, or was to
        self.told_by: Call | None = call if ask.stream or not ask.background else None

    @property
    def told(self) -> bool:
        """Somebody got the answer that says what was used, or would if the mode let it."""
        by = self.told_by
        if by is None or by.end not in (("complete",) if by.streaming else ("complete", "open")):
            return False
        return by.reported or not self.ask.says_usage

    @property
    def over(self) -> bool:
        """Nothing will change any more."""
        return self.cancelled or not self.ask.background or not self.polls or self.told


class Refusal(Exception):
    """What is asked of a stored answer cannot be done; the text says why (400)."""


class Works:
    """The works kept, by id."""

    def __init__(self) -> None:
        self._works: OrderedDict[str, Work] = OrderedDict()

    def keep(self, ask: Ask, call: Call) -> None:
        """Remember an answer, unless its request says not to."""
        if ask.body.get("store") is False and not ask.background:
            return
        small = {name: member for name, member in ask.body.items() if _is_small(name, member)}
        work = Work(msgspec.structs.replace(ask, body=small), call)
        self._works[work.shape.identity(ask)] = work
        while len(self._works) > WORKS_MAX:
            self._works.popitem(last=False)

    def show(self, name: str, query: Mapping[str, str], call: Call) -> Answer | None:
        """The answer as it stands now, or (``stream=true``) its events; None: there is none.

        Only the one that first tells what work in the background used has figures.

        :raises Refusal: a stream of what was not made as one
        """
        work = self._works.get(name)
        if work is None:
            return None
        if query.get("stream") == "true":
            if not (work.ask.background and work.ask.stream):
                raise Refusal("Only what was created in the background and as a stream can be streamed again.")
            begin = query.get("starting_after") or query.get("last_event_id") or ""
            return self._once(work, work.shape.stream(work.ask, begin), call)
        if work.cancelled:
            return document(work.shape.unfinished(work.ask, "cancelled"), indent=2)
        if not work.over:
            work.polls -= 1
            return document(work.shape.unfinished(work.ask, "in_progress"), indent=2)
        return self._once(work, work.shape.document(work.ask), call)

    def _once(self, work: Work, answer: Answer, call: Call) -> Answer:
        if work.told or work.cancelled or not work.ask.background:
            answer.figures = None
        else:
            work.told_by = call
        return answer

    def cancel(self, name: str, call: Call) -> Answer | None:
        """Stop work in the background; what is over stays as it is, and is answered.  None: there is none.

        :raises Refusal: it was not made in the background
        """
        work = self._works.get(name)
        if work is None:
            return None
        if not work.ask.background:
            raise Refusal("Only what was created in the background can be cancelled.")
        work.cancelled = work.cancelled or not work.over
        return self.show(name, {}, call)

    def forget(self, name: str) -> Answer | None:
        """Delete an answer; None: there is none."""
        work = self._works.pop(name, None)
        if work is None:
            return None
        said: dict[str, Any] = {"id": name, "object": "response.deleted", "deleted": True}
        return document(said if work.ask.api == "responses" else {})


def _is_small(name: str, member: object) -> bool:
    return name != "input" and len(msgspec.json.encode(member)) <= MEMBER_MAX

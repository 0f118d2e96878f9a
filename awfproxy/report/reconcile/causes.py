"""Why two sides differ: what is known of the calls is tried in a fixed order, and each step takes its part of the rest.

The order goes from what the figures prove to what they only allow:

1. `model-alias`: one model by two names; `model-differs`: the figures are those of a model of another name.
2. `rounding`: within half of the last digit that the export writes.
3. `missing-here`: a batch, or a single key of the export whose figures are exactly the difference; again after the
   next step.
4. `day-edge`: near an edge what one side has too much the other has in the period beside it, and our calls there are
   enough for it.
5. `count-differs`: the same input in other classes (cache reads as uncached input), or exactly the reasoning.
6. `estimated-here`, `unknown-here`: our figures are not the provider's.
7. What is left: more there is `missing-here`, more here `missing-there`, and where both have as many calls it is
   `count-differs`; `partial-there` where an agent's log has less of the output for as many calls.  For money:
   `price-differs` where the tokens agree.

The words say how it comes, `sure` how well the figures show it.
"""

from __future__ import annotations

from collections.abc import Iterable

from awfproxy.report.reading import many
from awfproxy.report.reconcile.books import Here, Part
from awfproxy.report.reconcile.comparison import Cause, Compared, Pair, Surety
from awfproxy.report.reconcile.names import Families
from awfproxy.report.reconcile.used import INPUT, OUTPUT, WORDS

Vector = list[int]


def explain(compared: Compared, agents: bool = False) -> None:
    """Finds the causes of all differences of tokens.

    :param agents: the other side is agents' logs
    """
    families = Families()
    for pair in compared.pairs:
        _alias(pair, families)
        _rounding(pair)
        _parts(pair)
    _edges(compared)
    for pair in compared.pairs:
        _parts(pair)
        _shift(pair)
        _thought(pair)
        _inexact(pair)
        _rest(pair, compared, agents)


def explain_money(compared: Compared, tokens: Iterable[Pair]) -> None:
    """The same for money; what the tokens do says most about it.  Costs have the models' names as people write them, so
    that another name says nothing.
    """
    by_key = {pair.key: pair for pair in tokens}
    for pair in compared.pairs:
        _rounding(pair)
    _edges(compared)
    for pair in compared.pairs:
        if not pair.differs:
            continue
        if pair.rest[0] < 0 and pair.here.unknown[0]:
            words = f"{pair.here.unknown[0]:,} calls have no price here"
            sure: Surety = "sure" if pair.here.unknown[0] == pair.here.calls else "likely"
            pair.explain(Cause("unknown-here", sure, words, list(pair.rest)))
            continue
        same = by_key.get(pair.key)
        if same is not None and not any(same.beyond):
            words = "the tokens agree: another rate, a discount, credits, or a service tier that answers do not tell"
            pair.explain(Cause("price-differs", "sure", words, list(pair.rest)))
        elif same is not None and pair.here.calls and pair.there.rows:
            words = "the tokens differ too: see there"
            pair.explain(Cause("count-differs", "likely", words, list(pair.rest)))
        else:
            _rest(pair, compared, agents=False)


def _alias(pair: Pair, families: Families) -> None:
    here, there = set(pair.here.names), set(pair.there.names)
    if not here or not there or (here & there):
        return
    words = f"called {_some(here)} here and {_some(there)} there"
    nothing = [0] * len(pair.rest)
    if {families.of(name) for name in here} & {families.of(name) for name in there}:
        pair.explain(Cause("model-alias", "likely" if pair.differs else "sure", words, nothing))
        return
    # Equal figures do not make one model of two: somebody may have been given, or billed, another one.
    pair.explain(Cause("model-differs", "likely", f"{words}, with the same figures", nothing))


def _rounding(pair: Pair) -> None:
    if pair.there.slack and pair.differs and all(abs(rest) <= pair.there.slack for rest in pair.rest):
        pair.explain(Cause("rounding", "sure", "within the last digit that the export writes", list(pair.rest)))


def _edges(compared: Compared) -> None:
    pairs = {pair.key: pair for pair in compared.pairs}
    for key, pair in sorted(pairs.items()):
        after = key._replace(period=key.period + 1)
        if (other := pairs.get(after)) is not None:
            # What is too much on one side of the edge and missing on the other, as far as calls are near it.
            _move(pair, other, pair.folded(pair.here.late), +1)
            _move(pair, other, pair.folded(other.here.early), -1)
        else:
            _leave(pair, pair.here, compared.beside.get(after), late=True)
        before = key._replace(period=key.period - 1)
        if before not in pairs:
            _leave(pair, pair.here, compared.beside.get(before), late=False)


def _move(pair: Pair, other: Pair, room: Vector, sign: int) -> None:
    parts = [
        sign * min(sign * first, -sign * second, most) if sign * first > 0 > sign * second else 0
        for first, second, most in zip(pair.rest, other.rest, room, strict=True)
    ]
    if not any(parts):
        return
    after = [rest - part for rest, part in zip(pair.rest, parts, strict=True)]
    beyond = [rest + part for rest, part in zip(other.rest, parts, strict=True)]
    sure: Surety = "possible" if any(after) and any(beyond) else "likely"
    words = f"calls near the edge, which the other side counts in the period {'after' if sign > 0 else 'before'} ours"
    pair.explain(Cause("day-edge", sure, words, parts))
    other.explain(Cause("day-edge", sure, words, [-part for part in parts]))


def _leave(pair: Pair, here: Here, beside: Here | None, *, late: bool) -> None:
    """The edge of what the export covers: only what is explained in whole is."""
    if not pair.differs:
        return
    own = pair.folded(here.late if late else here.early)
    if all(0 <= rest <= most for rest, most in zip(pair.rest, own, strict=True)):
        words = "calls near the edge of the export, counted beyond it there"
    elif beside is not None and all(
        0 <= -rest <= most
        for rest, most in zip(pair.rest, pair.folded(beside.early if late else beside.late), strict=True)
    ):
        words = "calls near the edge of the export, made beyond it here"
    else:
        return
    pair.explain(Cause("day-edge", "possible", words, list(pair.rest)))


def _parts(pair: Pair) -> None:
    """Batches, and keys of which one alone is the difference."""
    if not any(rest < 0 for rest in pair.rest) or any(cause.code == "missing-here" for cause in pair.causes):
        return
    batches = _sum(pair, [part for part in pair.there.parts if part.batch])
    if any(batches) and _fits(batches, pair.rest):
        words = "batches: no answer that passes tells their usage"
        sure: Surety = "sure" if [-count for count in batches] == pair.rest else "likely"
        pair.explain(Cause("missing-here", sure, words, [-count for count in batches]))
    if len({part.key for part in pair.there.parts}) < 2:
        return
    for name in sorted({part.key for part in pair.there.parts if part.key is not None}):
        of_key = _sum(pair, [part for part in pair.there.parts if part.key == name and not part.batch])
        if any(of_key) and [-count for count in of_key] == pair.rest:
            words = f"just what the key {name} used: it is not the proxy's (--key names those that are)"
            pair.explain(Cause("missing-here", "sure", words, list(pair.rest)))
            return


def _sum(pair: Pair, parts: Iterable[Part]) -> Vector:
    total = [0] * len(pair.rest)
    for part in parts:
        total = [a + b for a, b in zip(total, pair.there.parts[part], strict=True)]
    return pair.folded(total)


def _fits(part: Vector, rest: Vector) -> bool:
    return all(count <= max(-left, 0) for count, left in zip(part, rest, strict=True))


def _shift(pair: Pair) -> None:
    """The same input, in other classes."""
    more = sum(max(pair.rest[place], 0) for place in INPUT)
    fewer = sum(max(-pair.rest[place], 0) for place in INPUT)
    # What is a small part of either is chance: calls that one side lacks have some of every class.
    if not more or not fewer or min(more, fewer) * 2 < max(more, fewer):
        return
    left = min(more, fewer)
    parts = [0] * len(pair.rest)
    for sign in (1, -1):
        room = left
        for place in INPUT:
            parts[place] += sign * min(max(sign * pair.rest[place], 0), room)
            room -= min(max(sign * pair.rest[place], 0), room)
    here = [WORDS[place] for place in INPUT if parts[place] > 0]
    there = [WORDS[place] for place in INPUT if parts[place] < 0]
    sure: Surety = "likely" if more == fewer else "possible"
    words = f"the same input, counted as {' and '.join(here)} here and as {' and '.join(there)} there"
    pair.explain(Cause("count-differs", sure, words, parts))


def _thought(pair: Pair) -> None:
    if pair.here.thought and abs(pair.rest[OUTPUT]) == pair.here.thought:
        parts = [0] * len(pair.rest)
        parts[OUTPUT] = pair.rest[OUTPUT]
        words = "just the reasoning: one side counts it in the output, the other does not"
        pair.explain(Cause("count-differs", "likely", words, parts))


def _inexact(pair: Pair) -> None:
    inexact = pair.folded(pair.here.inexact)
    parts = [max(-most, min(rest, most)) for rest, most in zip(pair.rest, inexact, strict=True)]
    if any(parts):
        sure: Surety = "likely" if parts == pair.rest else "possible"
        words = f"estimated or partial figures in {pair.here.inexact_calls:,} of our calls"
        pair.explain(Cause("estimated-here", sure, words, parts))
    unknown = [count if told else 0 for count, told in zip(pair.here.unknown, pair.told, strict=True)]
    parts = [rest if rest < 0 and count else 0 for rest, count in zip(pair.rest, unknown, strict=True)]
    if any(parts):
        calls = max(count for count, part in zip(unknown, parts, strict=True) if part)
        words = f"not known in {calls:,} of our calls: the answers did not say"
        # Calls that are missing altogether have more of the other classes too.
        others = any(rest < 0 and not part for rest, part in zip(pair.rest, parts, strict=True))
        pair.explain(Cause("unknown-here", "possible" if others else "likely", words, parts))


def _rest(pair: Pair, compared: Compared, agents: bool) -> None:
    fewer = [min(rest, 0) for rest in pair.rest]
    more = [max(rest, 0) for rest in pair.rest]
    calls = pair.calls
    if any(fewer):
        pair.explain(_missing_here(pair, fewer, calls, compared, agents))
    if any(more):
        pair.explain(_missing_there(pair, more, calls, compared, agents))


def _missing_here(pair: Pair, parts: Vector, calls: int | None, compared: Compared, agents: bool) -> Cause:
    told = None if calls is None or calls >= 0 else calls
    if not pair.here.calls:
        words = "the agent called its provider directly" if agents else "another key, or calls past the proxy"
        if (pair.key.provider, pair.key.family) in compared.went:
            words = f"nothing of this model went through the proxy in this time, but in others: {words}"
            return Cause("missing-here", "likely", words, parts, told)
        return Cause("missing-here", "sure", f"nothing of this model went through the proxy: {words}", parts, told)
    if told is not None:
        words = f"{-told:,} more calls there: " + ("made past the proxy" if agents else "another key or past the proxy")
        return Cause("missing-here", "likely", words, parts, told)
    if calls is None:
        words = "calls of another key, or past the proxy; the export does not say how many calls it has"
        # A class in which nothing is missing makes calls that are missing less likely.
        sure: Surety = "likely" if all(part < 0 for part in _of(parts, pair)) else "possible"
        return Cause("missing-here", sure, words, parts)
    return Cause("count-differs", "possible", _differs(parts, calls, agents), parts)


def _missing_there(pair: Pair, parts: Vector, calls: int | None, compared: Compared, agents: bool) -> Cause:
    told = None if calls is None or calls <= 0 else calls
    calendar = compared.book.calendars[pair.key.provider]
    count = f"{many(told, 'more call')} here: " if told is not None else ""
    if agents:
        if told is None and calls is not None:
            if not any(parts[place] for place in INPUT):
                words = "the log has less of the output: some agents write the count of an answer's beginning"
                return Cause("partial-there", "likely", words, parts)
            return Cause("count-differs", "possible", _differs(parts, calls, agents), parts)
        return Cause(
            "missing-there", "likely", f"{count}other programs on this port, or lines missing in the log", parts, told
        )
    if pair.key.period in calendar.cut:
        return Cause("missing-there", "sure", f"{count}the export is one page of several; fetch the next", parts, told)
    if pair.key.period >= compared.last[pair.key.provider]:
        words = f"{count}the last period of which the export has anything; it may have been made too early"
        return Cause("missing-there", "likely", words, parts, told)
    if told is None and calls is not None:
        return Cause("count-differs", "possible", _differs(parts, calls, agents), parts)
    words = f"{count}the export is of other keys or projects, or the provider does not count calls that failed"
    return Cause("missing-there", "likely" if not pair.there.rows or told else "possible", words, parts, told)


def _of(parts: Vector, pair: Pair) -> Vector:
    """The parts of classes that the other side has any of."""
    return [part for part, count in zip(parts, pair.theirs, strict=True) if count]


def _differs(parts: Vector, calls: int, agents: bool) -> str:
    which = [WORDS[place] for place, part in enumerate(parts) if part] if len(parts) > 1 else ["money"]
    whose = "the log" if agents else "the provider"
    where = "less" if sum(parts) > 0 else "more"
    both = "as many calls on both sides" if calls == 0 else "the number of calls does not tell"
    return f"{both}; {whose} has {where} {' and '.join(which)}"


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

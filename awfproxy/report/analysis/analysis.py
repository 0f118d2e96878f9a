"""Analyses records: one pass over them, and what came of it.

Rules: the order in which files are given never shows.  Memory is bounded: conversations, sets of tools, models and
places by named limits, and the ids of records as in every report (20 bytes each).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, Literal

import msgspec

from awfproxy.report.analysis import caching, growth, told_again, tool_calls, turn_names
from awfproxy.report.analysis.amounts import Amounts, Claim, Places
from awfproxy.report.analysis.board import Board, Evidence, Found
from awfproxy.report.analysis.codes import CAP_REFUSALS, ESTIMATED_SHARE, KINDS, Kind
from awfproxy.report.analysis.conversations import Conversation, Conversations
from awfproxy.report.analysis.in_order import InOrder
from awfproxy.report.analysis.models import Models
from awfproxy.report.analysis.refusals import Refusals
from awfproxy.report.analysis.steps import Reader, Step
from awfproxy.report.analysis.thresholds import Thresholds
from awfproxy.report.analysis.toolsets import Toolsets
from awfproxy.report.costs import PICO
from awfproxy.report.filters import Filters
from awfproxy.report.lines import find_files, size_of
from awfproxy.report.reading import REQUESTS, USAGE, USAGE_BUT, Remarks, expected, many
from awfproxy.report.seen import Seen

if TYPE_CHECKING:
    from awfproxy.report.costs import Costs

Severity = Literal["high", "medium", "low"]
SEVERITIES: Final[tuple[Severity, ...]] = ("high", "medium", "low")
#: percent of confidence that a finding must have to be high
SURE_ENOUGH: Final = 50
#: percent: a record says itself where its figures are from
SURE_INEXACT: Final = 100


class Finding(msgspec.Struct, frozen=True):
    """What was found of one kind."""

    code: str
    severity: Severity
    #: single calls, conversations, sets of tools or models: what the code is about
    cases: int
    #: percent, the mean of its cases
    sure: int
    amounts: Amounts
    #: of all cost, or of all tokens where that is more: what would be saved, or is concerned where nothing is
    share: float
    places: Places
    #: those worth most, at most `board.EVIDENCE_MAX`
    evidence: tuple[Evidence, ...]

    @property
    def kind(self) -> Kind:
        return KINDS[self.code]


class Analysis:
    """What was read, and what was found."""

    def __init__(self, limits: Thresholds, costs: Costs | None, filters: Filters) -> None:
        self.limits = limits
        #: None: nobody asked what it costs
        self.costs = costs
        self.filters = filters
        self.remarks = Remarks()
        #: by place: `tokens` and `pico` of all calls
        self.places = Places()
        self.whole = Amounts()
        #: calls of which it is known which conversation they are of
        self.of_conversations = 0
        self.first = ""
        self.last = ""
        self.findings: list[Finding] = []
        #: what all findings come to, nothing counted twice
        self.total = Amounts()
        self.with_turns = False
        #: whole sentences
        self.notes: list[str] = []

    @property
    def found(self) -> bool:
        """Whether there were any records."""
        return self.whole.calls > 0 or bool(self.findings)

    def finding(self, code: str) -> Finding | None:
        """The finding of that code."""
        return next((each for each in self.findings if each.code == code), None)


class _Pass:
    """One pass over the calls."""

    def __init__(self, analysis: Analysis, turns: turn_names.TurnNames) -> None:
        self.analysis = analysis
        self.limits = analysis.limits
        self.turns = turns
        self._with_turns = bool(turns)
        self.board = Board()
        self.conversations = Conversations(self._done)
        self.toolsets = Toolsets(self.limits, self.board)
        self.models = Models(self.limits, analysis.costs)
        self.retrieval = tool_calls.Retrieval()
        self.inexact = Found()

    def take(self, step: Step) -> None:
        """One more call, in the order of time."""
        analysis, board = self.analysis, self.board
        if self._with_turns:
            run, model, _ = step.place
            step.place = (run, model, self.turns.of(step.row.request_id))
        self._count(step)
        # What most calls are not concerned in is not even entered: there may be a million.
        hints, limits = step.hints, self.limits
        if hints is not None and hints.tools_bytes:
            self.toolsets.offered(step, hints)
        if step.whole and step.exact:
            self.models.add(step)
        conversation = self.conversations.of(step)
        if conversation is None:
            self._end(step)
            return
        analysis.of_conversations += 1
        growth.seen(conversation, step)
        last = conversation.last
        if last is not None and told_again.same_request(step, last):
            # Whoever is asked: the conversation has not gone on, and its tools are told again.
            if last.whole or not (told_again.sent_again(step, last) and told_again.retried(board, step, last, limits)):
                self._end(last)
            else:
                board.finish(last)
        else:
            if step.exact and step.prompt is not None:
                if step.whole:
                    caching.prefix_broken(board, conversation, step, limits)
                    if step.read == 0 and step.written == 0:
                        caching.never_cached(board, conversation, step, limits)
                growth.grown(conversation, step, limits)
            if hints is not None:
                if hints.tool_call_hashes:
                    tool_calls.called_again(board, self.conversations, conversation, step, hints, limits)
                if conversation.fetching is not None or hints.tool_call_hashes:
                    self.retrieval.only_fetched(conversation, step, hints, limits)
            if last is not None:
                self._end(last)
        conversation.last = step
        if hints is not None and hints.response_id_hash is not None:
            self.conversations.answered(conversation, hints.response_id_hash)

    def _end(self, step: Step) -> None:
        """The call was not sent again, and nothing more is claimed of it."""
        if not step.whole:
            told_again.aborted(self.board, step, self.limits)
        self.board.finish(step)

    def _count(self, step: Step) -> None:
        analysis = self.analysis
        place = analysis.places.at(step.place)
        place.calls += 1
        place.tokens += step.tokens
        place.pico += step.cost
        place.unpriced += not step.priced
        place.least += step.priced and (step.least or not step.known)
        place.unknown += not step.known
        if step.end > analysis.last:
            analysis.last = step.end
        if not step.exact:
            claim = Claim(step.tokens, step.cost, 0, 0)
            self.inexact.amounts.add(claim, priced=step.priced)
            self.inexact.places.at(step.place).add(claim, priced=step.priced)
            figures = {"source": step.row.usage_source or "?", "outcome": step.row.outcome or "?"}
            self.inexact.case(step, claim, SURE_INEXACT, figures)
        if step.end and (not analysis.first or step.end < analysis.first):
            analysis.first = step.end

    def _done(self, conversation: Conversation) -> None:
        if conversation.last is not None:
            self._end(conversation.last)
        growth.conversation_done(self.board, conversation)
        caching.conversation_done(self.board, conversation, self.limits)
        tool_calls.conversation_done(self.board, conversation, self.limits)

    def conclude(self, refusals: Refusals) -> None:
        """All calls have come."""
        analysis, board = self.analysis, self.board
        analysis.whole = analysis.places.sum()
        self.conversations.close()
        self.toolsets.conclude()
        self.models.conclude(board)
        analysis.total = board.total()
        found = dict(board.found)
        calls, inexact = analysis.whole.calls, self.inexact.amounts.calls
        if inexact and calls >= self.limits.estimated_calls and inexact >= self.limits.estimated_share * calls:
            found[ESTIMATED_SHARE] = self.inexact
        refused = refusals.conclude(self.limits)
        if refused is not None:
            found[CAP_REFUSALS] = refused
        for code, each in found.items():
            analysis.findings.append(_finding(code, each, analysis, refusals.count))
        analysis.findings.sort(key=_order)
        analysis.notes = self._notes()

    def _notes(self) -> list[str]:
        analysis = self.analysis
        said = []
        silent = analysis.whole.calls - analysis.of_conversations
        if silent:
            said.append(
                f"Nothing is known of the conversation of {silent:,} of {many(analysis.whole.calls, 'call')}: what "
                "goes by it cannot be found there."
            )
        if self.conversations.forgotten:
            forgotten = many(self.conversations.forgotten, "conversation")
            said.append(f"{forgotten} forgotten before their end, for want of memory.")
        if self.turns.overflowed:
            said.append(f"The turns of {many(self.turns.overflowed, 'call')} are not told: too many.")
        return said


def _finding(code: str, found: Found, analysis: Analysis, refused: int) -> Finding:
    whole, amounts = analysis.whole, found.amounts
    sure = (found.sure + found.cases // 2) // max(found.cases, 1)
    if code == CAP_REFUSALS:
        share = amounts.calls / max(whole.calls + refused, 1)
    elif code == ESTIMATED_SHARE:
        share = amounts.calls / max(whole.calls, 1)
    else:
        share = max(
            amounts.saved_pico / whole.pico if whole.pico else 0.0,
            amounts.saved_tokens / whole.tokens if whole.tokens else 0.0,
        )
    limits = analysis.limits
    severity: Severity = "low"
    if share >= limits.severity_medium:
        # A large part of next to nothing is not worth stopping anybody.
        small = 0 < amounts.saved_pico < limits.severity_saved * PICO and not amounts.unpriced
        severity = "high" if share >= limits.severity_high and sure >= SURE_ENOUGH and not small else "medium"
    return Finding(code, severity, found.cases, sure, amounts, share, found.places, tuple(found.evidence))


def _order(finding: Finding) -> tuple[int, int, int, str]:
    """What saves most money comes first, then most tokens."""
    amounts = finding.amounts
    return -amounts.saved_pico, -amounts.saved_tokens, -amounts.tokens, finding.code


@contextmanager
def _without_cycles() -> Iterator[None]:
    """Nobody looks for cycles of references meanwhile: nothing here makes any, and looking through all that is
    remembered of conversations, over and over, takes a fifth of the time."""
    looking = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looking:
            gc.enable()


def files_of(paths: Sequence[str]) -> list[str]:
    """The files in which records are: of a folder requests*.jsonl* and token-usage*.jsonl*, and those in the folders
    within."""
    return list(dict.fromkeys([*find_files(paths, REQUESTS, "\0"), *find_files(paths, USAGE, USAGE_BUT)]))


def analyse(
    paths: Sequence[str],
    *,
    limits: Thresholds | None = None,
    costs: Costs | None = None,
    filters: Filters | None = None,
    turns: Sequence[str] = (),
    stdin: IO[bytes] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Analysis:
    """Reads files, folders and "-" in one pass.

    :param costs: how to price; None: not at all
    :param turns: what `awf logs turns` wrote, beside those among `paths` that are called so
    :param stdin: what "-" means; the process's own standard input if None
    :param progress: told now and then how many bytes of the files have been read
    """
    analysis = Analysis(limits or Thresholds(), costs, filters or Filters())
    named = turn_names.files_of(paths)
    names = turn_names.TurnNames([*named, *turns])
    analysis.with_turns = bool(names)
    files = [path for path in files_of(paths) if path not in named]
    refusals = Refusals(analysis.filters)
    reader = Reader(costs, analysis.filters, Seen(expected(size_of(files), files)), analysis.remarks)
    calls = InOrder(files, reader, analysis.remarks, stdin=stdin, other=refusals.take, progress=progress)
    once = _Pass(analysis, names)
    with _without_cycles():
        for step in calls:
            once.take(step)
    once.conclude(refusals)
    analysis.remarks.troubles += names.troubles
    if names.skipped:
        analysis.notes.append(f"{many(names.skipped, 'line')} of the turns' files skipped.")
    if calls.out_of_order:
        analysis.notes.append(
            f"{many(calls.out_of_order, 'record')} far from their place in time: of their conversations less is found."
        )
    return analysis

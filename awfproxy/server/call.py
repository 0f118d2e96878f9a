"""The life of one call: from its head to its record.

A call begins when a client's head is whole.  Its request is gathered and admitted (`client_request`), sent upstream
(`exchange`), its answer goes through `answer`, and it ends exactly once (`end`), whatever happens: that makes the
record, and when the record is in the kernel (`recorded`) what was held back goes to the client and the call is over.

Steps:  request.begin → (memory, body) → admission → send → connected → response_head → answer … → end → recorded →
delivered.  Ways out before the answer: refuse, connect_failed, upstream_lost, timed out, client_left, drained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import txaio

from awfproxy.core import outcomes, refusals
from awfproxy.core.message import Header, RequestHead, ResponseHead
from awfproxy.core.outcomes import Outcome
from awfproxy.core.records import BodyFraming
from awfproxy.core.refusals import Refusal
from awfproxy.core.scanner import Scanner
from awfproxy.server.accounting import bare_lines, record_lines
from awfproxy.server.admitted import Admitted
from awfproxy.server.answer import CHUNKED, CLOSE, LENGTH, NO_BODY, Answer
from awfproxy.server.client_request import ClientRequest
from awfproxy.server.exchange import Exchange

if TYPE_CHECKING:
    from awfproxy.server.client import ClientConnection
    from awfproxy.server.port import Port
    from awfproxy.server.upstream import UpstreamConnection

log = txaio.make_logger()

#: after the client left, an answer near its end is read on for so long, or so many bytes: its usage comes last
READ_ON_SECONDS = 2.0
READ_ON_BYTES = 64 * 1024


class Call:
    """One call.  What is public is for its parts, and for `accounting`, which makes the record."""

    # What most calls never change is set here and not in each: there is a call for every request.
    #: our own answer, in place of the provider's
    _reply = b""
    _is_recorded = False
    _ended_at = 0.0
    #: monotonic seconds until which, and bytes of the answer from which, it is read on without its client
    _deadline: float | None = None
    _read_on_from: int | None = None
    #: the journal keeps a place for its record
    has_place = False
    request: ClientRequest
    #: monotonic seconds
    began: float
    #: from admission on
    exchange: Exchange | None = None
    answer: Answer | None = None
    #: that the client is shown
    status: int | None = None
    refusal: Refusal | None = None
    reason: str | None = None
    outcome: Outcome | None = None

    def __init__(self, port: Port, client: ClientConnection, head: RequestHead) -> None:
        self.port = port
        #: None: it has left, or got all that it gets
        self.client: ClientConnection | None = client
        self._close = not head.keep_alive
        self.request_id: str = port.new_request_id()
        self.began = port.monotonic()
        #: seconds since the epoch
        self.arrived_at = port.wall()
        self.request = ClientRequest(self, head)
        port.calls[self] = None
        port.tally.started()

    @property
    def _upstream(self) -> UpstreamConnection | None:
        """The upstream connection at work for it."""
        return None if self.exchange is None else self.exchange.upstream

    @property
    def sent(self) -> bool:
        """The whole request was handed to the upstream, which may have worked on it."""
        return self.exchange is not None and self.exchange.sent

    # -- on the way there

    def send(self, head: RequestHead, admitted: Admitted) -> None:
        """It was let in: send the request."""
        self.exchange = exchange = Exchange(self, head, admitted.strict)
        exchange.begin(head)

    def upstream_lost(self, why: str, invalid: bool) -> None:
        """The upstream connection ended before the answer was whole, and the request will not be sent again.

        :param invalid: what came is not HTTP that may be forwarded
        """
        answer = self.answer
        if answer is not None:
            answer.cut()
            if self.outcome is None:
                self.end(outcomes.CLIENT_LEFT if self.client is None else outcomes.UPSTREAM_CUT, why)
            elif self._is_recorded:
                self.delivered()
        elif self.outcome is not None:
            self._maybe_over()
        elif self.client is None:
            self.end(outcomes.CLIENT_LEFT, why)
        else:
            self.refuse(refusals.upstream_invalid() if invalid else refusals.upstream_closed(), why)

    # -- the answer

    def answer_begins(
        self, head: ResponseHead, came: BodyFraming, scanner: Scanner | None, *, same_length: bool
    ) -> Answer:
        """The head of the provider's answer came.

        :param came: how the upstream frames it
        :param same_length: the client will be sent every byte of it
        """
        port, request, client = self.port, self.request, self.client
        self.status = head.status
        framing: BodyFraming
        if came == NO_BODY:
            framing = NO_BODY
        elif came == LENGTH and same_length:
            framing = LENGTH
        else:
            framing = CHUNKED if request.minor else CLOSE
        if framing == CLOSE or port.entrance.draining or (client is not None and client.leaving):
            self._close = True
        self.answer = answer = Answer(
            self, port.response_head(self, head, framing, request.minor, self._close), framing, scanner,
            self._discard if client is None else client.transport.write,
        )  # fmt: skip
        self._let_go_of_request()
        if client is not None and client.held:
            self.hold_upstream()
        return answer

    def answer_ends(self, data: bytes, trailers: list[Header]) -> None:
        """The answer is whole."""
        if self.answer is not None:
            self.answer.finish(data, trailers)
        self._maybe_over()

    def hold_upstream(self) -> None:
        """Too much waits for the client."""
        upstream = self._upstream
        if upstream is not None and self.answer is not None:
            upstream.pause()

    def let_upstream_go_on(self) -> None:
        """What was held is gone: read on, if the client keeps up."""
        upstream = self._upstream
        if upstream is not None and (self.client is None or not self.client.held):
            upstream.resume()

    # -- the end

    def completed(self) -> None:
        """The answer is whole, or its terminal event is."""
        self.end(outcomes.COMPLETE if self.client is not None else outcomes.CLIENT_LEFT)

    def client_left(self) -> None:
        """The client is gone before the end of its answer."""
        self.client = None
        port, answer, exchange = self.port, self.answer, self.exchange
        port.tally.client_aborts += 1
        if answer is not None:
            answer.write = self._discard
        if exchange is None or exchange.upstream is None:
            self.end(outcomes.CLIENT_LEFT)
            self._maybe_over()
            return
        exchange.upstream.resume()
        if self.outcome is None and self.sent and port.settings.on_client_abort == "drain":
            return
        near_end = answer is not None and (
            self.outcome is not None or (answer.scanner is not None and answer.scanner.reading.finish_seen)
        )
        if near_end and answer is not None:
            # the usage, or the few bytes that let the connection be used again, come next
            self._read_on_from = answer.bytes
            self._deadline = port.monotonic() + READ_ON_SECONDS
        else:
            self._give_up_upstream()
            self.end(outcomes.CLIENT_LEFT)

    def _discard(self, data: bytes) -> None:
        """In place of the client's transport once the client has left."""
        answer = self.answer
        if self._read_on_from is not None and answer is not None and answer.bytes - self._read_on_from > READ_ON_BYTES:
            self._give_up_upstream()
            self.end(outcomes.CLIENT_LEFT)

    def drained(self) -> None:
        """The service ends now."""
        self._cut(outcomes.DRAINED, None)

    def broke(self) -> None:
        """A defect of ours met this call: it ends as one."""
        if self.answer is None and self.outcome is None:
            self._give_up_upstream()
            self.refuse(refusals.internal_error(), unread=True)
        else:
            self._cut(outcomes.PROXY_ERROR, None)

    def _cut(self, outcome: Outcome, reason: str | None) -> None:
        """End without the answer's end."""
        self._give_up_upstream()
        if self.answer is not None and not self.answer.finished:
            self.answer.cut()
        if self.outcome is None:
            self.end(outcome, reason)
        elif self._is_recorded:
            self.delivered()

    def sweep(self, now: float) -> None:
        """Time has passed: look at what is waited for."""
        port, answer, exchange = self.port, self.answer, self.exchange
        if self._deadline is not None and now > self._deadline and self._upstream is not None:
            self._give_up_upstream()
            self.end(outcomes.CLIENT_LEFT)
        elif self.outcome is not None:
            if not self._is_recorded and now - self._ended_at > port.record_wait:
                port.released_unrecorded()
                self.recorded()
            elif answer is not None and self._upstream is not None:
                self._sweep_answer(answer)
        elif answer is not None:
            self._sweep_answer(answer)
        elif exchange is not None:
            if exchange.overdue(now, port.settings.first_byte_timeout):
                self._give_up_upstream()
                self.refuse(refusals.first_byte_timeout(), "first byte")
        elif self.request.overdue(now):
            self.refuse(refusals.request_timeout(), "request body", unread=True)

    def _sweep_answer(self, answer: Answer) -> None:
        answer.quiet += 1
        if answer.quiet * self.port.sweep_seconds > self.port.settings.idle_timeout:
            reason = "client does not read" if self.client is not None and self.client.held else "idle"
            self._cut(outcomes.TIMED_OUT, reason)

    def _give_up_upstream(self) -> None:
        if self.exchange is not None and self.exchange.give_up():
            self._maybe_over()

    def refuse(self, refusal: Refusal, reason: str | None = None, *, unread: bool = False) -> None:
        """Answer ``refusal`` ourselves; ``unread``: a body is still coming, and the connection ends with this."""
        if self.outcome is not None:
            return
        port, request = self.port, self.request
        if unread:
            self._close = True
            if self.client is not None:
                self.client.stop_reading_requests()
        if port.entrance.draining or (self.client is not None and self.client.leaving):
            self._close = True
        self.refusal = refusal
        self.status = refusal.status
        self._reply = port.refusal_response(refusal, request.route, self.request_id, self._close, request.method)
        self.end(refusal.outcome, reason)

    def end(self, outcome: Outcome, reason: str | None = None) -> None:
        """The call ends: once.  Its record is handed to the journal."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        if reason is not None:
            self.reason = reason
        port = self.port
        if self.answer is not None:
            self.answer.stop_reading()
        self._ended_at = port.monotonic()
        try:
            usage_line, request_line, spent = record_lines(self, port, self._ended_at)
        except Exception:
            log.failure("a record could not be made: the call leaves a bare one")
            usage_line, request_line, spent = bare_lines(self, port, self._ended_at)
        request = self.request
        try:  # the record must not be lost with it
            if request.waiting is not None:
                request.waiting.cancel()
            if request.admitted is not None:
                request.admitted.settle(spent)
        except Exception:
            log.failure("a call could not be settled")
        if request.head is not None:
            self._let_go_of_request()
        if self.has_place or port.journal.reserve(refusal=True):
            port.journal.append(usage_line, request_line, self.recorded)
        else:
            port.journal.drop()  # a flood of refusals on a disk that does not write: counted, and loud in health
            self.recorded()

    def recorded(self) -> None:
        """The record is in the kernel, or has been waited for long enough."""
        if self._is_recorded:
            return
        self._is_recorded = True
        answer = self.answer
        if answer is not None:
            answer.release()
            if not answer.finished and self._upstream is None:
                self.delivered()
        else:
            if self._reply and self.client is not None:
                self.client.transport.write(self._reply)
            self.delivered()

    def delivered(self) -> None:
        """All that the client gets has been written."""
        client, self.client = self.client, None
        answer = self.answer
        self._maybe_over()
        if client is None:
            return
        if answer is not None and answer.broken:
            client.cut(reset=answer.framing == CLOSE)
        elif answer is None and not self._reply:
            client.cut(reset=False)
        else:
            client.call_over(self._close)

    def leave_locally(self, reply: bytes, unread: bool) -> None:
        """Answered by the proxy itself: no call of a provider, and no record."""
        self._close = self._close or unread
        client, self.client = self.client, None
        assert client is not None
        self.port.tally.in_flight -= 1
        self.outcome = outcomes.COMPLETE
        self._is_recorded = True
        self._maybe_over()
        if unread:
            client.stop_reading_requests()
        client.transport.write(reply)
        client.call_over(self._close)

    def _maybe_over(self) -> None:
        """Nothing more can come of this call: let go of it."""
        if self._is_recorded and self.client is None and self._upstream is None:
            if self not in self.port.calls:
                return  # it was over before
            del self.port.calls[self]
            # A record that still waits for the disk keeps its call: that is to be a small one.  And what points back to
            # it would be left to the garbage collector.
            self.exchange = self.answer = None
            del self.request

    def _let_go_of_request(self) -> None:
        self.request.let_go()
        if self.exchange is not None:
            self.exchange.let_go()

"""The life of one call: from its head to its record.

A call begins when a client's head is whole.  Its body is gathered, it is sent upstream, its answer goes through
`answer`, and it ends exactly once (`end`), whatever happens: that makes the record, and when the record is in the
kernel (`recorded`) what was held back goes to the client and the call is over.

Steps:  begin → (memory, body) → admission → dispatch → connected → response_head → answer … → end → recorded →
delivered.  Ways out before the answer: refuse, connect_failed, upstream_lost, timed out, client_left, drained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import txaio

from awfproxy.core import outcomes, refusals
from awfproxy.core.billing import Billing, billing
from awfproxy.core.heads import client_request_id, upstream_request_id
from awfproxy.core.hint_fields import Hints
from awfproxy.core.labels import NO_LABELS, labels
from awfproxy.core.message import Header, RequestHead, ResponseHead
from awfproxy.core.outcomes import Outcome
from awfproxy.core.records import BodyFraming
from awfproxy.core.refusals import Refusal
from awfproxy.core.request import Conversation, Peek
from awfproxy.core.scanner import Scanner
from awfproxy.server.accounting import bare_lines, record_lines
from awfproxy.server.admitted import Admitted, Waiting
from awfproxy.server.answer import CHUNKED, CLOSE, LENGTH, NO_BODY, Answer
from awfproxy.server.demand import Demand
from awfproxy.server.request_body import RequestBody

if TYPE_CHECKING:
    from awfproxy.core.client_keys import ClientKeys
    from awfproxy.core.settlement import Spent
    from awfproxy.server.client import ClientConnection
    from awfproxy.server.port import Port
    from awfproxy.server.upstream import UpstreamConnection

log = txaio.make_logger()

#: seconds for a request body (nginx's client_body_timeout), and bytes for which it gets one second more: a body holds
#: memory that others wait for, so sending a little now and then is not enough
BODY_TIMEOUT = 60.0
BODY_RATE = 16 * 1024
#: after the client left, an answer near its end is read on for so long, or so many bytes: its usage comes last
READ_ON_SECONDS = 2.0
READ_ON_BYTES = 64 * 1024
#: what is known of a request whose body was not read
UNPEEKED = Peek()


class Call:
    """One call.  What is public is read by `accounting` for the record."""

    # What most calls never change is set here and not in each: there is a call for every request.
    #: the body as it comes in; None: there is none
    _incoming: RequestBody | None = None
    #: the body as it goes upstream
    _body = b""
    _original: bytes | None = None
    _asked_usage = False
    _upstream: UpstreamConnection | None = None
    _reply = b""
    _is_recorded = False
    _reserved = False
    _ended_at = 0.0
    _deadline: float | None = None
    _read_on_from: int | None = None
    _waiting_since = 0.0
    _conversation: Conversation | None = None
    #: while it waits for a budget
    _waiting: Waiting | None = None
    #: the client's whose key was presented; None: the port has no clients
    _user: str | None = None
    #: what it holds of rates and budgets; None: it was not let in
    admitted: Admitted | None = None
    facts = UNPEEKED
    labels = NO_LABELS
    hints: Hints | None = None
    streaming: bool | None = None
    #: seconds
    queue_seconds: float | None = None
    connect_seconds: float | None = None
    #: seconds between the whole request and its sending, without connecting
    overhead: float | None = None
    #: monotonic seconds
    first_byte_at: float | None = None
    request_bytes = 0
    #: how long the prompt is, for an estimate (`core.estimate.prompt_bytes`)
    prompt_bytes: int | None = 0
    attempts = 0
    #: the whole request was handed to an upstream connection
    sent = False
    status: int | None = None
    upstream_framing: BodyFraming | None = None
    upstream_request_id: bytes | None = None
    billing: Billing | None = None
    answer: Answer | None = None
    refusal: Refusal | None = None
    reason: str | None = None
    outcome: Outcome | None = None

    def __init__(self, port: Port, client: ClientConnection, head: RequestHead) -> None:
        self._port = port
        self._client: ClientConnection | None = client
        self._head: RequestHead | None = head
        self._minor = head.minor
        self._close = not head.keep_alive
        self.request_id: str = port.new_request_id()
        self.method = head.method
        #: what method and target say
        self.route = port.route(head.method, head.target)
        self.began = port.monotonic()
        #: seconds since the epoch; the second is later where it was let in
        self.arrived_at = self.admitted_at = port.wall()
        self.client_request_id = client_request_id(head)
        port.calls[self] = None
        port.tally.started()

    # -- the request

    def begin(self, head: RequestHead) -> None:
        """The head is whole: refuse, or ask for the memory of the body."""
        port = self._port
        self.labels = labels(head)
        unread = head.chunked or bool(head.content_length)
        refusal = port.foreign(head)
        if refusal is None:
            local = port.local_answer(head, self.route)
            if local is not None:
                self._leave_locally(local, unread)
                return
            refusal = port.objection(head, self.route)
            if refusal is None and port.client_keys is not None:
                refusal = self._identify(head, port.client_keys)
        if refusal is not None:
            self.refuse(refusal, unread=unread)
            return
        if unread:
            limit = port.settings.max_request_body
            self._waiting_since = self.began
            self._incoming = RequestBody(port.memory, limit if head.chunked else head.content_length or 0, limit)
            if not self._incoming.ask(self._memory_granted):
                assert self._client is not None
                self._client.pause()
            elif head.expect_continue:
                self._say_continue()

    def _identify(self, head: RequestHead, keys: ClientKeys) -> Refusal | None:
        """Whose call it is; a refusal of one that presents no client's key."""
        client = keys.client(head)
        user = self._user = None if client is None else client.user
        if user is not None or self.labels.user is not None:
            self.labels = msgspec.structs.replace(self.labels, user=user)
        return refusals.client_key(keys.presents(head)) if client is None else None

    def _memory_granted(self) -> None:
        assert self._client is not None
        now = self._port.monotonic()
        self.queue_seconds = now - self._waiting_since
        self._waiting_since = now
        if self._head is not None and self._head.expect_continue:
            self._say_continue()
        self._client.resume()

    def _say_continue(self) -> None:
        assert self._client is not None
        self._client.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def body_piece(self, piece: bytes) -> None:
        """A piece of the body came."""
        if self.outcome is not None:
            return
        incoming = self._incoming
        assert incoming is not None
        if not incoming.add(piece):
            self.refuse(refusals.body_too_large(self._port.settings.max_request_body), unread=True)

    def request_complete(self) -> None:
        """The request is whole: send it on."""
        head = self._head
        if self.outcome is not None or head is None or self._client is None:
            return
        port = self._port
        self._waiting_since = port.monotonic()
        body = b""
        incoming = self._incoming
        if incoming is not None:
            if incoming.waiting:
                self._client.resume()
            body = incoming.whole()
        self._body = body
        self.request_bytes = len(body)
        plain = port.plain(head, body) if body else b""
        facts, self.prompt_bytes, self._conversation = port.peek(head, self.route, plain)
        self.facts = facts
        self.streaming = facts.stream if facts.stream is not None else self.route.streams
        self._reserved = port.journal.reserve()
        if not self._reserved:
            self.refuse(refusals.journal_full())
            return
        decision = port.admission.ask(self._demand(plain), self._decided_late)
        if isinstance(decision, Waiting):
            self._waiting = decision
        else:
            self._decided(decision)

    # -- admission

    def _demand(self, plain: bytes | None) -> Demand:
        """What the call asks for."""
        facts, kind = self.facts, self.route.kind
        feature = self.labels.feature or ("" if kind is None else kind.shows or kind.name)
        limit = facts.max_output_tokens
        return Demand(
            self._user, feature, kind, facts.model or self.route.model, plain, self.request_bytes, self.prompt_bytes,
            limit if limit is None else limit * max(1, facts.n or 1),
        )  # fmt: skip

    def _decided_late(self, decision: Admitted | Refusal) -> None:
        """A call that waited is let in or refused."""
        now = self._port.monotonic()
        self.queue_seconds = (self.queue_seconds or 0.0) + now - self._waiting_since
        self._waiting_since = now
        try:
            self._decided(decision)
        except Exception:
            log.failure("a call broke on its admission")
            self.broke()

    def _decided(self, decision: Admitted | Refusal) -> None:
        self._waiting = None
        if isinstance(decision, Refusal):
            self.refuse(decision)
            return
        self.admitted = decision
        self.admitted_at = decision.at
        self._dispatch()

    def _dispatch(self) -> None:
        """Send it on."""
        head, port, body, facts = self._head, self._port, self._body, self.facts
        assert head is not None
        if port.asks_usage(self.route, facts):
            changed = port.ask_for_usage(head, body, facts)
            incoming = self._incoming
            # without memory for both it goes as it came: a bound is worth more than an exact count
            if changed is not None and incoming is not None and incoming.spare(len(changed)):
                self._original, self._body, self._asked_usage = body, changed, True
        self._attach(fresh=False)
        conversation, self._conversation = self._conversation, None
        self.hints = port.hints(head, conversation)  # once it is sent: the answer does not wait for it

    # -- the upstream

    def _attach(self, fresh: bool) -> None:
        self._upstream = upstream = self._port.pool.attach(self, fresh)
        if upstream.up:
            self.connected()

    def _attach_again(self) -> None:
        """Once more, not on a connection that may have been closed too."""
        self._waiting_since = self._port.monotonic()
        self._attach(fresh=True)

    def connected(self) -> None:
        """An upstream connection stands: send the request."""
        upstream, head, body = self._upstream, self._head, self._body
        assert upstream is not None
        assert head is not None
        now = self._port.monotonic()
        if not upstream.reused:
            self.connect_seconds = now - self._waiting_since
        elif self.overhead is None:
            self.overhead = now - self._waiting_since
        self._waiting_since = now
        self.attempts += 1
        self.sent = True
        upstream.send(head.method, self._port.request_head(self, head, len(body), decoded=self._asked_usage), body)

    def connect_failed(self, why: str, timed_out: bool) -> None:
        """No upstream connection could be made."""
        self._upstream = None
        if timed_out:
            self.refuse(refusals.connect_timeout(), "connect")
        else:
            self.refuse(refusals.upstream_unreachable(), "connect: " + why)

    def upstream_lost(self, why: str, *, retryable: bool = False, invalid: bool = False) -> None:
        """The upstream connection ended before the answer was whole.

        :param retryable: it was a kept one, and nothing came back
        :param invalid: what came is not HTTP that may be forwarded
        """
        self._upstream = None
        answer = self.answer
        if answer is not None:
            answer.cut()
            if self.outcome is None:
                self.end(outcomes.CLIENT_LEFT if self._client is None else outcomes.UPSTREAM_CUT, why)
            elif self._is_recorded:
                self.delivered()
        elif self.outcome is not None:
            self._maybe_over()
        elif self._client is None:
            self.end(outcomes.CLIENT_LEFT, why)
        elif retryable and self.attempts == 1:
            self._port.tally.retries += 1
            self._attach_again()  # a kept connection that closed under us, and nothing came back
        else:
            self.refuse(refusals.upstream_invalid() if invalid else refusals.upstream_closed(), why)

    def response_head(self, head: ResponseHead) -> None:
        """The answer begins."""
        port, request = self._port, self._head
        assert request is not None
        assert self._upstream is not None
        if self._asked_usage and head.status == 400 and self._client is not None:
            # some servers do not know stream_options: ask again without, and remember if that was it
            upstream, self._upstream = self._upstream, None
            upstream.abandon()
            assert self._original is not None
            self._body, self._original, self._asked_usage = self._original, None, False
            self.reason = "include_usage"
            self._attach_again()
            return
        if self.reason == "include_usage":
            self.reason = None
            if head.status < 400:
                port.remember_no_usage(self.facts.model)
        self.first_byte_at = port.monotonic()
        self.status = head.status
        self.upstream_request_id = upstream_request_id(head)
        self.billing = billing(head.fields)
        reader = self._upstream.reader
        self.upstream_framing = reader.framing
        scanner: Scanner | None = None
        content_type = head.fields.get(b"content-type", b"")
        take_out = (
            self._asked_usage
            and port.settings.include_usage == "invisible"
            and not content_type.startswith(b"application/json")  # of a server that does not stream
        )
        if reader.framing != NO_BODY and (self.route.readable or port.awaits(self.route)):
            scanner = Scanner(
                content_type, head.fields.get(b"content-encoding", b""), port.decoder_memory, take_out=take_out,
            )  # fmt: skip
            if 200 <= head.status < 300:
                scanner.reading.take_headers(head.fields)
        framing: BodyFraming
        if reader.framing == NO_BODY:
            framing = NO_BODY
        elif reader.framing == LENGTH and not take_out:
            framing = LENGTH
        else:
            framing = CHUNKED if self._minor else CLOSE
        if framing == CLOSE or port.draining:
            self._close = True
        client = self._client
        self.answer = self._upstream.answer = Answer(
            self, port.response_head(self, head, framing, self._minor, self._close), framing, scanner,
            self._discard if client is None else client.transport.write,
        )  # fmt: skip
        self._let_go_of_request()
        if client is not None and client.held:
            self._upstream.pause()

    def response_end(self, data: bytes, trailers: list[Header]) -> None:
        """The answer is whole."""
        self._upstream = None
        if self.answer is not None:
            self.answer.finish(data, trailers)
        self._maybe_over()

    def hold_upstream(self) -> None:
        """Too much waits for the client."""
        if self._upstream is not None and self.answer is not None:
            self._upstream.pause()

    def let_upstream_go_on(self) -> None:
        """What was held is gone: read on, if the client keeps up."""
        if self._upstream is not None and (self._client is None or not self._client.held):
            self._upstream.resume()

    # -- the end

    def completed(self) -> None:
        """The answer is whole, or its terminal event is."""
        self.end(outcomes.COMPLETE if self._client is not None else outcomes.CLIENT_LEFT)

    def client_left(self) -> None:
        """The client is gone before the end of its answer."""
        self._client = None
        self._port.tally.client_aborts += 1
        if self.answer is not None:
            self.answer.write = self._discard
        if self._upstream is None:
            self.end(outcomes.CLIENT_LEFT)
            self._maybe_over()
            return
        self._upstream.resume()
        if self.outcome is None and self.sent and self._port.settings.on_client_abort == "drain":
            return
        answer = self.answer
        near_end = answer is not None and (
            self.outcome is not None or (answer.scanner is not None and answer.scanner.reading.finish_seen)
        )
        if near_end and answer is not None:
            # the usage, or the few bytes that let the connection be used again, come next
            self._read_on_from = answer.bytes
            self._deadline = self._port.monotonic() + READ_ON_SECONDS
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
        settings = self._port.settings
        answer = self.answer
        if self._deadline is not None and now > self._deadline and self._upstream is not None:
            self._give_up_upstream()
            self.end(outcomes.CLIENT_LEFT)
        elif self.outcome is not None:
            if not self._is_recorded and now - self._ended_at > self._port.record_wait:
                self._port.released_unrecorded()
                self.recorded()
            elif answer is not None and self._upstream is not None:
                self._sweep_answer(answer)
        elif answer is not None:
            self._sweep_answer(answer)
        elif self.sent:
            if now - self._waiting_since > settings.first_byte_timeout:
                self._give_up_upstream()
                self.refuse(refusals.first_byte_timeout(), "first byte")
        elif self._upstream is None and self._waiting is None and not (
            self._incoming is not None and self._incoming.waiting
        ):
            came = 0 if self._incoming is None else self._incoming.size
            if now - self._waiting_since > BODY_TIMEOUT + came / BODY_RATE:
                self.refuse(refusals.request_timeout(), "request body", unread=True)

    def _sweep_answer(self, answer: Answer) -> None:
        answer.quiet += 1
        if answer.quiet * self._port.sweep_seconds > self._port.settings.idle_timeout:
            reason = "client does not read" if self._client is not None and self._client.held else "idle"
            self._cut(outcomes.TIMED_OUT, reason)

    def _give_up_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abandon()
            self._maybe_over()

    def refuse(self, refusal: Refusal, reason: str | None = None, *, unread: bool = False) -> None:
        """Answer ``refusal`` ourselves; ``unread``: a body is still coming, and the connection ends with this."""
        if self.outcome is not None:
            return
        port = self._port
        if unread:
            self._close = True
            if self._client is not None:
                self._client.stop_reading_requests()
        if port.draining:
            self._close = True
        self.refusal = refusal
        self.status = refusal.status
        self._reply = port.refusal_response(refusal, self.route, self.request_id, self._close, self.method)
        self.end(refusal.outcome, reason)

    def end(self, outcome: Outcome, reason: str | None = None) -> None:
        """The call ends: once.  Its record is handed to the journal."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        if reason is not None:
            self.reason = reason
        port = self._port
        if self.answer is not None:
            self.answer.stop_reading()
        self._ended_at = port.monotonic()
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        try:
            usage_line, request_line, spent = record_lines(self, port, self._ended_at)
        except Exception:
            log.failure("a record could not be made: the call leaves a bare one")
            usage_line, request_line, spent = bare_lines(self, port, self._ended_at)
        self._settle(spent)
        self._let_go_of_request()
        if self._reserved or port.journal.reserve(refusal=True):
            port.journal.append(usage_line, request_line, self.recorded)
        else:
            port.journal.drop()  # a flood of refusals on a disk that does not write: counted, and loud in health
            self.recorded()

    def _settle(self, spent: Spent) -> None:
        """Give back what it held of rates and budgets, and be charged."""
        if self.admitted is not None:
            try:
                self.admitted.settle(spent)
            except Exception:  # the record must not be lost with it
                log.failure("a call could not be settled")

    def recorded(self) -> None:
        """The record is in the kernel, or has been waited for long enough."""
        if self._is_recorded:
            return
        self._is_recorded = True
        if self.answer is not None:
            self.answer.release()
            if self._upstream is None and not self.answer.finished:
                self.delivered()
        else:
            if self._reply and self._client is not None:
                self._client.transport.write(self._reply)
            self.delivered()

    def delivered(self) -> None:
        """All that the client gets has been written."""
        client, self._client = self._client, None
        self._maybe_over()
        if client is None:
            return
        answer = self.answer
        if answer is not None and answer.broken:
            client.cut(reset=answer.framing == CLOSE)
        elif answer is None and not self._reply:
            client.cut(reset=False)
        else:
            client.call_over(self._close)

    def _maybe_over(self) -> None:
        """Nothing more can come of this call: let go of it."""
        if self._is_recorded and self._client is None and self._upstream is None:
            self._port.calls.pop(self, None)

    # -- parts

    def _leave_locally(self, reply: bytes, unread: bool) -> None:
        """Answered by the proxy itself: no call of a provider, and no record."""
        self._close = self._close or unread
        client, self._client = self._client, None
        assert client is not None
        self._port.tally.in_flight -= 1
        self.outcome = outcomes.COMPLETE
        self._is_recorded = True
        self._maybe_over()
        if unread:
            client.stop_reading_requests()
        client.transport.write(reply)
        client.call_over(self._close)

    def _let_go_of_request(self) -> None:
        self._head = None
        self._body = b""
        self._original = None
        if self._incoming is not None:
            self._incoming.let_go()
            self._incoming = None

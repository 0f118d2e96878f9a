"""The exchange of one call with its provider: its request sent upstream, once or again, until an answer begins.

The upstream connection tells it what happens (`connected`, `connect_failed`, `response_head`, `response_end`,
`upstream_lost`); the call hears what became of it.

A request is sent again in two cases, each once:

* The upstream answered 400 to the usage that we asked for: again without.  Nothing was used by the first.
* A kept connection closed before a byte of an answer came.  Nearly always the provider had closed it as the request
  was on its way, but nobody can know, and a request to a model is not idempotent: RFC 9110 section 9.2.2 allows to
  repeat it only if the first is known not to have been applied.  So it is not repeated where a strict budget covers
  one sending; there a kept connection is looked at before it is used, and one that has ended is passed over, on which
  nothing was sent.  Elsewhere it is repeated and charged once, and the record tells of both ``attempts``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from awfproxy.core import refusals
from awfproxy.core.billing import Billing, billing
from awfproxy.core.heads import upstream_request_id
from awfproxy.core.message import Header, RequestHead, ResponseHead
from awfproxy.core.records import BodyFraming
from awfproxy.core.scanner import Scanner
from awfproxy.server.answer import NO_BODY

if TYPE_CHECKING:
    from awfproxy.server.call import Call
    from awfproxy.server.upstream import UpstreamConnection


class Exchange:
    """What is sent upstream for one call, and the beginning of what comes back.

    :param head: the request's
    :param once: the request must not be sent where an earlier sending may have been worked on
    """

    # what most exchanges never change is set here and not in each
    #: the connection, being made or at work; None: there is none, any more
    upstream: UpstreamConnection | None = None
    #: the body without what we asked for in it
    _original: bytes | None = None
    _asked_usage = False
    #: after a 400 to it, until the next answer's head
    _asks_without = False
    #: times that the request was sent
    attempts = 0
    #: the whole request was handed to an upstream connection, which has not answered that it was no use
    sent = False
    #: seconds
    connect_seconds: float | None = None
    #: seconds between the whole request and its sending, without connecting
    overhead: float | None = None
    #: monotonic seconds
    first_byte_at: float | None = None
    #: how the upstream frames its answer
    framing: BodyFraming | None = None
    upstream_request_id: bytes | None = None
    billing: Billing | None = None

    def __init__(self, call: Call, head: RequestHead, once: bool) -> None:
        self._call = call
        self._head: RequestHead | None = head
        self._once = once
        #: the body as it goes upstream
        self._body = call.request.body
        #: monotonic seconds since when the next step is waited for
        self._since = call.request.since

    # -- sending

    def begin(self, head: RequestHead) -> None:
        """Send the request."""
        call = self._call
        port, request = call.port, call.request
        if port.asks_usage(request.route, request.facts):
            changed = port.ask_for_usage(head, self._body, request.facts)
            # without memory for both it goes as it came: a bound is worth more than an exact count
            if changed is not None and request.spare(len(changed)):
                self._original, self._body, self._asked_usage = self._body, changed, True
        self._attach(fresh=False)

    def _attach(self, fresh: bool) -> None:
        self.upstream = upstream = self._call.port.pool.attach(self, fresh=fresh, surely_open=self._once)
        if upstream.up:
            self.connected()

    def _attach_again(self) -> None:
        """Once more, not on a connection that may have been closed too."""
        self._since = self._call.port.monotonic()
        self._attach(fresh=True)

    def connected(self) -> None:
        """An upstream connection stands: send the request."""
        upstream, head, body, call = self.upstream, self._head, self._body, self._call
        assert upstream is not None
        assert head is not None
        now = call.port.monotonic()
        if not upstream.reused:
            self.connect_seconds = now - self._since
        elif self.overhead is None:
            self.overhead = now - self._since
        self._since = now
        self.attempts += 1
        self.sent = True
        upstream.send(head.method, call.port.request_head(call, head, len(body), decoded=self._asked_usage), body)

    def connect_failed(self, why: str, timed_out: bool) -> None:
        """No upstream connection could be made."""
        self.upstream = None
        if timed_out:
            self._call.refuse(refusals.connect_timeout(), "connect")
        else:
            self._call.refuse(refusals.upstream_unreachable(), "connect: " + why)

    def upstream_lost(self, why: str, *, retryable: bool = False, invalid: bool = False) -> None:
        """The upstream connection ended before the answer was whole.

        :param retryable: it was a kept one, and nothing came back
        :param invalid: what came is not HTTP that may be forwarded
        """
        self.upstream = None
        call = self._call
        if retryable and self.attempts == 1 and not self._once and call.outcome is None and call.client is not None:
            call.port.tally.retries += 1
            self._attach_again()
        else:
            call.upstream_lost(why, invalid)

    # -- the answer

    def response_head(self, head: ResponseHead) -> None:
        """The answer begins."""
        call, upstream = self._call, self.upstream
        assert upstream is not None
        if self._asked_usage and head.status == 400 and call.client is not None:
            self._ask_without(upstream)
            return
        port, request = call.port, call.request
        if self._asks_without:
            self._asks_without = False
            call.reason = None
            if head.status < 400:
                port.remember_no_usage(request.facts.model)
        self.first_byte_at = port.monotonic()
        self.upstream_request_id = upstream_request_id(head)
        self.billing = billing(head.fields)
        framing = self.framing = upstream.reader.framing
        scanner: Scanner | None = None
        content_type = head.fields.get(b"content-type", b"")
        take_out = (
            self._asked_usage
            and port.settings.include_usage == "invisible"
            and not content_type.startswith(b"application/json")  # of a server that does not stream
        )
        if framing != NO_BODY and (request.route.readable or port.awaits(request.route)):
            scanner = Scanner(
                content_type, head.fields.get(b"content-encoding", b""), port.decoder_memory, take_out=take_out,
            )  # fmt: skip
            if 200 <= head.status < 300:
                scanner.reading.take_headers(head.fields)
        upstream.answer = call.answer_begins(head, framing, scanner, same_length=not take_out)

    def _ask_without(self, upstream: UpstreamConnection) -> None:
        """Some servers do not know stream_options: ask again without, and remember if that was it."""
        assert self._original is not None
        self.upstream = None
        upstream.abandon()
        self._body, self._original, self._asked_usage = self._original, None, False
        self._asks_without = True
        self._call.reason = "include_usage"
        self.sent = False  # it was refused: whatever comes now, nothing was used so far
        self._attach_again()

    def response_end(self, data: bytes, trailers: list[Header]) -> None:
        """The answer is whole."""
        self.upstream = None
        self._call.answer_ends(data, trailers)

    def broke(self) -> None:
        """A defect of ours met this exchange."""
        self._call.broke()

    # -- what the call asks for

    def give_up(self) -> bool:
        """Nothing more is wanted of the upstream: whether there was anything still to come."""
        upstream, self.upstream = self.upstream, None
        if upstream is None:
            return False
        upstream.abandon()
        return True

    def overdue(self, now: float, timeout: float) -> bool:
        """Whether no answer began for ``timeout`` seconds since the request was sent."""
        return self.sent and now - self._since > timeout

    def let_go(self) -> None:
        """The request will not be sent again (idempotent)."""
        self._head = None
        self._body = b""
        self._original = None

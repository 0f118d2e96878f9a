"""What a client asks: a call's request, from its head until it is let in.

Steps:  `begin` (the head is whole) → memory for the body → `body_piece` … → `complete` → admission, at once or after
waiting → the call sends it on.  Every step may end in a refusal instead.  The body is kept until an answer begins, for
it may have to be sent again; then `let_go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import txaio

from awfproxy.core import refusals
from awfproxy.core.heads import client_request_id
from awfproxy.core.hint_fields import Hints
from awfproxy.core.labels import NO_LABELS, labels
from awfproxy.core.message import RequestHead
from awfproxy.core.refusals import Refusal
from awfproxy.core.request import Conversation, Peek
from awfproxy.server.admitted import Admitted, Waiting
from awfproxy.server.demand import Demand
from awfproxy.server.request_body import RequestBody

if TYPE_CHECKING:
    from awfproxy.core.client_keys import ClientKeys
    from awfproxy.server.call import Call

log = txaio.make_logger()

#: seconds for a request body (nginx's client_body_timeout), and bytes for which it gets one second more: a body holds
#: memory that others wait for, so sending a little now and then is not enough
BODY_TIMEOUT = 60.0
BODY_RATE = 16 * 1024
#: what is known of a request whose body was not read
UNPEEKED = Peek()


class ClientRequest:
    """The request of one call."""

    # What most requests never change is set here and not in each: there is one for every call.
    #: the body as it comes in; None: there is none
    _incoming: RequestBody | None = None
    _conversation: Conversation | None = None
    #: the client's whose key was presented; None: the port has no clients
    _user: str | None = None
    #: the body as it came, once it is whole
    body = b""
    #: its bytes
    size = 0
    #: how long the prompt is, for an estimate (`core.estimate.prompt_bytes`)
    prompt_bytes: int | None = 0
    facts = UNPEEKED
    labels = NO_LABELS
    hints: Hints | None = None
    streaming: bool | None = None
    #: seconds that it waited for memory and budgets; None: it did not
    queue_seconds: float | None = None
    #: while it waits for a budget
    waiting: Waiting | None = None
    #: what it holds of rates and budgets; None: it was not let in
    admitted: Admitted | None = None

    def __init__(self, call: Call, head: RequestHead) -> None:
        self._call = call
        #: until it is let go of
        self.head: RequestHead | None = head
        self.method = head.method
        #: of the client's HTTP/1 version
        self.minor = head.minor
        #: what method and target say
        self.route = call.port.route(head.method, head.target)
        self.client_request_id = client_request_id(head)
        #: monotonic seconds of the last step: since then it is waited for the next
        self.since = call.began

    # -- from the client

    def begin(self, head: RequestHead) -> None:
        """The head is whole: refuse, or ask for the memory of the body."""
        call = self._call
        port = call.port
        self.labels = labels(head)
        unread = head.chunked or bool(head.content_length)
        refusal = port.foreign(head)
        if refusal is None:
            local = port.local_answer(head, self.route)
            if local is not None:
                call.leave_locally(local, unread)
                return
            refusal = port.objection(head, self.route)
            if refusal is None and port.client_keys is not None:
                refusal = self._identify(head, port.client_keys)
        if refusal is not None:
            call.refuse(refusal, unread=unread)
            return
        if unread:
            limit = port.settings.max_request_body
            self._incoming = RequestBody(port.memory, limit if head.chunked else head.content_length or 0, limit)
            if not self._incoming.ask(self._memory_granted):
                assert call.client is not None
                call.client.pause()
            elif head.expect_continue:
                self._say_continue()

    def _identify(self, head: RequestHead, keys: ClientKeys) -> Refusal | None:
        """Whose request it is; a refusal of one that presents no client's key."""
        client = keys.client(head)
        user = self._user = None if client is None else client.user
        if user is not None or self.labels.user is not None:
            self.labels = msgspec.structs.replace(self.labels, user=user)
        return refusals.client_key(keys.presents(head)) if client is None else None

    def _memory_granted(self) -> None:
        client = self._call.client
        assert client is not None
        now = self._call.port.monotonic()
        self.queue_seconds = now - self.since
        self.since = now
        if self.head is not None and self.head.expect_continue:
            self._say_continue()
        client.resume()

    def _say_continue(self) -> None:
        client = self._call.client
        assert client is not None
        client.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def body_piece(self, piece: bytes) -> None:
        """A piece of the body came."""
        call = self._call
        if call.outcome is not None:
            return
        incoming = self._incoming
        assert incoming is not None
        if not incoming.add(piece):
            call.refuse(refusals.body_too_large(call.port.settings.max_request_body), unread=True)

    def complete(self) -> None:
        """It is whole: look at it, and ask for admission."""
        call, head = self._call, self.head
        if call.outcome is not None or head is None or call.client is None:
            return
        port = call.port
        self.since = port.monotonic()
        body = b""
        incoming = self._incoming
        if incoming is not None:
            if incoming.waiting:
                call.client.resume()
            body = incoming.whole()
        self.body = body
        self.size = len(body)
        plain = port.plain(head, body) if body else b""
        facts, self.prompt_bytes, self._conversation = port.peek(head, self.route, plain)
        self.facts = facts
        self.streaming = facts.stream if facts.stream is not None else self.route.streams
        call.has_place = port.journal.reserve()
        if not call.has_place:
            call.refuse(refusals.journal_full())
            return
        decision = port.admission.ask(self._demand(plain), self._decided_late)
        if isinstance(decision, Waiting):
            self.waiting = decision
        else:
            self._decided(decision)

    # -- admission

    def _demand(self, plain: bytes | None) -> Demand:
        """What the call asks for."""
        facts, kind = self.facts, self.route.kind
        feature = self.labels.feature or ("" if kind is None else kind.shows or kind.name)
        limit = facts.max_output_tokens
        return Demand(
            self._user, feature, kind, facts.model or self.route.model, plain, self.size, self.prompt_bytes,
            limit if limit is None else limit * max(1, facts.n or 1), self._call.port.any_server,
        )  # fmt: skip

    def _decided_late(self, decision: Admitted | Refusal) -> None:
        """One that waited is let in or refused."""
        now = self._call.port.monotonic()
        self.queue_seconds = (self.queue_seconds or 0.0) + now - self.since
        self.since = now
        try:
            self._decided(decision)
        except Exception:
            log.failure("a call broke on its admission")
            self._call.broke()

    def _decided(self, decision: Admitted | Refusal) -> None:
        self.waiting = None
        call, head = self._call, self.head
        if isinstance(decision, Refusal):
            call.refuse(decision)
            return
        self.admitted = decision
        assert head is not None
        call.send(head, decision)
        conversation, self._conversation = self._conversation, None
        self.hints = call.port.hints(head, conversation)  # once it is sent: the answer does not wait for it

    # -- its time and its memory

    def overdue(self, now: float) -> bool:
        """Whether its body has taken too long, while nothing but the client is waited for."""
        incoming = self._incoming
        if self.waiting is not None or (incoming is not None and incoming.waiting):
            return False
        came = 0 if incoming is None else incoming.size
        return now - self.since > BODY_TIMEOUT + came / BODY_RATE

    def spare(self, count: int) -> bool:
        """Memory for ``count`` bytes beside the body, if there is some to spare."""
        return self._incoming is not None and self._incoming.spare(count)

    def let_go(self) -> None:
        """Neither head nor body are needed any longer (idempotent)."""
        self.head = None
        self.body = b""
        if self._incoming is not None:
            self._incoming.let_go()
            self._incoming = None

"""A port under one value of its settings: its provider, its credential, its rules and its connections upstream.

Everything that a call asks is answered here from what was prepared when the port was made.  It never changes: other
settings make another one, which new calls begin with, while those that run keep theirs (`entrance`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import txaio

from awfproxy.core import origin, refusals, request
from awfproxy.core.client_keys import SEED_BYTES, ClientKeys
from awfproxy.core.decoders import decode_body
from awfproxy.core.estimate import prompt_bytes
from awfproxy.core.heads import RequestRules, ResponseRules, wants_websocket
from awfproxy.core.hint_fields import Hints
from awfproxy.core.hints import conversational
from awfproxy.core.message import RequestHead, ResponseHead
from awfproxy.core.providers import PROVIDERS
from awfproxy.core.refusals import Refusal
from awfproxy.core.request import Conversation, Peek
from awfproxy.core.route import Route, router
from awfproxy.core.settings import Port as PortSettings
from awfproxy.core.settings import Service
from awfproxy.server.admission import Admission
from awfproxy.server.call import Call
from awfproxy.server.client import ClientConnection
from awfproxy.server.client_request import UNPEEKED
from awfproxy.server.standings import in_dollars
from awfproxy.server.tallies import OTHER, UNNAMED
from awfproxy.server.upstream import UpstreamPool
from awfproxy.wire.faults import Fault

if TYPE_CHECKING:
    from awfproxy.server.entrance import Entrance

log = txaio.make_logger()

#: models remembered that do not take stream_options; a server has few
NO_USAGE_MODELS_MAX = 256


class Port:
    """One port at work."""

    pool: UpstreamPool
    admission: Admission
    #: models that do not take stream_options at this upstream
    _no_usage: dict[str | None, None]

    def __init__(
        self, settings: PortSettings, service: Service, entrance: Entrance, before: Port | None = None
    ) -> None:
        """
        :param entrance: where its clients come in
        :param before: the port until now, of which goes on what has nothing to do with what became another
        """
        shared = entrance.shared
        self.settings = settings
        self.service = service
        self.name = settings.name
        self.provider = PROVIDERS[settings.provider]
        #: nobody knows which server it is that answers
        self.any_server = settings.provider == "generic"
        self.shared = shared
        self.sweep_seconds = entrance.sweep_seconds
        self.record_wait = service.record_wait
        self.journal = shared.journal
        self.memory = shared.body_memory
        self.decoder_memory = shared.decoder_memory
        self.monotonic = shared.monotonic
        self.wall = shared.wall
        self.new_request_id = shared.new_request_id
        self.tally = shared.tallies.port(settings.name, settings.provider)
        self.clients = entrance.clients
        self.calls = entrance.calls
        #: what goes on in the background
        self.works = entrance.works
        self.entrance = entrance
        if before is not None and not before.pool.closed and _way(before.settings) == _way(settings):
            self.pool, self._no_usage = before.pool, before._no_usage
        else:
            self.pool = UpstreamPool(
                shared.network, shared.reactor, shared.monotonic, settings.upstream, settings.proxy,
                shared.tls() if settings.upstream.scheme == "https" else None, settings.connect_timeout,
                shared.outbound,
            )  # fmt: skip
            self._no_usage = {}
        credential, header = settings.credential, settings.credential_header
        self._rules = RequestRules(
            self.provider,
            host=settings.upstream.origin.encode("ascii"),
            base=settings.upstream.base.encode("ascii"),
            credential=None if credential is None else credential.reveal(),
            credential_header=None if header is None else header.encode("ascii"),
            interaction_id=shared.interaction_id(settings.name).encode("ascii"),
        )
        self._answer_rules = ResponseRules()
        self.route = router(self._rules)
        #: there is a key to send, or none is needed
        self._armed = credential is not None or settings.keyless
        self._hosts = frozenset(host.encode("ascii") for host in settings.allowed_hosts)
        self._origins = frozenset(each.encode("ascii") for each in settings.allowed_origins)
        #: None: whoever reaches the port may call it
        self.client_keys = self._client_keys() if settings.clients else None
        self.admission = Admission(
            settings, shared.budgets, shared.rates, self.tally, shared.tariff, clock=shared.reactor,
            monotonic=shared.monotonic, wall=shared.wall, wait=service.admission_wait,
            soft_cap_passed=shared.soft_cap_passed, before=None if before is None else before.admission,
        )  # fmt: skip

    def _client_keys(self) -> ClientKeys:
        header = self.settings.credential_header
        return ClientKeys(
            self.settings.clients, os.urandom(SEED_BYTES), in_query=self.provider.key_in_query,
            credential_header=None if header is None else header.encode("ascii"),
        )  # fmt: skip

    # -- requests

    def foreign(self, head: RequestHead) -> Refusal | None:
        """The refusal of what a stranger's web page may have sent."""
        return origin.foreign(head, self._hosts, self._origins)

    def local_answer(self, head: RequestHead, route: Route) -> bytes | None:
        """The whole answer to what the proxy answers itself."""
        return self.entrance.local(route.bare) if head.method == b"GET" else None

    def objection(self, head: RequestHead, route: Route) -> Refusal | None:
        """Why this request is not taken."""
        if self.entrance.draining:
            return refusals.draining()
        if b"upgrade" in head.fields and wants_websocket(head):
            return refusals.upgrade_not_supported()
        if route.upstream_target is None:
            return refusals.bad_target()
        if not self._armed:
            return refusals.provider_not_configured(self.provider, self.name, self.settings.credential_variable)
        if head.content_length is not None and head.content_length > self.settings.max_request_body:
            return refusals.body_too_large(self.settings.max_request_body)
        return None

    def peek(
        self, head: RequestHead, route: Route, plain: bytes | None
    ) -> tuple[Peek, int | None, Conversation | None]:
        """What the body says of itself, its length as a prompt (`core.estimate.prompt_bytes`), and its parts if it is a
        conversation.

        :param plain: as `plain` says
        """
        if plain is None:
            return UNPEEKED, None, None
        if not plain:
            return UNPEEKED, 0, None
        content_type = head.fields.get(b"content-type", b"")
        facts, conversation = request.look(plain, content_type, conversation=conversational(route.kind))
        return facts, prompt_bytes(plain, content_type), conversation

    def hints(self, head: RequestHead, conversation: Conversation | None) -> Hints | None:
        """What the request says of its conversation, for the record."""
        try:
            return self.shared.hinter.hints(head.fields, conversation)
        except Exception:  # the call goes on without
            log.failure("the hints of a request could not be made")
            return None

    def keyed_hash(self, identifier: str) -> str:
        """What stands in a record for the id of an answer."""
        return self.shared.hinter.response_id(identifier)

    def asks_usage(self, route: Route, facts: Peek) -> bool:
        """Whether usage is to be asked for on behalf of the client (``include_usage``, docs/configuration.md)."""
        return (
            facts.stream is True
            and not facts.asks_usage
            and self.settings.include_usage != "off"
            and request.may_ask(route.kind)
            and facts.model not in self._no_usage
        )

    def ask_for_usage(self, head: RequestHead, body: bytes, facts: Peek) -> bytes | None:
        """The body that asks for usage, decoded; None: leave it as it is."""
        plain = self.plain(head, body)
        return None if plain is None else request.ask_for_usage(plain, facts)

    def remember_no_usage(self, model: str | None) -> None:
        """The upstream does not take stream_options with this model."""
        if len(self._no_usage) < NO_USAGE_MODELS_MAX:
            self._no_usage[model] = None
            log.info("{port}: {model} does not take stream_options; not asked again", port=self.name, model=model)

    def awaits(self, route: Route) -> bool:
        """Whether what this route asks for goes on in the background: the answer may show its end."""
        return route.work is not None and len(self.works) > 0 and self.keyed_hash(route.work) in self.works

    def plain(self, head: RequestHead, body: bytes) -> bytes | None:
        """The body decoded, on the side; None: it cannot be."""
        coding = head.fields.get(b"content-encoding")
        return body if coding is None else decode_body(body, coding, self.settings.max_request_body)

    # -- heads

    def request_head(self, call: Call, head: RequestHead, length: int, decoded: bool) -> bytes:
        """The head that goes upstream; ``decoded``: with a body that is not the client's bytes any more."""
        request = call.request
        target = request.route.upstream_target
        assert target is not None, "objection() has refused what has no target"
        return self._rules.head(
            head,
            target,
            length if length or head.chunked or head.content_length is not None else None,
            call.request_id.encode("ascii"),
            streaming=bool(request.streaming),
            rewritten=decoded,
        )

    def response_head(self, call: Call, head: ResponseHead, framing: str, minor: int, close: bool) -> bytes:
        """The head that goes to the client."""
        admitted = call.request.admitted
        return self._answer_rules.head(
            head, call.request_id.encode("ascii"), framing=framing, client_minor=minor, close=close,
            budget=None if admitted is None else admitted.notice,
        )  # fmt: skip

    def refusal_response(
        self, refusal: Refusal, route: Route, request_id: str, close: bool, method: bytes
    ) -> bytes:
        """A refusal as the provider's SDK reads it."""
        shape = refusals.shape_of(self.provider, route.kind)
        return refusals.response(refusal, shape, request_id, close=close, head_only=method == b"HEAD")

    def malformed(self, client: ClientConnection, fault: Fault) -> None:
        """What a client sent was not one unambiguous request."""
        call = client.call
        refusal = (
            refusals.head_too_large()
            if fault.reason == "head too large"
            else refusals.bad_request("malformed_request", "The request is not valid HTTP/1.1.")
        )
        if call is None:
            head = RequestHead(b"", b"", 1, [], {}, None, False, False, False)
            client.call = call = Call(self, client, head)
        call.refuse(refusal, fault.reason, unread=True)

    # -- the service

    def reflect(self) -> dict[str, Any]:
        """This port for `/reflect`."""
        return {
            "provider": self.provider.name,
            "listen": self.settings.listen,
            "upstream": self.settings.upstream.url,
            "configured": self.settings.credential is not None or self.settings.keyless,
            "include_usage": self.settings.include_usage,
            "calls": len(self.calls),
            "connections": self.pool.counts,
            **self._reflect_budgets(),
            "models": sorted(self.tally.models.keys() - {OTHER, UNNAMED}),
        }

    def _reflect_budgets(self) -> dict[str, dict[str, Any]]:
        """How the enabled budgets stand, by kind and name of their scope; times in seconds since the epoch."""
        tokens, usd = self.admission.standings.look()
        return {
            "budgets": {" ".join(key).rstrip(): msgspec.structs.asdict(each) for key, each in tokens.items()},
            "budgets_usd": {" ".join(key).rstrip(): in_dollars(each) for key, each in usd.items()},
        }

    def released_unrecorded(self) -> None:
        """The end of an answer went on without its record."""
        self.tally.released_unrecorded += 1


def _way(settings: PortSettings) -> tuple[object, ...]:
    """What connections upstream depend on."""
    return settings.upstream, settings.proxy, settings.connect_timeout


def json_answer(status: int, body: object) -> bytes:
    """A small answer of the proxy's own."""
    encoded = msgspec.json.encode(body)
    reason = b"OK" if status == 200 else b"Service Unavailable"
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n"
        % (status, reason, len(encoded))
    ) + encoded

"""What a supervisor and its workers tell each other, over a socket pair that nobody else can open.

A message is a length (4 bytes) and msgpack.  Both ends are the same program, so there is no version and no bound.
Settings go this way, secrets included: not through files, arguments or the environment, which others may read.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from awfproxy.core.alerts import Alert
from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Settings
from awfproxy.server.shared_rates import Party
from awfproxy.server.totals import Figures

_LENGTH: Final = struct.Struct("!I")
#: descriptors that one piece of a message can bring: SCM_MAX_FD of unix(7)
_DESCRIPTORS_AT_ONCE: Final = 253


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all messages."""


# -- from the supervisor


class Terms(msgspec.Struct, frozen=True):
    """What all workers go by."""

    settings: Settings
    #: whose place is which in shared memory: of works in the background, and of rates
    works: list[str]
    parties: list[Party]
    #: by port
    interaction_ids: dict[str, str]
    #: as they hold now
    budgets: list[tuple[Scope, Budget]]
    #: what is stored of them is known
    known: bool


class Assignment(Message, frozen=True, tag=True):
    """The first message: what a worker is to do.  Descriptors are the worker's own, inherited."""

    terms: Terms
    slot: int
    #: by slot and port, a listening socket
    listening: list[dict[str, int]]
    #: by name, `shared_memory.Area`
    memory: dict[str, int]


class Configure(Message, frozen=True, tag=True):
    """Other settings; answer with `Configured`.  With it come descriptors of sockets."""

    number: int
    terms: Terms
    #: by slot and port, the socket's number among those that come with it; None: the one that it has
    listening: list[dict[str, int | None]]
    #: how many come with it
    descriptors: int


class Serve(Message, frozen=True, tag=True):
    """Accept on the sockets of these slots, and on no others."""

    slots: list[int]


class Ask(Message, frozen=True, tag=True):
    """Answer with a `Told` of this number."""

    number: int


class Fence(Message, frozen=True, tag=True):
    """Answer with a `Fenced` once every record that was handed to the journal before is written."""

    number: int


class Others(Message, frozen=True, tag=True):
    """What is not well elsewhere, for `/health` on the ports."""

    reasons: dict[str, str]


class Reopen(Message, frozen=True, tag=True):
    """Open the files of the journal again."""


class Budgets(Message, frozen=True, tag=True):
    """All budgets, as they hold from now on."""

    budgets: list[tuple[Scope, Budget]]


class Drain(Message, frozen=True, tag=True):
    """Stop."""


class EndDrain(Message, frozen=True, tag=True):
    """Stop now."""


# -- from a worker


class Started(Message, frozen=True, tag=True):
    """The files are open, calls can be accepted."""


class Failed(Message, frozen=True, tag=True):
    """It cannot start; the last message."""

    why: str


class Serving(Message, frozen=True, tag=True):
    """`Serve` has been done; no slots: it is about to end, asked or not, and accepts nothing any more."""

    slots: list[int]


class Told(Message, frozen=True, tag=True):
    """How it stands; unasked, too, every second, and at the end."""

    figures: Figures
    #: its own of `/health`
    reasons: dict[str, str]
    #: `/reflect`
    reflected: dict[str, Any]
    #: that of the `Ask`; None: unasked
    number: int | None = None


class Fenced(Message, frozen=True, tag=True):
    """See `Fence`."""

    number: int


class Configured(Message, frozen=True, tag=True):
    """`Configure` has been done."""

    number: int
    #: why it could not be; None: it was
    why: str | None = None


class Passed(Message, frozen=True, tag=True):
    """A soft cap is passed, as this worker sees it."""

    alert: Alert


class Ended(Message, frozen=True, tag=True):
    """All is closed; the last message."""

    #: records and tokens that could not be written
    records: int
    tokens: int


FromSupervisor = Assignment | Serve | Ask | Fence | Others | Reopen | Configure | Budgets | Drain | EndDrain
FromWorker = Started | Failed | Serving | Told | Fenced | Configured | Passed | Ended


def _reveal(value: object) -> bytes:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _hide(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError


_encode = msgspec.msgpack.Encoder(enc_hook=_reveal).encode
_decoders: Final[tuple[msgspec.msgpack.Decoder[FromSupervisor], msgspec.msgpack.Decoder[FromWorker]]] = (
    msgspec.msgpack.Decoder(FromSupervisor, dec_hook=_hide),
    msgspec.msgpack.Decoder(FromWorker, dec_hook=_hide),
)


def encode(message: Message) -> bytes:
    """A message as it goes over the channel."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


class Incoming:
    """Bytes in, messages out.

    :param to_worker: the messages are a supervisor's
    """

    def __init__(self, to_worker: bool) -> None:
        self._decode = _decoders[0 if to_worker else 1].decode
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[FromSupervisor | FromWorker]:
        """The messages that ``data`` completes."""
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            body = bytes(self._data[_LENGTH.size : end])
            del self._data[:end]
            yield self._decode(body)


def read_assignment(channel: socket.socket, descriptors: list[int]) -> Assignment | None:
    """The first message to a worker, waited for; None: the supervisor has gone, or it is not needed.

    :param descriptors: those are added that come with its bytes: a descriptor goes with whatever leaves next, so they
        may be of messages that were queued behind it
    """
    head = _exactly(channel, _LENGTH.size, descriptors)
    body = None if head is None else _exactly(channel, _LENGTH.unpack(head)[0], descriptors)
    if body is None:
        return None
    message = _decoders[0].decode(body)
    return message if isinstance(message, Assignment) else None


def _exactly(channel: socket.socket, count: int, descriptors: list[int]) -> bytes | None:
    data = b""
    while len(data) < count:
        piece, came, _, _ = socket.recv_fds(channel, count - len(data), _DESCRIPTORS_AT_ONCE)
        descriptors += came
        if not piece:
            return None
        data += piece
    return data

"""Which client a request is of, by the key that it presents.

Rules:
- A key may stand wherever an SDK puts one: in `Authorization` (after any scheme, or bare), `x-api-key`, `api-key`,
  `x-goog-api-key`, the port's own `credential_header`, and in the query where the provider takes keys there (only there
  is it taken out again, see `targets.strip_keys`).  All of these stay with the proxy (`heads`).
- Of several keys each is looked at, the first `PRESENTED_MAX`; agents send a placeholder beside the real one.  If two
  clients' keys are among them, the later one in the settings counts.
- Compared are keyed hashes, in constant time, and always with all clients': how long it takes tells nothing of a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from hmac import compare_digest
from typing import Final
from urllib.parse import unquote_to_bytes

from awfproxy.core.message import RequestHead
from awfproxy.core.settings import Client
from awfproxy.core.targets import key_values

#: keys of one request that are looked at: SDKs send one or two
PRESENTED_MAX: Final = 8
#: bytes of the key of the hashes
SEED_BYTES: Final = 32

_HEADERS: Final = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")


class ClientKeys:
    """The clients of one port.

    :param seed: `SEED_BYTES` random bytes, of this process
    :param credential_header: of the port's settings; None: the provider's own
    :param in_query: whether keys are taken from the query
    """

    def __init__(
        self, clients: Iterable[Client], seed: bytes, *, credential_header: bytes | None = None, in_query: bool = False
    ) -> None:
        self._seed = seed
        self._clients = [(self._digest(client.key.reveal()), client) for client in clients]
        own = () if credential_header is None else (credential_header.lower(),)
        self._headers = frozenset((*_HEADERS, *own))
        self._in_query = in_query

    def client(self, head: RequestHead) -> Client | None:
        """The client whose key is presented; None: none is, or none of ours."""
        found: Client | None = None
        for value in self._presented(head)[:PRESENTED_MAX]:
            digest = self._digest(value)
            for known, client in self._clients:
                if compare_digest(known, digest):
                    found = client
        return found

    def presents(self, head: RequestHead) -> bool:
        """Whether any key is presented, right or wrong."""
        return bool(self._presented(head))

    def _presented(self, head: RequestHead) -> list[bytes]:
        values = [value for name, _, value in head.headers if name in self._headers]
        if self._in_query:
            values += [unquote_to_bytes(value.replace(b"+", b" ")) for value in key_values(head.target)]
        return [words[-1] for value in values if (words := value.split())]

    def _digest(self, value: bytes) -> bytes:
        return blake2b(value, digest_size=32, key=self._seed).digest()

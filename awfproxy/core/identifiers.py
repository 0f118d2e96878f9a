"""Request ids: unique, in order of time, not to be guessed from outside, and cheap.

An id looks like a UUID of version 7 (RFC 9562 section 5.7): 48 bits of milliseconds, 64 bits from the operating system,
and a counter in its last 8.  Time and random bits are drawn once for up to 256 ids or one second, whichever ends first,
because a draw costs more than everything else together.  Ids of one process sort in the order they were made, also when
the clock is set back.  A client that saw one id could name others of the same second, so an id must never be a key to
anything; it is a name.

Make the source after the process has forked (in ``startService``): two processes with a copy of the same draw would
hand out the same ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

#: ids per draw, what 8 bits count
DRAW_IDS: Final = 256
#: seconds a draw is used: the time in an id is right to this
DRAW_SECONDS: Final = 1.0
#: bytes of an id from a client that we forward and record; a UUID has 36, trace ids and ARNs fit
CLIENT_ID_MAX: Final = 128

_COUNTS: Final = tuple(f"{count:02x}" for count in range(DRAW_IDS))  # a look-up costs a quarter of formatting

_valid_client_id = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@~-]{0,%d}" % (CLIENT_ID_MAX - 1)).fullmatch


def request_ids(now: Callable[[], float], random: Callable[[int], bytes]) -> Callable[[], str]:
    """A source of request ids; call it for the next one: 36 characters, valid as a header value and as a key.

    :param now: seconds since the epoch
    :param random: that many bytes nobody can predict
    """
    return _ids(now, random).__next__


def _ids(now: Callable[[], float], random: Callable[[int], bytes]) -> Iterator[str]:
    # A generator: its local variables and one resumption cost half of what a method with attributes does.
    millisecond = -1
    drawn = 0.0
    counter = DRAW_IDS
    head = ""
    while True:
        moment = now()
        if counter == DRAW_IDS or moment - drawn >= DRAW_SECONDS:
            drawn = moment
            counter = 0
            millisecond = max(millisecond + 1, int(moment * 1000))
            digits = f"{millisecond:012x}"
            bits = random(8).hex()
            # 7 is the version, 8 the variant (10xx in binary, RFC 9562 section 4.1)
            head = f"{digits[:8]}-{digits[8:]}-7{bits[:3]}-8{bits[3:6]}-{bits[6:]}"
        yield head + _COUNTS[counter]
        counter += 1


def valid_request_id(value: bytes) -> bool:
    """Whether a client's ``X-Request-ID`` may be forwarded and recorded: 1 to 128 plain characters.

    Stricter than a header value may be (RFC 9110 section 5.5): blanks, quotes, commas and control characters would
    need care in every log and query that the id ends up in.
    """
    return _valid_client_id(value) is not None

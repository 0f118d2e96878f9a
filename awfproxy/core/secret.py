"""A credential that cannot be shown by accident.

Rules: the value comes out through `Secret.reveal` alone; every other way in which a value usually leaks (repr, str,
format, iteration, pickle, JSON, a traceback that prints locals) shows a fixed text.  What is not a usable header value
is refused with a sentence that says what is wrong and nothing of the value.
"""

from hmac import compare_digest
from typing import NoReturn

#: Bytes of the longest credential taken.  OAuth access tokens run to 2-4 KB; anything above is the wrong file.
SECRET_MAX = 8192

#: What a secret looks like from outside.  Nothing of the value and nothing of its length.
SHOWN = "<secret>"


class SecretError(ValueError):
    """The given value cannot be a credential.  The message never holds any part of it."""


class Secret:
    """One credential: visible ASCII, between 1 and `SECRET_MAX` bytes.

    White space around it (the newline at the end of a key file) and an accidental ``Bearer `` in front are taken off:
    both are usual slips, and either would make the provider refuse the key.

    :raises SecretError: for a value that is empty, too long, not ASCII, or has control characters in it
        (RFC 9110 section 5.5: such a header value could split a request).
    """

    __slots__ = ("__value",)

    __value: bytes

    def __init__(self, value: bytes | str) -> None:
        problem = None
        raw = b""
        try:
            raw = value.encode("ascii") if isinstance(value, str) else bytes(value)
        except UnicodeEncodeError:
            # Raised below, outside of this block: the codec's own error carries the whole value.
            problem = "has characters outside ASCII"
        raw = _bare(raw)
        if problem is None:
            problem = _problem(raw)
        if problem is not None:
            value = raw = b""  # a traceback that prints locals must find nothing either
            raise SecretError(f"the credential {problem}")
        object.__setattr__(self, "_Secret__value", raw)

    def reveal(self) -> bytes:
        """The value itself, for the one place that puts it into a header."""
        return self.__value

    def __repr__(self) -> str:
        return SHOWN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(SHOWN, spec)

    def __eq__(self, other: object) -> bool:
        """Compared in constant time, so that how long it takes tells nothing of how much was right."""
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self.__value, other.reveal())

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret does not change")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


def _bare(raw: bytes) -> bytes:
    """Without white space around it and without `Bearer ` before it, once or more ("Bearer Bearer" was met)."""
    raw = raw.strip()
    while raw[:7].lower() == b"bearer ":
        raw = raw[7:].strip()
    return raw


def _problem(raw: bytes) -> str | None:
    if not raw or raw.lower() == b"bearer":
        return "is empty"
    if len(raw) > SECRET_MAX:
        return f"is longer than {SECRET_MAX} bytes"
    if not raw.isascii():
        return "has characters outside ASCII"
    if any(byte < 0x20 or byte == 0x7F for byte in raw):
        return "has control characters or line breaks in it"
    return None

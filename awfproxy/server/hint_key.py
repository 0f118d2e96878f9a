"""The key of the hashes in `hints`: made at the first start, kept in `state_dir`, the same after every restart.

Without the key nobody can try out what a hash is of; with another one, hashes of before and after do not compare.  So
it is never replaced: a file that is there and cannot be used ends the start.
"""

from __future__ import annotations

import os
import secrets
from typing import Final

from awfproxy.core.keyed import KEY_BYTES
from awfproxy.state.kept_file import KeptFileError, kept

NAME: Final = "hints.key"


class HintKeyError(KeptFileError):
    """The key cannot be had; the text is for the person who started the service."""


def hint_key(state_dir: str) -> bytes:
    """The key kept in ``state_dir``, which is made where it is missing, like the key.

    :raises HintKeyError: it cannot be read or made, or is not a key
    """
    path = os.path.join(state_dir, NAME)
    try:
        key = kept(path, secrets.token_bytes(KEY_BYTES), KEY_BYTES + 1)
    except OSError as error:
        why = error.strerror or str(error)
        raise HintKeyError(f"state_dir cannot be used: {why}: {error.filename or path}") from error
    if len(key) != KEY_BYTES:
        raise HintKeyError(f"{path} is not a key of {KEY_BYTES} bytes; remove it to have a new one made")
    return key

"""The id of this installation: which rows and leases of a shared ledger are this host's.

Random, made at the first start, kept in `state_dir`.  A copy of the folder on another host would make two hosts one:
each would settle the other's leases as those of its dead.
"""

from __future__ import annotations

import os
import re
import secrets
from typing import Final

from awfproxy.state.kept_file import KeptFileError, kept

NAME: Final = "instance"
#: of the id, as hexadecimal digits: enough that no two hosts ever get the same
ID_BYTES: Final = 8

_ID: Final = re.compile(rb"[0-9a-f]{%d}" % (2 * ID_BYTES))


class InstallationError(KeptFileError):
    """The id cannot be had; the text is for the person who started the service."""


def installation_id(state_dir: str) -> str:
    """The id kept in ``state_dir``, which is made where it is missing, like the id.

    :raises InstallationError: it cannot be read or made, or is none
    """
    path = os.path.join(state_dir, NAME)
    try:
        found = kept(path, secrets.token_hex(ID_BYTES).encode() + b"\n", 2 * ID_BYTES + 2).strip()
    except OSError as error:
        why = error.strerror or str(error)
        raise InstallationError(f"state_dir cannot be used: {why}: {error.filename or path}") from error
    if not _ID.fullmatch(found):
        raise InstallationError(f"{path} is not an id of {2 * ID_BYTES} hexadecimal digits; remove it to have one made")
    return found.decode()

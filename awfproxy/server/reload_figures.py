"""What `/metrics` shows of the configuration's reloads."""

from __future__ import annotations

import msgspec


class ReloadFigures(msgspec.Struct):
    """Read by other threads; a start counts as none."""

    #: took the configuration over, or refused it
    applied: int = 0
    refused: int = 0
    #: the last one was applied, or there was none
    successful: bool = True
    #: when settings were read that are in effect: seconds since the epoch
    succeeded_at: float = 0.0

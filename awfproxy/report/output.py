"""Standard output and standard error, and readers of them that leave early.

Rules: a reader that leaves (`awf ... | head`) is no error.  What is still to come goes nowhere, and what a command
finds, a gate that failed for one, decides how it ends, as if all had been read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import IO, Any


def to_stdout(parts: Iterable[bytes]) -> None:
    """All that a command writes.

    :raises BrokenPipeError: the reader has left; the command ends with it, well (`cli`)
    """
    sys.stdout.buffer.writelines(parts)
    sys.stdout.buffer.flush()


def without_reader(stream: IO[Any]) -> None:
    """Nobody reads it any more: what is in its buffers, and what comes, goes nowhere, and does not fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

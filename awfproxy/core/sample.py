"""The first text of an answer, kept so that it can be told from its wrapping if nobody reports usage.

How many bytes of a stream a token takes depends on the server: from 30 to 650 in recorded ones.  A few events show it.
So from where the model's text begins, `WINDOW` bytes are kept, once for each answer, and looked into (`core.estimate`)
only when no figures came.  They live as long as the call and are never written down.

* Answers may begin with other things, and long ones: OpenAI's Responses repeat the request's instructions and tools.
  They are searched for text in steps, as far as `SEARCHED`, and not kept.
* Text is a member of JSON by one of the names that APIs give it.  Inside strings quotes are escaped, so what a string
  says is never taken for one.
* What is kept depends on the bytes alone, not on their split; a byte is searched once.
"""

from __future__ import annotations

import re
from typing import Final

#: bytes kept: a dozen events of OpenAI's (300 bytes each), thirty of Anthropic's
WINDOW: Final = 4 * 1024
#: bytes of other things that are searched at most: instructions and tools of coding agents take some 100 KB
SEARCHED: Final = 256 * 1024
#: bytes of a member's beginning: it may lie across the end of what was searched
_BEGINNING: Final = 64

#: what the model says, by the names that all APIs give it
TEXT_NAMES: Final = (
    rb"text|content|delta|partial_json|thinking|arguments|reasoning_content|reasoning|response|transcript"
)
#: tool input that is an object
OBJECT_NAMES: Final = rb"input|args|arguments"
#: the name of what holds a whole event of the model's in base64 (Bedrock)
CHUNK_NAME: Final = rb"bytes"
_begins = re.compile(
    rb'"(?:(?:' + TEXT_NAMES + rb"|" + CHUNK_NAME + rb')"\s{0,8}:\s{0,8}"|(?:' + OBJECT_NAMES + rb')"\s{0,8}:\s{0,8}\{)'
).search


class Sample:
    """A window of an answer's body, its codings undone."""

    __slots__ = ("_found", "kept", "passed_over")

    def __init__(self) -> None:
        #: at most `WINDOW` bytes
        self.kept = bytearray()
        #: bytes of the body before ``kept``, in which no text was found
        self.passed_over = 0
        self._found = False

    def take(self, data: bytes) -> bool:
        """Keep what is wanted of the next piece; False: nothing more is wanted."""
        kept = self.kept
        if len(kept) + len(data) < WINDOW:
            kept += data
            return True
        at = 0
        while at < len(data):
            more = WINDOW - len(kept)
            kept += data[at : at + more]
            at += more
            if len(kept) == WINDOW and (self._found or not self._look()):
                return False
        return True

    def _look(self) -> bool:
        """The window is full: let go of what comes before the text; False: so far there is none, and none is sought."""
        begin = _begins(self.kept)
        self._found = begin is not None
        if begin is None and self.passed_over >= SEARCHED:
            return False
        gone = WINDOW - _BEGINNING if begin is None else begin.start()
        del self.kept[:gone]
        self.passed_over += gone
        return gone > 0

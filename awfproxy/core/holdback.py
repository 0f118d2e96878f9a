"""Bytes of an answer that may not go to the client yet.

The scanner says up to where an answer may go (``safe``) and what is to be taken out of it (``cut``), both as absolute
offsets into the body; this keeps what is not safe, bounded by what the scanner lets be unsafe (`sse.HOLD_MAX`), and
gives back what is, in order and every byte once.
"""

from __future__ import annotations


class Holdback:
    """What is held of one answer.  ``start`` is the absolute offset of the first byte given to `take`."""

    __slots__ = ("_held", "_start")

    def __init__(self, start: int) -> None:
        self._held = b""
        self._start = start

    def __len__(self) -> int:
        """Bytes held."""
        return len(self._held)

    def take(self, data: bytes, safe: int, cut: tuple[int, int] | None) -> bytes:
        """Add ``data``; give what now lies before ``safe``, without what lies in ``cut``.

        ``safe`` may lie before what was given already (bytes that went cannot be called back), or beyond the data.
        """
        held = self._held + data if self._held else data
        start = self._start
        count = min(max(safe - start, 0), len(held))
        self._held = held[count:]
        self._start = start + count
        passed = held[:count]
        if cut is not None:
            begin, end = max(cut[0] - start, 0), min(cut[1] - start, count)
            if begin < end:
                passed = passed[:begin] + passed[end:]
        return passed

    def rest(self, cut: tuple[int, int] | None) -> bytes:
        """Everything held: nothing is kept any longer."""
        return self.take(b"", self._start + len(self._held), cut)

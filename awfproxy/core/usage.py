"""What has been read of one answer so far, document by document.

* Usage of Anthropic's streams is laid over field by field (`message_start`, then each cumulative `message_delta`; nulls
  say nothing); everybody else's is a snapshot, of which the last one counts as a whole.
* ``null``, ``{}`` and objects without a number are no usage.
* How the call was served (``service_tier``) becomes a member of the usage where it stands beside it, and only where it
  is not the ordinary way.
* `final` is set when the figures are the terminal ones: with them the record says "reported", else "partial".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

import msgspec

from .counts import RAW_MAX, Usage, as_count, normalise, parse, sound, writes_cache
from .dialects import OTHER
from .fields import (
    COUNT_PLACES,
    ERROR_KIND,
    ERROR_PLACE,
    FINISH_PLACES,
    HEADER_COUNTS,
    MODEL_PLACES,
    PART_OBJECT,
    STANDARD_TIERS,
    STORED_OBJECTS,
    STORED_PLACES,
    TIER_HEADER,
    TIER_PLACES,
    USAGE_PLACES,
)
from .outline import NONE, SOME, Outline, kind_of
from .plain_usage import read_plain

__all__ = ["TERMINAL", "USAGE_ONLY", "Reading", "Usage"]

#: What `Reading.take` says of a document (flags).
TERMINAL = 1
USAGE_ONLY = 2

_ANTHROPIC_STREAM = (b'"message_start"', b'"message_delta"')
_MODEL_MAX = 256
#: Characters of a stored object's id, or status: the longest known ids have about 80 (Gemini).
IDENTIFIER_MAX = 128
#: One as raw JSON; what looks otherwise is none of ours to ask for again.
_IDENTIFIER = re.compile(rb'"[A-Za-z0-9_.:/-]{1,%d}"' % IDENTIFIER_MAX).fullmatch
#: A count in a header.
_DIGITS = re.compile(rb"[0-9]{1,15}").fullmatch
#: What finish reasons that say nothing are made of: null, "", "null", for each choice (some servers write the second).
_NO_FINISH = b'nul,"'
#: Values of an ``error`` member that say that there is none.
_NO_ERROR = frozenset((b"null", b"{}", b"[]", b'""', b"false"))
_COPILOT = "copilot_usage"
_COUNT_MEMBERS = frozenset(name for name, _ in COUNT_PLACES)
_RANK_MAX = max(place.rank for place in USAGE_PLACES)
_USAGE_PATHS = frozenset([place.path for place in USAGE_PLACES] + [path for _, path in COUNT_PLACES])


class Reading:
    """The result of a scan; complete after `Scanner.finish` or when `Scanner.ended`."""

    __slots__ = (
        "_errors",
        "_excludes_cache",
        "_heads",
        "_known",
        "_of_part",
        "_rank",
        "_raw",
        "_size",
        "_snapshot",
        "_tier",
        "_truncated",
        "_usage",
        "documents",
        "error_seen",
        "final",
        "finish_seen",
        "framing",
        "model",
        "object_id",
        "object_status",
    )

    def __init__(self) -> None:
        #: "sse", "json", "ndjson", "json-array", "eventstream", "other"
        self.framing = "other"
        #: the first name of the model that was not empty
        self.model: str | None = None
        #: the usage is the terminal one
        self.final = False
        #: the model was seen to have finished (where cheap to know)
        self.finish_seen = False
        #: what the provider calls the object that this answer is (a Response, an Interaction, a run): the first id,
        #: at most `IDENTIFIER_MAX` of A-Z a-z 0-9 _ . : / -
        self.object_id: str | None = None
        #: how far it is ("queued", "completed", ...): the last one, same characters
        self.object_status: str | None = None
        #: an error was seen where usage was to come (where cheap to know; exact for JSON bodies and AWS's exceptions)
        self.error_seen = False
        #: JSON documents read
        self.documents = 0
        self._raw: dict[str, Any] | None = None
        #: a snapshot that takes the place of `_raw` when somebody asks
        self._snapshot: bytes | None = None
        self._rank = 0
        #: the usage is that of a part of the work, which is never the last word
        self._of_part = False
        #: bytes of JSON that `_raw` was read from; its own JSON is never longer
        self._size = 0
        self._excludes_cache = False
        self._errors: dict[str, int] | None = None
        #: counts in the head: name, figure, whether it fills a gap of the body's, count
        self._heads: tuple[tuple[str, str, bool, int], ...] = ()
        #: how the call was served, if not in the ordinary way
        self._tier: str | None = None
        self._known = False
        self._usage: Usage | None = None
        self._truncated = False

    @property
    def errors(self) -> dict[str, int]:
        """Scan errors by reason: bad-count, bad-frame, bad-json, bad-number, decode, decoder-memory, encoding,
        ratio."""
        if not self._known:
            self._normalise()
        return self._errors or {}

    @property
    def usage(self) -> Usage | None:
        """The figures so far; None when none came."""
        if not self._known:
            self._normalise()
        return self._usage

    @property
    def usage_truncated(self) -> bool:
        """Unknown members of the provider's usage were dropped, because it was too large."""
        if not self._known:
            self._normalise()
        return self._truncated

    @property
    def came(self) -> bool:
        """Usage came, terminal or not."""
        return self._raw is not None or self._snapshot is not None or bool(self._heads)

    def count_error(self, reason: str) -> None:
        """Something could not be read; `reason` is one of the short list at `errors`."""
        if self._errors is None:
            self._errors = {}
        self._errors[reason] = self._errors.get(reason, 0) + 1

    def end(self) -> None:
        """The stream's own end mark came: whatever usage there is, is the last."""
        if (self._raw is not None or self._snapshot is not None) and not self._of_part:
            self.final = True

    def take_snapshot(self, usage: bytes) -> None:
        """The usage object of a stream whose every event has one, after `take` of an earlier event: the last counts.

        It must be one that `parse` takes; it is parsed when somebody asks.
        """
        self._snapshot = usage
        self._rank = _RANK_MAX
        self._known = False
        self.final = self.finish_seen

    def take(self, outline: Outline, whole: bool = True) -> int:
        """Read one document; `whole`: it was not cut off.  Flags of what it was: TERMINAL, USAGE_ONLY."""
        self.documents += 1
        if not outline:
            return 0
        if self.model is None:
            self._take_model(outline)
        if not self.finish_seen:
            for path in FINISH_PLACES.intersection(outline):
                if outline[path].strip(_NO_FINISH) != b"":
                    self.finish_seen = True
        kind = kind_of(outline)
        if kind is not None or outline.get("object") in STORED_OBJECTS:
            self._take_stored(outline, kind)
        self.note_error(outline, kind)
        terminal = kind in OTHER.terminal
        places = _USAGE_PATHS.intersection(outline)
        came = bool(places) and self._take_usage(outline, places, kind)
        if came:
            for path in TIER_PLACES:
                if path in outline and _IDENTIFIER(outline[path]):
                    self._take_tier(outline[path][1:-1].decode())
            self._of_part = outline.get("object") == PART_OBJECT
            if whole:
                self.final = self._is_final(outline, kind, terminal)
        if terminal and whole:
            self.end()
            return TERMINAL
        return USAGE_ONLY if came and "usage" in outline and outline.get("choices") == NONE else 0

    def _take_model(self, outline: Outline) -> None:
        for path in MODEL_PLACES:
            if path in outline:
                try:
                    name = msgspec.json.decode(outline[path])
                except (msgspec.DecodeError, UnicodeError, RecursionError):
                    continue
                if isinstance(name, str) and name:
                    self.model = name[:_MODEL_MAX]
                    return

    def note_error(self, outline: Outline, kind: bytes | None) -> None:
        """Is this document, of that raw ``type``, an error?"""
        if kind == ERROR_KIND or outline.get(ERROR_PLACE, b"null") not in _NO_ERROR:
            self.error_seen = True

    def _take_tier(self, word: str) -> None:
        self._tier = None if word.lower() in STANDARD_TIERS else word

    def _take_stored(self, outline: Outline, kind: bytes | None) -> None:
        for place in STORED_PLACES:
            if place.when is None:
                if outline.get("object") not in STORED_OBJECTS:
                    continue
            elif kind is None or not kind.startswith(place.when):
                continue
            name = outline.get(place.id)
            if name is not None and self.object_id is None and _IDENTIFIER(name):
                self.object_id = name[1:-1].decode()
            status = outline.get(place.status)
            if status is not None and _IDENTIFIER(status):
                self.object_status = status[1:-1].decode()

    def take_headers(self, fields: Mapping[bytes, bytes]) -> None:
        """Counts in the head of a 2xx answer, by lower-case field name; before or after the body is read.

        They are the answer's own totals.  What the body says goes before them; where it says nothing they are final.
        """
        tier = fields.get(TIER_HEADER)
        if tier is not None and self._tier is None and _IDENTIFIER(b'"%b"' % tier):
            self._take_tier(tier.decode())
            self._known = False
        for field, figure, fills in HEADER_COUNTS:
            text = fields.get(field)
            if text is None:
                continue
            count = as_count(int(text)) if _DIGITS(text) else None
            if count is None:
                self.count_error("bad-count")
                continue
            self._heads = (*self._heads, (field.decode(), figure, fills, count))
            self._known = False

    def _add_headers(self) -> None:
        """What the head says and the body does not."""
        usage = self._usage
        told = {
            name: (figure, count)
            for name, figure, fills, count in self._heads
            if usage is None or (fills and getattr(usage, figure) is None)
        }
        if told:
            if usage is None:
                usage = Usage(None, None, None, None, None, False, {})
                self.final = True
            raw = usage.raw | {name: count for name, (_, count) in told.items()}
            self._usage = msgspec.structs.replace(usage, raw=raw, **dict(told.values()))

    def _settle(self) -> None:
        """Parse the last snapshot."""
        if self._snapshot is not None:
            self._raw = parse(self._snapshot)
            self._size = len(self._snapshot)
            self._excludes_cache = False
            self._snapshot = None

    def _take_usage(self, outline: Outline, paths: Set[str], kind: bytes | None) -> bool:
        self._settle()
        for place in USAGE_PLACES:
            if place.path not in paths or place.rank < self._rank or (place.when is not None and place.when != kind):
                continue
            given = parse(outline[place.path])
            if given is None or (place.holds and not any(given.get(member) for member in place.holds)):
                continue
            self._known = False
            self._rank = place.rank
            self._size += len(outline[place.path])
            if kind in _ANTHROPIC_STREAM:
                self._excludes_cache = True
                merged = self._raw if self._raw is not None else {}
                merged.update((k, v) for k, v in given.items() if v is not None or k not in merged)
                self._raw = merged
            else:
                self._excludes_cache = kind == b'"message"'
                self._raw = given
                if _COPILOT in paths and place.path != _COPILOT:
                    details = parse(outline[_COPILOT])
                    if details is not None and writes_cache(details):
                        given[_COPILOT] = details
                self._size = len(outline[place.path])
            return True
        return self._rank <= 1 and self._take_counts(outline)

    def _take_counts(self, outline: Outline) -> bool:
        given: dict[str, Any] = {}
        for name, path in COUNT_PLACES:
            text = outline.get(path)
            if text is None or text == b"null":
                continue
            try:
                values = msgspec.json.decode(b"[" + text + b"]")
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                self.count_error("bad-count")
                continue
            numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
            given[name] = sum(numbers) if len(numbers) == len(values) else values[0]
        if parse(msgspec.json.encode(given)) is None:
            return False
        if self._raw is not None and self._raw.keys() <= _COUNT_MEMBERS:
            given = self._raw | given  # Llama's chunks: the prompt's count is in the first alone
        self._known = False
        self._rank = 1
        self._size = RAW_MAX + 1  # summed up from several places: to be looked at thoroughly
        self._excludes_cache = False
        self._raw = given
        return True

    def _is_final(self, outline: Outline, kind: bytes | None, terminal: bool) -> bool:
        """May more usage come?  A later document decides anew."""
        if terminal or self.framing == "json" or self.finish_seen:
            return True
        if self.framing == "eventstream" or self._of_part:
            return False  # Bedrock's last message says so; a run's own usage comes after that of its steps
        if kind in _ANTHROPIC_STREAM or (kind is not None and kind.startswith((b'"response.', b'"interaction.'))):
            return False  # without a reason to stop, a message's figures grow
        if "usageMetadata" in outline or "response.usageMetadata" in outline:
            return False
        # A chat chunk with choices may be one of many that carry usage.
        return outline.get("choices") != SOME

    def _normalise(self) -> None:
        self._known = True
        self._settle()
        self._normalise_body()
        if self._heads:
            self._add_headers()
        if self._tier is not None and (usage := self._usage) is not None and not self._truncated:
            raw = {"service_tier": self._tier} | usage.raw
            self._usage = msgspec.structs.replace(usage, raw=raw)

    def _normalise_body(self) -> None:
        if self._raw is None:
            self._usage = None
            return
        if self._size <= RAW_MAX:
            self._usage = read_plain(self._raw, self._excludes_cache)
            if self._usage is not None:
                self._truncated = False
                return
        raw, self._truncated = sound(self._raw, self.count_error)
        self._usage = normalise(raw, self._excludes_cache) if parse(msgspec.json.encode(raw)) else None

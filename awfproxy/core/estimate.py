"""How many tokens a call used, where the provider does not say: the rule behind ``usage_source`` "estimated".

The input is guessed from the request's bytes; the output from the model's text in a sample of what was delivered
(`core.sample`) and the length of the rest.  The constants were fitted to recorded calls whose figures were reported, on
half of them; tests/core/test_estimate.py measures the error on the other half, docs/records.md has it.

What no bytes can tell (the tokens of a picture that was made, of speech, of an uploaded file) is None: not known.
Reasoning that the provider does not show is not in the bytes either, and missing in the estimate.
"""

from __future__ import annotations

import base64
import re
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

from awfproxy.core.sample import CHUNK_NAME, OBJECT_NAMES, TEXT_NAMES

if TYPE_CHECKING:
    from awfproxy.core.request import Peek
    from awfproxy.core.sample import Sample
    from awfproxy.core.scanner import Scanner


class Prompt(NamedTuple):
    """How the tokens of a request to one kind of API follow from its bytes."""

    #: bytes that are no prompt: the model's name, parameters, braces
    wrapping: int
    #: bytes of JSON a token beyond that
    a_token: float
    #: tokens that the provider adds where tools are offered
    for_tools: int = 0


#: OpenAI-shaped chat, and whatever is not in the table
CHAT_PROMPT: Final = Prompt(50, 5.5)
#: by kind of API (`core.kinds`)
PROMPTS: Final[dict[str, Prompt]] = {
    # tools are turned into something shorter than their schemas, messages have no wrapping to speak of
    "responses": Prompt(0, 7.0),
    # Anthropic's tokens are shorter, and it adds a system prompt where there are tools (some hundred tokens, by model,
    # in its documentation), and wraps each tool
    "messages": Prompt(70, 4.5, 500),
    # Bedrock: mostly the same models
    "converse": Prompt(50, 4.5, 350),
    "invoke": Prompt(50, 4.5, 350),
    # every text is wrapped twice, in `parts` and `contents`
    "generateContent": Prompt(50, 7.0),
    "interactions": Prompt(140, 4.5),
    # lists of short texts, each in its quotes
    "embeddings": Prompt(50, 7.0),
}

#: tokens an answer has beside its text: its end
ANSWER_BASE: Final = 1.0
#: tokens a piece of text in it has beside those for its bytes: an event of a stream is a token at the least, and a
#: short piece holds more tokens a byte than a long one
A_TEXT: Final = 0.2
#: bytes of the model's text a token: about 4 characters of English (OpenAI and Anthropic both say so), with escapes
A_TOKEN: Final = 4.5

#: bytes a token of streams in whose sample is no text that we know: medians of recorded ones
UNSEEN_STREAM: Final = {"sse": 250, "ndjson": 125, "eventstream": 90}
#: other answers without text are small, or are no text: wrapping, bytes a token, and how far they are looked at
UNSEEN_WRAPPING: Final = 300
UNSEEN_TOKEN: Final = 8
UNSEEN_MAX: Final = 4 * 1024
#: framings whose bytes can be a model's text
FRAMINGS: Final = frozenset({*UNSEEN_STREAM, "json", "json-array"})
#: kinds whose answers are numbers: no tokens are generated
NO_OUTPUT: Final = frozenset({"embeddings", "rerank", "moderations"})
#: kinds whose answers are pictures, or anything
UNTOLD_OUTPUT: Final = frozenset({"images", "predict"})

#: bytes of base64 a token: a screenshot of 200 KB is some 1,300 tokens at Anthropic (a token for 750 pixels) and at
#: OpenAI, a page of PDF some 2,000; wrong by a factor of three either way, but 30 times better than taking it for text
MEDIA_TOKEN: Final = 150
#: requests under this size are text: too small for a picture that matters
MEDIA_MIN: Final = 16 * 1024
#: places at which a request is probed for base64, and bytes of each: no text has 64 letters and digits in a row
PROBES: Final = 64
PROBE: Final = 64
#: places at which it is probed first, as nearly all requests are text: no picture is missed that is more than a 16th
FIRST_PROBES: Final = 16

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{%d}" % PROBE).match
_NOT_JSON: Final = (b"multipart/", b"audio/", b"image/", b"video/")
_TEXT: Final = re.compile(
    rb'"(?:(?:' + TEXT_NAMES + rb')"\s{0,8}:\s{0,8}"((?:[^"\\]++|\\.)*+)'
    # an object, as far as it is flat
    rb'|(?:' + OBJECT_NAMES + rb')"\s{0,8}:\s{0,8}(\{(?:[^{}"]++|"(?:[^"\\]++|\\.)*+"?)*+))',
    re.DOTALL,
)
# letters and three = are no base64, and would raise
_CHUNK: Final = re.compile(rb'"' + CHUNK_NAME + rb'"\s{0,8}:\s{0,8}"([A-Za-z0-9+/]*+={0,2}+)')


def estimate(
    kind: str, facts: Peek, prompt: int | None, scanner: Scanner | None
) -> tuple[int | None, int | None]:
    """A guess at the (input, output) tokens of one call; None: nobody can say.

    The input is the whole prompt, what came from a cache too.  The output is what was delivered so far, and never above
    what the request allows.

    :param kind: `Kind.name`
    :param prompt: what `prompt_bytes` said of the request
    :param scanner: what read the answer; None: none came
    """
    given = None if prompt is None else input_tokens(kind, prompt, tools=facts.has_tools)
    if scanner is None:
        return given, 0
    if scanner.position and not scanner.decoded and kind not in NO_OUTPUT:
        return given, None  # something was delivered, and nobody can read it
    made = output_tokens(kind, scanner.reading.framing, scanner.decoded, scanner.sample)
    if made is not None and facts.max_output_tokens:
        made = min(made, facts.max_output_tokens * max(1, facts.n or 1))
    return given, made


def prompt_bytes(body: bytes, content_type: bytes) -> int | None:
    """Bytes of a decoded request that are prompt as JSON text; base64 in it counts for its tokens' worth of text.

    None: it is a form or a file, whose length says nothing.  At most `FIRST_PROBES` + `PROBES` places are looked at.
    """
    if content_type[:64].lower().startswith(_NOT_JSON):
        return None
    size = len(body)
    if size < MEDIA_MIN:
        return size
    if not _hits(body, FIRST_PROBES):
        return size
    media = size * _hits(body, PROBES) // PROBES
    return size - media + int(media * A_TOKEN / MEDIA_TOKEN)


def _hits(body: bytes, probes: int) -> int:
    """At how many of these places there is base64."""
    step = len(body) // probes
    return len([at for at in range(0, step * probes, step) if _BASE64(body, at)])


def input_tokens(kind: str, prompt: int, *, tools: bool) -> int:
    """Tokens of a prompt of so many bytes of JSON; 0 where there are none."""
    if prompt <= 0:
        return 0
    row = PROMPTS.get(kind, CHAT_PROMPT)
    return ceil(max(1.0, (prompt - row.wrapping) / row.a_token)) + (row.for_tools if tools else 0)


def output_tokens(kind: str, framing: str, came: int, sample: Sample) -> int | None:
    """Tokens of the ``came`` bytes of an answer, of which ``sample`` shows some; None: nobody can say.

    :param framing: as in `Reading.framing`
    """
    if kind in NO_OUTPUT or came <= 0:
        return 0
    if kind in UNTOLD_OUTPUT or framing not in FRAMINGS:
        return None
    kept = bytes(sample.kept)
    tokens, begin = shown_tokens(kept, framing)
    if begin is not None:
        beyond = max(0, came - sample.passed_over - len(kept))
        tokens += tokens * beyond / (len(kept) - begin)
    elif framing in UNSEEN_STREAM:
        tokens = (came - sample.passed_over) / UNSEEN_STREAM[framing]
    else:
        tokens = (min(came, UNSEEN_MAX) - UNSEEN_WRAPPING) / UNSEEN_TOKEN
    return ceil(ANSWER_BASE + max(0.0, tokens))


def shown_tokens(kept: bytes, framing: str) -> tuple[float, int | None]:
    """Tokens of the text in a piece of an answer, and where it begins; None: there is none."""
    tokens, begin = _tokens_of(kept)
    if begin is None and framing == "eventstream":
        for chunk in _CHUNK.finditer(kept):
            whole = len(chunk[1]) // 4 * 4
            more, found = _tokens_of(base64.b64decode(chunk[1][:whole]))
            tokens += more
            if begin is None and found is not None:
                begin = chunk.start()
    return tokens, begin


def _tokens_of(text: bytes) -> tuple[float, int | None]:
    first = None
    count = size = 0
    for match in _TEXT.finditer(text):
        if first is None:
            first = match.start()
        count += 1
        size += len(match[1] if match[1] is not None else match[2])
    return count * A_TEXT + size / A_TOKEN, first

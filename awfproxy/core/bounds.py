"""The most tokens a call can use, from what it asks for: what a strict budget reserves.

Input: every token of text is at least one byte of it, in every tokenizer that providers use, and JSON only makes text
longer; so the decoded body's bytes bound it, and with it the few tokens that wrap each message.  Added are what the
provider adds by itself (`OVERHEAD`; `TOOLS_OVERHEAD` and `A_TOOL` where tools are offered).  Pictures in the body count
as `core.models` says and not by their bytes.  Output: the limit that the request sets, else the model's longest answer,
for each of the answers it asks for; of limits that disagree the largest, and none that the server may not keep
(`core.bounding_members`).  tests/core/test_bounds.py holds this against every recorded call that reported its
usage.

A gateway may add to a prompt whatever its owner likes (Venice: 1,400 tokens, unless told not to); that is not in it.

What has no bound is said in `core.bounding`; besides: kinds of calls whose tokens follow from something else (pictures,
speech, assistants, background work, batches), bodies that are not JSON objects, models that search by themselves, no
limit and an unknown model, pictures for a model of which it is not known what they cost.  Where nobody knows which
server answers, every model is unknown.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from awfproxy.core.bounding import bounding
from awfproxy.core.kinds import Kind
from awfproxy.core.models import known, self_willed

#: tokens that a provider puts around a prompt: the beginnings of turns, a date, the name of a persona.  The most that
#: was recorded are 455
OVERHEAD: Final = 512
#: Cohere's own preamble, the most that was recorded are 1,154
COHERE_OVERHEAD: Final = 2_048
#: and before the first tool: Anthropic documents up to 530 for its tool use prompt
#: (platform.claude.com/docs/en/agents-and-tools/tool-use/overview, Pricing)
TOOLS_OVERHEAD: Final = 1_024
#: and around each one: Anthropic's own (bash, text editor, computer) come with up to 735 tokens of their own
A_TOOL: Final = 768

#: shortest limit on an answer: OpenAI's APIs know no lower one, and gateways to them take it for a lower one
LEAST_LIMIT: Final = 16

#: kinds whose tokens follow from their text
_BOUNDED: Final = frozenset(
    (
        *("chat", "completions", "responses", "messages", "generateContent", "converse", "invoke", "ollama"),
        *("cohere-chat", "embeddings", "rerank", "moderations"),
    )
)
#: and of these, those that generate nothing
_NO_OUTPUT: Final = frozenset({"embeddings", "rerank", "moderations"})


class Bound(NamedTuple):
    """An upper bound, or why there is none."""

    #: input and output; None: no bound
    tokens: int | None
    #: what forbids it, in a word or two
    reason: str | None = None


def upper_bound(kind: Kind | None, body: bytes, model: str | None, *, any_server: bool = False) -> Bound:
    """The most tokens that a request can use.

    :param kind: None: an unknown API
    :param body: decoded
    :param model: that the request asks for, in its body or its path
    :param any_server: it is not known which server answers: only limits that every server of the API keeps are taken,
        and a model's name says nothing, as servers give their models any
    """
    if kind is None:
        return Bound(None, "an unknown kind of call")
    if kind.model_call is False:
        return Bound(0)
    if kind.deferred:
        return Bound(None, "a batch")
    if kind.name not in _BOUNDED:
        return Bound(None, kind.name)
    found = bounding(body, kind.name, any_server=any_server)
    if found.unbounded is not None:
        return Bound(None, found.unbounded)
    if model is not None and self_willed(model):
        return Bound(None, "a model that searches")
    facts = known(model) if model is not None else None
    if kind.name == "invoke" and facts is None:
        return Bound(None, "an unknown model")  # each maker's has a body of its own
    if any_server:
        facts = None
    tokens = len(body) + (COHERE_OVERHEAD if kind.name == "cohere-chat" else OVERHEAD)
    if found.tools:
        tokens += TOOLS_OVERHEAD + A_TOOL * found.tools
    if found.pictures:
        if facts is None or facts.picture is None:
            return Bound(None, "pictures for this model")
        tokens += found.pictures * facts.picture - found.picture_bytes
    if kind.name not in _NO_OUTPUT:
        limit = found.limit if found.limit is not None else facts.output if facts is not None else None
        if limit is None and any_server:
            return Bound(None, "no limit that every server keeps")
        if limit is None:
            return Bound(None, "no limit, and an unknown model")
        tokens += found.answers * max(limit, LEAST_LIMIT)
    return Bound(tokens)

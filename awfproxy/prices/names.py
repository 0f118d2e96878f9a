"""By which names, and with whom, a model is looked for.

Rules:

* First with the provider of the port; then, because a port may stand before an aggregator or a gateway, with everybody
  by name: with a cloud whose form of name it is, with the maker, at last with whoever serves it.
* A name is tried as it came, then without what hosts put around it (a path, a region, a revision), at last without its
  date: a dated snapshot that is not listed costs what its model costs.
* A fine-tuned model has prices of its own: it is never priced as what it was made from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: The library's name of a provider of ours (`core.providers`); the others have none.
LIBRARY_PROVIDERS: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "copilot": "github-copilot",
    "gemini": "google",
    "vertex": "google",
}
#: Those who make the models that they serve: their price is asked for before that of other hosts.
MAKERS: Final = (
    *("openai", "anthropic", "google", "mistral", "deepseek", "x-ai", "meta", "cohere", "moonshotai", "zai", "zhipuai"),
    *("minimax", "perplexity", "voyageai", "arcee"),
)

#: Amazon Bedrock's: a region or none, the maker, the model; perhaps at the end of an ARN.
_BEDROCK: Final = re.compile(
    r"(?:arn:aws[a-z-]*:bedrock:.*/)?(?:[a-z]{2,6}(?:-[a-z]{3})?\.)?"
    r"((?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|writer|zai)"
    r"\.[a-z0-9][^/]*)"
)
#: What Bedrock puts at the end: ``-v1:0``.
_REVISION: Final = re.compile(r"-v\d+(?::\d+)?$")
_DATE: Final = re.compile(r"-(20\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])$")
_ALIAS: Final = re.compile(r"[-@](?:latest|default)$")
_FINE_TUNED: Final = ("ft:",)


def is_bedrock(name: str) -> bool:
    """Whether a name, in small letters, is in the form of Amazon Bedrock."""
    return _BEDROCK.fullmatch(name) is not None


def names_of(name: str) -> Iterator[str]:
    """The names to try for one model, each once; `name` is in small letters."""
    seen = set()
    for tried in _forms(name):
        if tried and tried not in seen:
            seen.add(tried)
            yield tried


def _forms(name: str) -> Iterator[str]:
    yield name
    if name.startswith(_FINE_TUNED):
        return
    if bedrock := _BEDROCK.fullmatch(name):
        yield name.rpartition("/")[2]
        yield bedrock[1]
        name = _REVISION.sub("", bedrock[1].partition(".")[2])
        yield name
    # Vertex AI writes versions after an @, and models behind a path.
    name = name.rpartition("/")[2]
    yield name
    name = _ALIAS.sub("", name)
    yield name
    name = name.replace("@", "-")
    yield name
    if not name.endswith(":free"):
        name = name.partition(":")[0]
        yield name
    # Compact dates are written out in some of the library's lists.
    yield _DATE.sub(r"-\1-\2-\3", name)
    name = _DATE.sub("", name)
    yield name
    yield _ALIAS.sub("", name)

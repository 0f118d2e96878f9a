"""Which API a request calls, told by its method and path: one table.

A kind names the feature of a call, says whether the call makes a model work (only then may its tokens be estimated
when the answer says nothing), and whether the path alone says that the answer is a stream.  The table looks at the end
of the path, because base paths of gateways differ; where two APIs end alike, the segment before decides.  An unknown
path has no kind: it is forwarded, and its usage recorded if it reports any.  But reading or changing what is stored
never makes a model work: what a ``GET``, ``PUT``, ``PATCH`` or ``DELETE`` answers was counted when it was made, or is
counted once as `background` says.  Nor does cancelling.

Sources: the API references of OpenAI, Anthropic, Google (generateContent, Vertex), Azure OpenAI, Amazon Bedrock,
Cohere, Mistral, Ollama, Perplexity and xAI; the paths that occur in the recorded corpus are a test.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import msgspec

#: characters of a model's name taken from a URL (Bedrock's ARNs are the longest, about 130)
MODEL_MAX: Final = 256
#: characters of a stored answer's id as it stands in a path, perhaps percent-encoded (`usage.IDENTIFIER_MAX`)
WORK_ID_MAX: Final = 256


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of call."""

    name: str
    #: whether a model works on it, and tokens are spent; None: only where the answer reports some
    model_call: bool | None = True
    #: the work may go on after the answer, which then has the id to ask for it by
    may_go_on: bool = False
    #: models are set to work later, on what is fetched as a file, if ever: its usage does not pass here
    deferred: bool = False
    #: such work is shown by its id: the name of the kind that made it
    shows: str | None = None
    #: the path says that the answer is a stream; False: the body decides (or it is none)
    streams: bool = False
    #: OpenAI-shaped chat, on which `stream_options.include_usage` may be asked for
    may_ask_usage: bool = False
    #: the whole API is Anthropic's, so its errors are, on a provider of another shape too
    anthropic_shaped: bool = False


CHAT: Final = Kind(name="chat", may_ask_usage=True)
#: chat-shaped, at paths where `stream_options` is not known to be accepted
CHAT_LIKE: Final = Kind(name="chat")
COMPLETIONS: Final = Kind(name="completions")
RESPONSES: Final = Kind(name="responses", may_go_on=True)
STORED_RESPONSE: Final = Kind(name="stored_response", model_call=False, shows="responses")
MESSAGES: Final = Kind(name="messages", anthropic_shaped=True)
MESSAGES_STREAM: Final = Kind(name="messages", anthropic_shaped=True, streams=True)
COUNT_TOKENS: Final = Kind(name="count_tokens", model_call=False)
COUNT_MESSAGES: Final = Kind(name="count_tokens", model_call=False, anthropic_shaped=True)
GENERATE: Final = Kind(name="generateContent")
GENERATE_STREAM: Final = Kind(name="generateContent", streams=True)
INTERACTIONS: Final = Kind(name="interactions", may_go_on=True)
STORED_INTERACTION: Final = Kind(name="stored_interaction", model_call=False, shows="interactions")
PREDICT: Final = Kind(name="predict")
EMBEDDINGS: Final = Kind(name="embeddings")
IMAGES: Final = Kind(name="images")
AUDIO: Final = Kind(name="audio")
RERANK: Final = Kind(name="rerank")
#: OpenAI's use no tokens, Mistral's do and say so
MODERATIONS: Final = Kind(name="moderations", model_call=None)
ASSISTANTS: Final = Kind(name="assistants", may_go_on=True)
ASSISTANTS_STORE: Final = Kind(name="assistants", model_call=False, shows="assistants")
OLLAMA: Final = Kind(name="ollama")
COHERE_CHAT: Final = Kind(name="cohere-chat")
CONVERSE: Final = Kind(name="converse")
CONVERSE_STREAM: Final = Kind(name="converse", streams=True)
INVOKE: Final = Kind(name="invoke")
INVOKE_STREAM: Final = Kind(name="invoke", streams=True)
#: made, or given more requests
BATCHES: Final = Kind(name="batches", deferred=True)
MESSAGE_BATCHES: Final = Kind(name="batches", deferred=True, anthropic_shaped=True)
STORED_BATCH: Final = Kind(name="batches", model_call=False)
MODELS: Final = Kind(name="models", model_call=False)
#: whatever else is only read, or removed
STORE: Final = Kind(name="store", model_call=False)

#: POST, by the last two segments; looked at first
_BY_TWO: Final[dict[tuple[str, str], Kind]] = {
    ("chat", "completions"): CHAT,
    ("agents", "completions"): CHAT_LIKE,
    ("fim", "completions"): COMPLETIONS,
    ("responses", "input_tokens"): COUNT_TOKENS,
    ("responses", "compact"): RESPONSES,
    ("v1", "agent"): RESPONSES,  # Perplexity
    ("messages", "count_tokens"): COUNT_MESSAGES,
    ("messages", "batches"): MESSAGE_BATCHES,
    ("batch", "jobs"): BATCHES,  # Mistral
    ("images", "generations"): IMAGES,
    ("images", "edits"): IMAGES,
    ("images", "variations"): IMAGES,
    ("audio", "transcriptions"): AUDIO,
    ("audio", "translations"): AUDIO,
    ("audio", "speech"): AUDIO,
    ("chat", "moderations"): MODERATIONS,
    ("api", "chat"): OLLAMA,
    ("api", "generate"): OLLAMA,
    ("api", "embed"): EMBEDDINGS,
    ("api", "show"): MODELS,
    ("v1", "chat"): COHERE_CHAT,
    ("v2", "chat"): COHERE_CHAT,
    ("v1", "generate"): COHERE_CHAT,
    ("v1", "complete"): COMPLETIONS,
    ("threads", "runs"): ASSISTANTS,
}
#: POST, by the last segment
_BY_ONE: Final[dict[str, Kind]] = {
    "completions": COMPLETIONS,
    "responses": RESPONSES,
    "messages": MESSAGES,
    "embeddings": EMBEDDINGS,
    "embed": EMBEDDINGS,
    "moderations": MODERATIONS,
    "rerank": RERANK,
    "tokenize": COUNT_TOKENS,
    "count-tokens": COUNT_TOKENS,
    "interactions": INTERACTIONS,
    "converse": CONVERSE,
    "converse-stream": CONVERSE_STREAM,
    "invoke": INVOKE,
    "invoke-with-response-stream": INVOKE_STREAM,
    "runs": ASSISTANTS,
    "submit_tool_outputs": ASSISTANTS,
    "batches": BATCHES,
    "batchPredictionJobs": BATCHES,  # Vertex
    "model-invocation-job": BATCHES,  # Bedrock
    "embed-jobs": BATCHES,  # Cohere
}
#: POST, by what follows the colon in the last segment (Google's custom methods)
_BY_METHOD: Final[dict[str, Kind]] = {
    "generateContent": GENERATE,
    "streamGenerateContent": GENERATE_STREAM,
    "countTokens": COUNT_TOKENS,
    "computeTokens": COUNT_TOKENS,
    "embedContent": EMBEDDINGS,
    "batchEmbedContents": EMBEDDINGS,
    "batchGenerateContent": BATCHES,
    "asyncBatchEmbedContent": BATCHES,
    "predict": PREDICT,
    "predictLongRunning": PREDICT,
    "rawPredict": MESSAGES,
    "streamRawPredict": MESSAGES_STREAM,
}
#: GET and HEAD, by the last segment, or by the one before it (then the last is an id)
_READ: Final[dict[str, Kind]] = {
    "models": MODELS,
    "deployments": MODELS,
    "tags": MODELS,
    "responses": STORED_RESPONSE,
    "interactions": STORED_INTERACTION,
    "batches": STORED_BATCH,
    "runs": ASSISTANTS_STORE,
    "threads": ASSISTANTS_STORE,
    "input_items": STORED_RESPONSE,
}
#: POST to ``.../{segment}/{id}``, ``.../{segment}/{id}/cancel`` and the like
_CHANGE: Final[dict[str, Kind]] = {
    "responses": STORED_RESPONSE,
    "interactions": STORED_INTERACTION,
    "runs": ASSISTANTS_STORE,
    "batches": STORED_BATCH,
    "completions": STORE,  # the metadata of a stored one; the answer is the whole of it, with its usage
}
#: last segments, or custom methods, that end what was begun
_STOPS: Final = ("cancel", "stop")
#: segments after which a model's name stands
_BEFORE_MODEL: Final = ("models", "model", "deployments", "engines")


def kind(method: bytes, target: bytes) -> Kind | None:
    """The kind of call that ``method`` on ``target`` is; None: not in the table."""
    segments = target.partition(b"?")[0].decode("latin-1").rstrip("/").rsplit("/", 3)
    last = segments[-1]
    before = segments[-2] if len(segments) > 1 else ""
    if method == b"POST":
        found = _BY_TWO.get((before, last)) or _BY_ONE.get(last)
        if found in (MESSAGES, ASSISTANTS):
            threads = b"/threads/" in target.partition(b"?")[0]
            if found is MESSAGES and threads:
                return ASSISTANTS_STORE
            if found is ASSISTANTS and not threads:
                return None  # runs of something else (evals)
        if found is COMPLETIONS and len(segments) > 2 and segments[-3] == "models":
            return CHAT_LIKE
        if found is not None:
            return found
        if ":" in last:
            stem, _, custom = last.rpartition(":")
            if stem == "count-tokens" and custom == "rawPredict":
                return COUNT_MESSAGES
            if custom in _BY_METHOD:
                return _BY_METHOD[custom]
        # /responses/{id}/cancel; /threads/{id}/runs/{id}, which changes its metadata; /interactions/{id}:cancel
        stored = (_CHANGE.get(segments[-3]) if len(segments) > 2 else None) or _CHANGE.get(before)
        if last.rpartition(":")[2] in _STOPS:
            return stored or STORE
        return BATCHES if stored is STORED_BATCH else stored  # /batches/{id}/requests (xAI)
    if method in (b"GET", b"HEAD"):
        return _READ.get(last) or _READ.get(before) or STORE
    if method == b"DELETE":
        return _CHANGE.get(before, STORE)
    if method in (b"PUT", b"PATCH"):
        meant = kind(b"POST", target)
        return STORE if meant is None or meant.model_call is False else None
    return None


def work_id(target: bytes) -> str | None:
    """The id of the work that the path of a kind with ``shows`` asks for; None: it names none.

    ``/v1/responses/{id}``, ``/v1beta/interactions/{id}``, ``/v1/threads/{id}/runs/{id}``, each perhaps with
    ``/cancel`` or ``:cancel``; the longest id taken has `WORK_ID_MAX` characters.
    """
    segments = target.partition(b"?")[0].decode("latin-1").rstrip("/").rsplit("/", 3)
    for at in (len(segments) - 2, len(segments) - 3):
        if at >= 0 and segments[at] in _CHANGE and 0 < len(segments[at + 1]) <= WORK_ID_MAX:
            return unquote(segments[at + 1].partition(":")[0]) or None
    return None


def url_model(target: bytes) -> str | None:
    """The model that the path names (Gemini, Vertex, Azure deployments, Bedrock), at most `MODEL_MAX` characters."""
    path = target.partition(b"?")[0]
    if b"/model" not in path and b"/deployments/" not in path and b"/engines/" not in path:
        return None
    segments = path.decode("latin-1").split("/")
    for at in range(len(segments) - 1, 0, -1):
        if segments[at - 1] in _BEFORE_MODEL and segments[at]:
            name = segments[at]
            stem, colon, custom = name.rpartition(":")
            if colon and custom in _BY_METHOD:
                name = stem
            return unquote(name)[:MODEL_MAX] or None
    return None

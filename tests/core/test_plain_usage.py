"""The quick way says what the thorough way says, or nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.counts import normalise, sound
from awfproxy.core.plain_usage import _BYSTANDERS, _INNER, _OUTER, _WORDS, read_plain

NAMES = st.sampled_from(sorted({*_OUTER, *_INNER, *_WORDS, *_BYSTANDERS, "token_details", "cost", "prompt_tokens_details"}))
COUNTS = st.one_of(
    st.integers(0, 10**6), st.none(), st.integers(-5, 10**13), st.floats(), st.booleans(), st.sampled_from(["12", "standard", "a b"])
)
GROUPS = st.dictionaries(st.sampled_from(sorted({name for group in _INNER.values() for name in group} | {"other"})), COUNTS, max_size=4)


@given(st.dictionaries(NAMES, st.one_of(COUNTS, GROUPS), max_size=8), st.booleans())
def test_plain_and_thorough_agree(usage: dict[str, Any], excludes_cache: bool) -> None:
    """Whatever is plain has nothing to leave out, and the same figures."""
    quick = read_plain(usage, excludes_cache)
    if quick is None:
        return
    rejected: list[str] = []
    kept, truncated = sound(usage, rejected.append)
    assert not rejected and not truncated and kept == usage
    assert quick == normalise(kept, excludes_cache)


def test_what_the_large_providers_send_is_plain() -> None:
    """Else the quick way would be no way."""
    for usage in (
        {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
         "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}},
        {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 12},
        {"input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 9, "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "output_tokens": 5, "service_tier": "standard"},
        {"promptTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 9, "thoughtsTokenCount": 1},
    ):  # fmt: skip
        assert read_plain(usage, False) is not None

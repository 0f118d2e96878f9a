"""The counting rules, as laws."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.simulator import story, tokens

WORD = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


@given(st.lists(WORD), st.sampled_from([" ", "\n", "\t  "]))
def test_a_token_is_a_word(parts: list[str], blank: str) -> None:
    """However the words are set apart."""
    assert tokens.words(blank.join(parts)) == len(parts)


@given(st.lists(st.lists(WORD, min_size=1), min_size=1, max_size=5))
def test_a_prompt_is_the_sum_of_its_messages(texts: list[list[str]]) -> None:
    """As one message or as several, as text or as blocks: the same words, the same tokens."""
    flat = [word for text in texts for word in text]
    one = {"messages": [{"role": "user", "content": " ".join(flat)}]}
    several = {"messages": [{"role": "user", "content": " ".join(text)} for text in texts]}
    blocks = {"messages": [{"role": "user", "content": [{"type": "text", "text": " ".join(text)} for text in texts]}]}
    assert tokens.prompt_tokens(one) == tokens.prompt_tokens(several) == tokens.prompt_tokens(blocks) == len(flat)


def test_a_prompt_is_never_nothing() -> None:
    """Real providers charge at least a token."""
    assert tokens.prompt_tokens({}) == tokens.prompt_tokens({"messages": []}) == 1


def test_deep_nesting_is_no_error() -> None:
    """Ten thousand lists in one another are walked without recursion."""
    deep: Any = "one two"
    for _ in range(10_000):
        deep = [deep]
    assert tokens.text_tokens(deep) == 2


@given(st.integers(0, 100_000))
def test_the_cached_part_is_a_part(prompt: int) -> None:
    """Whole steps, and none below the least that is cached."""
    cached = tokens.cached_tokens(prompt)
    assert 0 <= cached <= prompt
    assert cached % tokens.CACHE_STEP == 0
    assert (cached > 0) == (prompt >= tokens.CACHE_FROM)


def test_only_marked_blocks_are_cached() -> None:
    """What bears no mark is not counted, wherever the marked block stands."""
    body = {
        "system": [{"type": "text", "text": "a b c", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "d e"}]},
            {"role": "user", "content": [{"type": "text", "text": "f", "cache_control": {"type": "ephemeral"}}]},
        ],
    }
    assert tokens.marked_tokens(body) == 4


@given(st.integers(0, 500))
def test_the_story_has_as_many_tokens_as_asked(count: int) -> None:
    """Streamed word by word or as one text."""
    assert tokens.words(story.text(count)) == count == len(list(story.words(count)))

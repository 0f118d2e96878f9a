"""The text that every simulated model writes: one word a token, the same words each time.

It holds what readers of usage trip over: the word "usage" as a quoted JSON member, an event stream's end mark, letters
of two to four bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

_TEXT = """
The keeper counted every lamp twice and wrote the number down before the ships could pass .
His book had one column called "usage":{"total_tokens":7} and one for {"prompt_tokens":-5,"completion_tokens":1e9} .
When the mail boat left at dawn he shouted data: [DONE] across the harbour and closed the book .
Møller , 灯台守 , and the gull 🕊 that slept on the rail agreed : what is not said is not zero .
"""
WORDS = tuple(_TEXT.split())


def word(index: int) -> str:
    """The text of token ``index``, with the blank that sets it apart from the one before."""
    text = WORDS[index % len(WORDS)]
    return text if index == 0 else " " + text


def words(count: int) -> Iterator[str]:
    """The texts of the first ``count`` tokens, each as it is streamed."""
    return map(word, range(count))


def text(count: int) -> str:
    """The first ``count`` tokens as one text."""
    return "".join(words(count))

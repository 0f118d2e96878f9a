"""Other ways of serving a call, each with prices of its own: batch, flex, priority, fast.

Rules: a model's own rates for one (the library's variants) go before its provider's general rule, which is a factor on
the standard rates of all tokens and has the provider's page as its source.  Where there is neither, the price list says
so (`Price.assumed`) instead of taking the standard rates in silence.
"""

from __future__ import annotations

from typing import Final

#: By the library's provider and the word in `Consumption.service_tier`: times the standard rates.
TIER_FACTORS: Final = {
    ("anthropic", "batch"): 0.5,  # platform.claude.com/docs, "Pricing", batch processing
    ("openai", "batch"): 0.5,  # developers.openai.com/api/docs/guides/batch
    ("openai", "flex"): 0.5,  # developers.openai.com/api/docs/guides/flex-processing: at the rates of batches
    ("google", "batch"): 0.5,  # ai.google.dev/gemini-api/docs/optimization
    ("google", "flex"): 0.5,  # the same
    ("google", "priority"): 1.8,  # ai.google.dev/gemini-api/docs/pricing
    ("groq", "flex"): 1.0,  # console.groq.com/docs/flex-processing: as on demand
}

#: The members of the library's conditions (`PriceVariant.when`) whose value is such a word.
_CONDITIONS: Final = frozenset(("processing", "service_tier", "speed"))


def tier_of(when: dict[str, str]) -> str | None:
    """The way of serving that a variant is for; None: it is for something else, or for the standard one."""
    if len(when) != 1:
        return None
    ((member, word),) = when.items()
    return word if member in _CONDITIONS and word != "default" else None

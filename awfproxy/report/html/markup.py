"""HTML that cannot be broken by what stands in it.

Rules: a text becomes markup only here, and is escaped on the way (`report.escaping`); only `Markup` goes in as it
is, and only constants and what this module made are `Markup`.  Attributes are quoted.  There are no `style` attributes
and no event attributes, so that the page's policy can forbid both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, TypeAlias

from awfproxy.report.escaping import html_text

#: characters of a name that are shown: models' have up to 122, most have 30; a page names hundreds
NAME_MAX: Final = 80

_VOID: Final = frozenset({"meta"})


class Markup(str):
    """HTML that is known to be sound."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"
Attribute = str | int | float | bool | None


def el(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """An element.  Attributes: `class_`, `aria_label`, ...; those that are None or False are left away.

    :param children: texts are escaped; None is nothing
    """
    parts = [f"<{tag}"]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        parts.append(f" {name}" if value is True else f' {name}="{_attribute(value)}"')
    parts.append(">")
    if tag not in _VOID or children:
        parts += [joined(*children), f"</{tag}>"]
    return Markup("".join(parts))


def joined(*children: Child) -> Markup:
    """All of them, one after the other."""
    return Markup("".join(_flat(children)))


def lines(*children: Child) -> Markup:
    """All of them, each on a line of its own; None is no line."""
    return Markup("\n".join("".join(_flat([each])) for each in children if each is not None))


def name(text: str) -> Markup:
    """A name that somebody else chose: it does not change the direction of what is beside it, and is no longer than
    `NAME_MAX`."""
    return el("bdi", shown(text))


def shown(text: str) -> str:
    """A name, cut, with a fingerprint of the whole where something is cut; one that shows nothing is in quotes."""
    if not text.strip():
        text = f'"{text}"'
    if len(text) <= NAME_MAX:
        return text
    return f"{text[: NAME_MAX - 10]}…#{hashlib.blake2b(text.encode(errors='replace'), digest_size=4).hexdigest()}"


def percent(part: float) -> str:
    """A length in SVG, of 0 to 1."""
    return f"{100 * part:.3f}".rstrip("0").rstrip(".") + "%"


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield html_text(child)
        else:
            yield from _flat(child)


def _attribute(value: str | int | float) -> str:
    if isinstance(value, Markup):
        raise TypeError("markup does not belong into an attribute")
    return (
        html_text(value)
        if isinstance(value, str)
        else f"{round(value, 3):g}"
        if isinstance(value, float)
        else str(value)
    )

"""On which line of a TOML text each key stands; `tomllib` does not say.

Rules: one pass over the lines, which have already been read by tomllib, so that only well-formed TOML comes here.  A
key inside an inline table or a many-line array has the line on which the outermost key stands.  Wrong at worst by
naming a line too early: a help for the reader, never an input to a decision.
"""

import re

Path = tuple[str, ...]

_KEY = r"(?:[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*')"
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"[ \t]*\[\[?[ \t]*({_DOTTED})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_ONE = re.compile(_KEY)
_TRIPLE = re.compile(r'"""|\'\'\'')


def lines_of_keys(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every table header and key; the first one where a header repeats."""
    lines: dict[Path, int] = {}
    table: Path = ()
    inside: str | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if inside is not None:
            inside = _still_open(line, inside)
            continue
        if header := _HEADER.match(line):
            table = _path(header[1])
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault(table + _path(assignment[1]), number)
            inside = _still_open(line[assignment.end() :], None)
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a key; or of the first thing inside it; or of the nearest thing around it that has one."""
    inside = [line for key, line in lines.items() if key[: len(path)] == path and path not in lines]
    if path and inside:
        return min(inside)
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def _path(dotted: str) -> Path:
    return tuple(key[1:-1] if key[0] in "\"'" else key for key in _ONE.findall(dotted))


def _still_open(line: str, inside: str | None) -> str | None:
    """The quotes of the many-line string that is open at the line's end; None: none is."""
    for found in _TRIPLE.finditer(line):
        if inside is None:
            inside = found[0]
        elif inside == found[0]:
            inside = None
    return inside

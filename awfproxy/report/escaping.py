"""Texts that an attacker may have chosen (a model's name, a label, a path), made harmless for each kind of output.

Rules: nothing in such a text can move the cursor, change what is beside it, mention a person, make a link, load
anything, or become a formula.  What does not show is written out (`\\x1b`, `\\u202e`) and never left away, so that two
different names never look alike for it.  Every report writes such texts through this module, whatever it draws.
"""

import html
import re
import sys
import unicodedata
from collections.abc import Iterable
from typing import Final

from awfproxy.report.output import without_reader

#: Unicode categories that do not show, or that change how others show: controls, formats (right-to-left marks among
#: them), surrogates, private use, line and paragraph separators, unassigned.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: Others that do not show (Unicode's Default_Ignorable_Code_Point): fillers, variation selectors, a blank of Braille.
_BLANK: Final = frozenset(
    map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0))
) | frozenset(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))

#: How a cell begins that a spreadsheet takes for a formula (OWASP, "CSV Injection"; the last four are the full-width
#: forms, which Excel reads alike in some languages).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")

#: What GitHub's runner takes for the beginning of a command in what a step prints (docs.github.com, "Workflow
#: commands").
_COMMAND: Final = re.compile(r":{2,}|##(?=\[)")

#: Characters of a name that are shown.  Names of models have up to 122, ids up to 128.
SHOWN_MAX: Final = 240


def visible(text: str) -> str:
    """For a terminal, in whole: everything that does not show written out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if _unseen(char) else char for char in text)


def terminal(text: str) -> str:
    """The same for what a CI job prints too: nothing in it is a command to GitHub's runner, which looks for ``::`` at
    the beginning of a line (wherever a name may be folded) and for ``##[`` anywhere."""
    return _COMMAND.sub(lambda found: "".join(map(_escaped, found[0])), visible(text))


def short(text: str) -> str:
    """The text if it has at most `SHOWN_MAX` characters, else its beginning and a fingerprint of the whole, so that two
    long names that differ only further on can be told apart."""
    if len(text) <= SHOWN_MAX:
        return text
    import hashlib  # brings OpenSSL, which next to no report needs

    return f"{text[:SHOWN_MAX]}…#{hashlib.blake2b(text.encode(errors='replace'), digest_size=4).hexdigest()}"


def markdown_code(text: str) -> str:
    """For GitHub's markdown, also within a table: a span of code, in which nothing is markup, a mention or a link."""
    # A pipe ends the cell even within code, so GitHub wants it escaped; a backtick would end the code.
    inner = visible(text).replace("`", "'").replace("|", "\\|").strip()
    return f"`{inner}`" if inner else ""


def markdown_text(text: str) -> str:
    """For the running text of GitHub's markdown, a table's cell or a summary: every sign that could be markup stands as
    an entity, which GitHub shows and does not read (mentions and links included)."""
    return "".join(char if char.isalnum() or char in _PLAIN else f"&#{ord(char)};" for char in visible(text))


def csv_cell(text: str) -> str:
    """For a cell of comma-separated values: never a formula.  Quoting is left to the writer of the file."""
    text = terminal(text) if visible(text).lstrip().startswith("::") or "##[" in text else visible(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def html_text(text: str) -> str:
    """For HTML, between tags or within a quoted attribute."""
    return html.escape(visible(text), quote=True)


def write_out(parts: Iterable[str]) -> bool:
    """Text to standard output; what its encoding lacks is written out and no reason to fail.

    :return: False: its reader has left
    """
    out = sys.stdout
    encoding = getattr(out, "encoding", None) or "utf-8"
    try:
        for part in parts:
            out.write(part.encode(encoding, "backslashreplace").decode(encoding))
        out.flush()
    except BrokenPipeError:
        without_reader(out)
        return False
    return True


#: signs that mean nothing in markdown wherever they stand
_PLAIN: Final = frozenset(" ,;%≥?$·…")


def _unseen(char: str) -> bool:
    category = unicodedata.category(char)
    # Blanks of other widths look like the blank.
    return category in _UNSEEN or char in _BLANK or (category == "Zs" and char != " ")


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

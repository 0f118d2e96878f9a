"""The words for what is wrong in a TOML file, for someone who writes TOML: each the rest of a sentence.

Rules: what is valid is said, and where the mistake is a usual one, what to write.  What may be a key is not repeated.
"""

import ast
import difflib
import re
from typing import Any, Literal, get_args, get_origin

from awfproxy.core.credentials import shown
from awfproxy.core.toml_tables import CredentialTable

#: Settings that are server endpoint strings.
_ENDPOINTS = ("listen", "admin")

#: What people call a key in a table whose setting for it is `credential`.
_KEYS = ("api_key", "api-key", "apikey", "key", "token", "secret")

#: How a credential is written.
_FILE, _VARIABLE = "{ file = PATH }", "{ env = NAME }"
_NOT_HERE = "a key does not stand in this file"


def no_setting(name: str, valid: tuple[str, ...]) -> str:
    """Of a key that its table does not have.

    :param valid: those that it has
    """
    if "credential" in valid and name.lower() in _KEYS:
        return f"is not a setting; write `credential = {_FILE}` or `credential = {_VARIABLE}`; {_NOT_HERE}"
    return f"is not a setting{nearest(name, valid)}"


def wrong_value(name: str, value: object, wanted: Any, message: str) -> str:
    """Of a value that its key cannot have.

    :param wanted: the key's type
    :param message: msgspec's
    """
    if name in _ENDPOINTS and type(value) is int:
        return f"is a port number alone; write `\"tcp:{value}\"`"
    if isinstance(value, str) and CredentialTable in get_args(wanted) and message.endswith("got `str`"):
        return f"must be a table; write `{_FILE}` or `{_VARIABLE}`; {_NOT_HERE}"
    return _plain(message, value, wanted)


def syntax(message: str) -> str:
    """Of a text that is no TOML.

    :param message: tomllib's, without the place
    """
    if message == "Invalid value":
        return "invalid value; a text stands in quotes, numbers, true and false do not"
    if twice := re.fullmatch(r"Cannot declare (\(.*\)) twice", message):
        return f"the table `[{'.'.join(ast.literal_eval(twice[1]))}]` is there already; write both into one"
    return f"{message[:1].lower()}{message[1:]}"


def nearest(name: str, valid: tuple[str, ...]) -> str:
    """`; did you mean ...?` where something is near, else the whole list.

    Of names that begin as the given one does, the first: it was not written to its end.
    """
    if near := difflib.get_close_matches(name, valid):
        begun = [each for each in valid if each in near and each.startswith(name)]
        return f"; did you mean `{(begun or near)[0]}`?"
    return f"; valid are {', '.join(f'`{one}`' for one in sorted(valid))}"


def _choices(kind: Any) -> tuple[object, ...]:
    """The values of a Literal type, also of an optional one."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((get_args(part) for part in get_args(kind) if get_origin(part) is Literal), ())


def _may_be_number(kind: Any) -> bool:
    """Whether one of several types is that of whole numbers between bounds."""
    return any(get_args(part)[:1] == (int,) for part in get_args(kind))


#: msgspec's names of types in the words of someone who writes TOML; `null` cannot be written.
_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "a table",
}


def _plain(message: str, value: object, wanted: Any) -> str:
    """msgspec's message, in the words of someone who writes TOML."""
    message, _, where = message.partition(" - at `$")
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", message):
        return f"has the unknown member `{unknown[1]}`; valid are `env`, `file` and `systemd`"
    if message.startswith("Invalid enum value"):
        hint = nearest(str(value), tuple(str(choice) for choice in _choices(wanted)))
        number = " or a whole number" if _may_be_number(wanted) and not hint.endswith("?") else ""
        return f"cannot be {shown(str(value), '`')}{hint}{number}"
    message = message.replace("Expected", "expected").replace("`str` of length >= 1", "a text that is not empty")
    message = re.sub(r"`([a-z |]+)`", lambda found: _types(found[1]), message)
    inner = f" (at `{where.rstrip('`')}`)" if where else ""
    return f"is wrong: {message}{inner}"


def _types(names: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in names.split(" | ") if name != "null")

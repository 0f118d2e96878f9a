"""Request targets: what may go upstream, under which path, and what stands in the record.

Rules:

* Only the origin form (RFC 9112 section 3.2.1) is forwarded.  The absolute form names a host of the client's choice,
  the authority and asterisk forms name none; all three are refused.
* Nothing that two parsers could read in two ways is forwarded: characters outside printable ASCII, `#`, and in the path
  backslashes, escapes that are none, escaped control characters and bytes that are no UTF-8, and dot segments however
  they are encoded are refused, because a server that resolves them would leave the base path.  A name may look like an
  escape (`100%25ae` is `100%ae`), so what is decoded more than once need be no UTF-8.
* A run of slashes at the beginning becomes one: `//host/path` is another host to a parser of URL references.  Clients
  whose base URL ends with a slash send it.
* Otherwise the target goes on as it came: nothing is decoded, no case is changed, the query is kept (but for keys on
  the providers that take them there).

Refused is None.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

#: bytes of a path in a record (docs/records.md): longer ones are scans or attacks, and the head of a path says which
#: API it was
RECORD_PATH_MAX: Final = 512

#: Query parameters that carry a key at Google's APIs ("System parameters",
#: cloud.google.com/apis/docs/system-parameters), and the spellings its SDKs have used; lower case.  `$httpHeaders` is
#: among them because it can carry an Authorization header.
KEY_PARAMETERS: Final = frozenset(
    b"key $key apikey api_key api-key access_token $access_token oauth_token bearer_token "
    b"$httpheaders httpheaders x-goog-api-key authorization".split()
)

# 0x21-0x7E without `#`
_plain = re.compile(rb"/[!\"$-~]*").fullmatch
# An escape of an escape, which another server on the way may undo first.  `%2525...` is one step, however long; what is
# written in escapes of its digits (`%25%32%65`) is one round, of which nobody needs as many.
_nested = re.compile(rb"%(?:25)+(?=[0-9A-Fa-f]{2})")
_ROUNDS: Final = 4
_broken = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
# RFC 3986 has no control characters, and what decodes them may end a line with them
_control = re.compile(rb"[\0-\x1f\x7f]").search
# ASCII in more bytes than it takes, which RFC 3629 section 10 forbids and some decoders read
_overlong = re.compile(
    rb"[\xc0\xc1][\x80-\xbf]|(?:\xe0|\xf0\x80|\xf8\x80\x80|\xfc\x80\x80\x80)[\x80\x81][\x80-\xbf]"
).search
_version_segment = re.compile(rb"/v\d[0-9a-z]*").fullmatch
_version_twice = re.compile(rb"(/v\d[0-9a-z]*)\1(?=[/?]|$)").match


def join(base: bytes, target: bytes) -> bytes | None:
    """The target under the upstream's ``base`` path (`b""` or `b"/v1"`, no slash at its end); None: refused.

    A base that the path already has is not put before it again, nor is a version that both have (base `/openai/v1`,
    path `/v1/models`); `/v1/v1` of a client whose base URL and SDK both add the version becomes `/v1`.
    """
    if _plain(target) is None:
        return None
    if target.startswith(b"//"):
        target = b"/" + target.lstrip(b"/")
    path, mark, query = target.partition(b"?")
    # b"/." and not only b"/..": a single dot is a segment too; `%` is rare in paths, so the slow look is too
    if (b"/." in path or b"%" in path or b"\\" in path) and _escapes(path):
        return None
    if path.startswith(b"/v") and (twice := _version_twice(path)):
        path = path[len(twice[1]) :]
    if base and not (path.startswith(base) and (len(path) == len(base) or path[len(base)] == 0x2F)):
        last = base[base.rfind(b"/") :]
        shared = _version_segment(last) and (path == last or path.startswith(last + b"/"))
        path = base + path[len(last) :] if shared else base + path
    return path + mark + query


def _escapes(path: bytes) -> bool:
    """Whether a server that decodes ``path``, once or many times, could leave it, or could disagree on what it says.

    It could see a dot segment, a backslash, a control character, a letter in UTF-8 that is none, such as an overlong
    dot (RFC 3629 section 10), or an escape that is none (RFC 3986 section 2.1).
    """
    if b"\\" in path or _broken(path):
        return True
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return True
    for _ in range(_ROUNDS):
        decoded = unquote_to_bytes(_nested.sub(b"%", path))
        if _control(decoded) or _overlong(decoded):
            return True
        # Some servers cut parameters (`..;x`) off a segment before they resolve it.
        segments = decoded.replace(b"\\", b"/").split(b"/")
        if any(segment.partition(b";")[0] in (b".", b"..") for segment in segments):
            return True
        if decoded == path:
            return False
        path = decoded
    return True


def strip_keys(target: bytes) -> bytes:
    """``target`` without query parameters that carry a key; every other byte as it was."""
    path, mark, query = target.partition(b"?")
    if not mark:
        return target
    pairs = query.split(b"&")
    kept = [pair for pair in pairs if not _carries_key(pair)]
    if len(kept) == len(pairs):
        return target
    return path + b"?" + b"&".join(kept) if kept else path


def key_values(target: bytes) -> list[bytes]:
    """The values, as they stand in the query, of the parameters that `strip_keys` takes out."""
    pairs = target.partition(b"?")[2].split(b"&")
    return [pair.partition(b"=")[2] for pair in pairs if _carries_key(pair)]


def _carries_key(pair: bytes) -> bool:
    name = pair.partition(b"=")[0].replace(b"+", b" ")
    if b"%" in name:
        name = unquote_to_bytes(name)
    return name.strip().lower() in KEY_PARAMETERS


def record_path(target: bytes) -> str:
    """The path of ``target`` for a record: no query, at most `RECORD_PATH_MAX` bytes of UTF-8, cut between characters.

    Takes what was refused, too: the scheme and authority of an absolute form are left out, since they may hold a
    password.
    """
    path = target.partition(b"?")[0].partition(b"#")[0]
    if not path.startswith(b"/") and b"://" in path:
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    # Longer ones cannot matter, and need not be decoded: no character's UTF-8 is shorter than the byte it came from.
    path = path[:RECORD_PATH_MAX]
    if path.isascii():
        return path.decode("ascii")
    text = path.decode("utf-8", "replace")
    return text.encode()[:RECORD_PATH_MAX].decode("utf-8", "ignore")

"""What decoding bytes from outside as JSON may raise, for an `except`.

msgspec raises its own errors for what is malformed or mistyped, but `UnicodeDecodeError`, a `ValueError`, for a text
that is no UTF-8, and `RecursionError` for what is nested too deep.
"""

from typing import Final

import msgspec

UNDECODABLE: Final = (msgspec.MsgspecError, RecursionError, ValueError)

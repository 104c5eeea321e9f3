"""Regular expressions in Go's syntax (RE2), matched in linear time.

A template's author writes the pattern and a workspace's user the value, so matching must end: an
engine that backtracks could be kept busy for ever. The engine is Rust's, which reads nearly the
same syntax. What it reads differently is rewritten: Go's short classes match ASCII only, and ``[``,
``&``, ``-`` and ``~`` inside a class have no further meaning in Go.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

MAX_PATTERN = 4096
"""The longest pattern, in characters."""

_SHORT_CLASSES = {
    r"\d": "[0-9]",
    r"\D": "[^0-9]",
    r"\w": "[0-9A-Za-z_]",
    r"\W": "[^0-9A-Za-z_]",
    r"\s": r"[\t\n\f\r ]",
    r"\S": r"[^\t\n\f\r ]",
}
_ASCII_BOUNDARY = r"(?-u:\b)"
_TOKEN = re.compile(r"\\Q(?P<quoted>.*?)(?:\\E|$)|\\.|\[:\^?\w+:\]|.", re.DOTALL)
_OPERATORS = frozenset("[&~")


class PatternError(Exception):
    """The pattern is not a regular expression, or it is too long."""


def matches(pattern: str, value: str) -> bool:
    """Return whether the pattern is found anywhere in the value.

    Raises:
        PatternError: it is not a regular expression, or it is too long.
    """
    try:
        _compiled(pattern).validate_python(value)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator:
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"the pattern is longer than {MAX_PATTERN} characters")
    # The engine's library is large, and most programs that enqueue never need it.
    import pydantic_core  # noqa: PLC0415

    schema = pydantic_core.core_schema.str_schema(
        pattern=_translated(pattern), regex_engine="rust-regex"
    )
    try:
        return pydantic_core.SchemaValidator(schema)
    except pydantic_core.SchemaError as error:
        raise PatternError(str(error).strip().splitlines()[-1].strip()) from None


def _translated(pattern: str) -> str:
    """Return the pattern with the same meaning in Rust's syntax."""
    pieces, in_class, is_first = [], False, False
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if token["quoted"] is not None:
            pieces.append(re.escape(token["quoted"]))
        elif not in_class:
            in_class = is_first = text == "["
            pieces.append(_ASCII_BOUNDARY if text == r"\b" else _SHORT_CLASSES.get(text, text))
            continue
        elif text == "]" and not is_first:
            in_class = False
            pieces.append(text)
        else:
            pieces.append(_in_class(text, is_first=is_first))
        # A bracket right after "[" or "[^" is a literal.
        is_first = is_first and text == "^"
    return "".join(pieces)


def _in_class(text: str, *, is_first: bool) -> str:
    if text in _OPERATORS or (text == "]" and is_first):
        return f"\\{text}"
    return _SHORT_CLASSES.get(text, text)

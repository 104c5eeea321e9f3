"""Texts that stand for typed values, as Go reads them."""

from __future__ import annotations

import json
import re

_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(
    r"[+-]?(inf|infinity|nan|([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?"
    r"|0x([0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)p[+-]?[0-9]+)",
    re.IGNORECASE,
)
_BOOLEANS = {"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"}
_LARGEST = 2**63


def integer(text: str) -> int | None:
    """Return a whole number of 64 bits, or None for anything else."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -_LARGEST <= number < _LARGEST else None


def strings(text: str) -> list[str] | None:
    """Return a JSON list of texts (null counts as an empty one), or None for anything else."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if found is None:
        return []
    if isinstance(found, list) and all(isinstance(item, str) for item in found):
        return found
    return None


def problem_of_type(kind: str, text: str) -> str | None:
    """Return why a text is no value of a type, or None if it is one."""
    if kind == "number" and not _FLOAT.fullmatch(text):
        return f'"{text}" is not a number'
    if kind == "bool" and text not in _BOOLEANS:
        return f'"{text}" is not a bool'
    if kind == "list(string)" and strings(text) is None:
        return f'value "{text}" is not a valid list of strings'
    return None

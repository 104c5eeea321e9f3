"""Read attributes of resources: each in its type, or its default if it has another one.

A provider's schema fixes the types, but it may be another provider's than we think, and what a plan
does not know yet is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

Attributes = Mapping[str, Any]
_MAX_INTEGER = 2**31 - 1
_MAX_BIGINT = 2**63 - 1


def text(attributes: Attributes, name: str, default: str = "") -> str:
    """Return a text; the default for anything else."""
    value = attributes.get(name)
    return value if isinstance(value, str) else default


def flag(attributes: Attributes, name: str, *, default: bool = False) -> bool:
    """Return true or false; the default for anything else."""
    value = attributes.get(name)
    return value if isinstance(value, bool) else default


def integer(attributes: Attributes, name: str, default: int = 0) -> int:
    """Return a whole number that an integer column can store; the default for anything else."""
    value = whole_number(attributes, name)
    return default if value is None or abs(value) > _MAX_INTEGER else value


def whole_number(attributes: Attributes, name: str) -> int | None:
    """Return a whole number of at most 64 bits; None for anything else."""
    value = attributes.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    # In this order: the whole number of 1e999999999 would take all memory.
    return int(value) if -_MAX_BIGINT <= value <= _MAX_BIGINT and value == int(value) else None


def nested(attributes: Attributes, name: str) -> Attributes:
    """Return an object; an empty one for anything else."""
    value = attributes.get(name)
    return value if isinstance(value, dict) else {}


def blocks(attributes: Attributes, name: str) -> Iterator[Attributes]:
    """Yield the nested blocks of a name."""
    value = attributes.get(name)
    for block in value if isinstance(value, list) else ():
        if isinstance(block, dict):
            yield block


def block(attributes: Attributes, name: str) -> Attributes:
    """Return the first nested block of a name, an empty one if there is none."""
    return next(blocks(attributes, name), {})


def texts(attributes: Attributes, name: str) -> dict[str, str]:
    """Return the texts of a map, without the elements that are not known."""
    value = attributes.get(name)
    items = value.items() if isinstance(value, dict) else ()
    return {key: item for key, item in items if isinstance(item, str)}

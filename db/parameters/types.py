"""Whether a value can be of a Terraform variable's type.

Only what can never be right is refused: Terraform converts numbers and booleans to texts and back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

PRIMITIVES = frozenset({"string", "number", "bool"})

SEQUENCES = frozenset({"list", "set", "tuple"})
MAPPINGS = frozenset({"map", "object"})
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_BOOLS = frozenset({"true", "false", "1", "0"})


@dataclass(frozen=True, kw_only=True)
class Type:
    """A type constraint; ``items`` of collections, ``members`` of objects."""

    name: str  #: such as string, list, object or any
    items: tuple[Type, ...] = ()
    members: Mapping[str, Type] = field(default_factory=dict)
    is_optional: bool = False


ANY = Type(name="any")


def misfit(wanted: Type, value: object) -> str:
    """Return why a value cannot be of a type, such as "a number, not a list"; empty if it can."""
    return next(_misfits(wanted, value, ""), "")


def _misfits(wanted: Type, value: object, where: str) -> Iterator[str]:
    if value is None or wanted.name == "any":
        return
    if not _has_shape(wanted.name, value):
        yield f"{where}must be {_article(wanted.name)}, not {_kind(value)}"
    elif isinstance(value, list):
        yield from _misfits_of_items(wanted, value, where)
    elif isinstance(value, dict):
        yield from _misfits_of_members(wanted, value, where)


def _misfits_of_items(wanted: Type, value: Sequence[object], where: str) -> Iterator[str]:
    is_tuple = wanted.name == "tuple"
    if is_tuple and len(value) != len(wanted.items):
        yield f"{where}must have {len(wanted.items)} elements, not {len(value)}"
        return
    for position, item in enumerate(value):
        kind = wanted.items[position if is_tuple else 0]
        yield from _misfits(kind, item, f"{where}element {position} ")


def _misfits_of_members(wanted: Type, value: Mapping[str, object], where: str) -> Iterator[str]:
    if wanted.name == "map":
        for key, item in value.items():
            yield from _misfits(wanted.items[0], item, f'{where}element "{key}" ')
        return
    for name, kind in wanted.members.items():
        if name in value:
            yield from _misfits(kind, value[name], f'{where}attribute "{name}" ')
        elif not kind.is_optional:
            yield f'{where}must have the attribute "{name}"'


def _has_shape(name: str, value: object) -> bool:
    if name in SEQUENCES:
        return isinstance(value, list)
    if name in MAPPINGS:
        return isinstance(value, dict)
    text = _text(value)
    return text is not None and _IS_LITERAL[name](text)


_IS_LITERAL: Mapping[str, Callable[[str], bool]] = {
    "string": lambda _text: True,
    "number": lambda text: _NUMBER.fullmatch(text) is not None,
    "bool": _BOOLS.__contains__,
}


def _text(value: object) -> str | None:
    """Return a primitive value as Terraform converts it to text; None for a collection."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def _article(name: str) -> str:
    return f"an {name}" if name == "object" else f"a {name}"


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a map"
    return f'"{(_text(value) or "")[:100]}"'

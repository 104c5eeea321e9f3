"""Decoding JSON as strictly as Go's encoding/json does into the types of ``codersdk``.

Unknown fields are ignored, and null is the zero value of every type. A wrong type, a malformed or
empty UUID, and a time that is not RFC 3339 with a zone make the whole answer undecodable.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

Decoder = Callable[[Any, str], Any]
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
ZERO_ID = "00000000-0000-0000-0000-000000000000"
ZERO_TIME = "0001-01-01T00:00:00Z"


class UndecodableError(Exception):
    """Go's client could not decode the answer."""


def uuid_(value: Any, where: str) -> str:
    if value is None:
        return ZERO_ID
    text_(value, where)
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        raise UndecodableError(f"{where}: {value!r} is not a UUID")
    return str(uuid.UUID(value))


def time_(value: Any, where: str) -> str:
    if value is None:
        return ZERO_TIME
    if not isinstance(value, str) or not RFC3339.fullmatch(value):
        raise UndecodableError(f"{where}: {value!r} is not a time in RFC 3339")
    return value


def text_(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UndecodableError(f"{where}: {value!r} is not a string")
    return value


def bool_(value: Any, where: str) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise UndecodableError(f"{where}: {value!r} is not a bool")
    return value


def integer(bits: int) -> Decoder:
    def decode(value: Any, where: str) -> int:
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool):
            raise UndecodableError(f"{where}: {value!r} is not an integer")
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise UndecodableError(f"{where}: {value!r} does not fit into {bits} bits")
        return value

    return decode


int_, int32_ = integer(64), integer(32)


def many(item: Decoder) -> Decoder:
    def decode(value: Any, where: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise UndecodableError(f"{where}: {value!r} is not a list")
        return [item(element, f"{where}[{i}]") for i, element in enumerate(value)]

    return decode


def mapping(item: Decoder) -> Decoder:
    def decode(value: Any, where: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise UndecodableError(f"{where}: {value!r} is not an object")
        return {key: item(element, f"{where}.{key}") for key, element in value.items()}

    return decode


def struct(fields: Mapping[str, Decoder]) -> Decoder:
    """Decode an object. A name that ends with ``!`` is of a field that the command line reads."""

    def decode(value: Any, where: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise UndecodableError(f"{where}: {value!r} is not an object")
        found = {}
        for name, field in fields.items():
            plain = name.removesuffix("!")
            if name != plain and plain not in value:
                raise UndecodableError(f"{where}.{plain} is missing")
            found[plain] = field(value.get(plain), f"{where}.{plain}")
        return found

    return decode


def nullable(item: Decoder) -> Decoder:
    def decode(value: Any, where: str) -> Any:
        return None if value is None else item(value, where)

    return decode

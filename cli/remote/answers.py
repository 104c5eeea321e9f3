"""Fields of answers, which are checked, and of requests.

A server may be another program, or an older one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cli.remote.client import Client
from cli.remote.errors import ForeignAnswerError

Value = TypeVar("Value")


def field_of(client: Client, answer: Any, name: str, kind: type[Value]) -> Value:
    """Return a field of an answer; a dot leads into an object.

    Raises:
        ForeignAnswerError: it is absent, or of another type.
    """
    value = answer
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    # True is a number for Python only.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ForeignAnswerError(client.server.url, f"the answer lacks {name}")
    return value


def id_of(client: Client, answer: Any, name: str = "id") -> uuid.UUID:
    """Return an id in an answer.

    Raises:
        ForeignAnswerError: it is absent, or not an id.
    """
    return read_as(client, uuid.UUID, field_of(client, answer, name, str), name)


def read_as(client: Client, read: Callable[[str], Value], text: str, name: str) -> Value:
    """Return what ``read`` makes of a text in an answer.

    Raises:
        ForeignAnswerError: the text is not one of these.
    """
    try:
        return read(text)
    except ValueError as error:
        raise ForeignAnswerError(client.server.url, f"{name} has another form") from error


def as_pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Return values by their names in the form of requests."""
    return [{"name": name, "value": value} for name, value in values.items()]

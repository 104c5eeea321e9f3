"""Settings that are lists, given as one text with commas."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(item.strip() for item in value.split(",") if item.strip())


CommaSeparated = BeforeValidator(_split)
TextList = Annotated[tuple[str, ...], NoDecode, CommaSeparated]

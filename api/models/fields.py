"""Types of fields in requests: bounded, and lenient where Coder's clients need it."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
)

Item = TypeVar("Item")
_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*")


class RequestModel(BaseModel):
    """The base of the bodies. Unknown fields are ignored: other versions of clients send them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _absent_if_zero(value: UUID | None) -> UUID | None:
    return None if value is None or value.int == 0 else value


def _empty_if_null(value: object) -> object:
    return [] if value is None else value


def _only_base64(value: object) -> object:
    if isinstance(value, str) and not _BASE64.fullmatch(value):
        raise ValueError("it is not base64")
    return value


# Go's client sends zeros for "not given", and null for an empty list.
GivenId = Annotated[UUID | None, AfterValidator(_absent_if_zero)]
Many = Annotated[list[Item], BeforeValidator(_empty_if_null)]

# The decoder would leave out what is not base64, and so store another state than was sent.
Base64 = Annotated[Base64Bytes, BeforeValidator(_only_base64)]

Name = Annotated[str, StringConstraints(max_length=64)]
Text = Annotated[str, StringConstraints(max_length=4096)]
Value = Annotated[str, StringConstraints(max_length=262_144)]

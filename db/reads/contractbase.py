"""What all models of the contract share: they leave out absent values, and times are in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
)


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


# Written as RFC 3339 with a Z, regardless of the time zone of the value.
UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
# A list of Coder's that has nothing here. Generators of clients need the items of every array.
EmptyList = Annotated[tuple[()], WithJsonSchema({"type": "array", "items": {}, "maxItems": 0})]


class ContractModel(BaseModel):
    """The base of the models: immutable, ignores unknown fields, leaves out absent values."""

    model_config = ConfigDict(frozen=True)

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}

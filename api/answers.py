"""What every answer has in common."""

from __future__ import annotations

from pydantic import Field
from starlette.responses import JSONResponse

from db.reads.contract import ContractModel


class JsonAnswer(JSONResponse):
    """JSON with its encoding named, as Coder sends it."""

    media_type = "application/json; charset=utf-8"


class Validation(ContractModel):
    """What is wrong with one field of a request."""

    field: str
    detail: str
    is_missing: bool | None = Field(default=None, description="a value is needed")


class Message(ContractModel):
    """The envelope of errors, and of answers that only say that something was done."""

    message: str
    detail: str | None = None
    validations: list[Validation] | None = None
    reason: str | None = Field(default=None, description="in the words of the command line")

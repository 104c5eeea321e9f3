"""The errors of the API, and the envelope in which clients get them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.answers import JsonAnswer, Message, Validation
from api.sentences import HIDDEN, UNKNOWN_ROUTE
from db.errors import BuildActiveError, ConflictError, InvalidError, NotFoundError, RequestError
from db.outage import is_outage

log = logging.getLogger("api")

SIGNED_OUT = "You are signed out or your session has expired. Please sign in again to continue."
SHOWN_CHARACTERS = 200  #: of a value that was refused
UNREADABLE_BODY = "There was an error parsing the body"  #: as FastAPI says it


@dataclass(eq=False)
class ApiError(Exception):
    """An answer other than success."""

    status: int
    message: str
    detail: str = ""
    validations: Sequence[Validation] = ()
    headers: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return self.message


def hidden() -> ApiError:
    """Return the answer for what does not exist, or must not be known to exist."""
    return ApiError(HTTPStatus.NOT_FOUND, HIDDEN)


def forbidden(detail: str = "") -> ApiError:
    """Return the answer for what may be known, but not be done."""
    return ApiError(HTTPStatus.FORBIDDEN, "Forbidden.", detail)


def signed_out(detail: str) -> ApiError:
    """Return the answer to a request without a valid token."""
    challenge = {"WWW-Authenticate": 'Bearer realm="coder", error="invalid_token"'}
    return ApiError(HTTPStatus.UNAUTHORIZED, SIGNED_OUT, detail, headers=challenge)


def refused(message: str, detail: str = "", *, field: str = "") -> ApiError:
    """Return the answer to a request with a wrong value."""
    validations = [Validation(field=field, detail=detail or message)] if field else []
    return ApiError(HTTPStatus.BAD_REQUEST, message, detail, validations)


def conflict(message: str, *, field: str = "", detail: str = "") -> ApiError:
    """Return the answer to a request that the stored data does not allow now."""
    validations = [Validation(field=field, detail=detail or message)] if field else []
    return ApiError(HTTPStatus.CONFLICT, message, detail, validations)


def answer_to(error: ApiError) -> Response:
    """Return the response for an error."""
    return JsonAnswer(
        message_of(error).model_dump(mode="json"),
        status_code=error.status,
        headers=dict(error.headers) if error.headers else None,
    )


def message_of(error: ApiError) -> Message:
    """Return the envelope of an error."""
    return Message(
        message=error.message,
        detail=error.detail or None,
        validations=list(error.validations) or None,
        reason=_reason_of(error),
    )


def _reason_of(error: ApiError) -> str | None:
    # What is hidden must look the same, whether it exists or not.
    cause = error.__cause__
    if not isinstance(cause, RequestError) or error.status == HTTPStatus.NOT_FOUND:
        return None
    return str(cause)


def as_api_error(error: Exception) -> ApiError:
    """Return the answer to an error of the rooms below, or to a bug."""
    for kind, status in (
        (NotFoundError, HTTPStatus.NOT_FOUND),
        (InvalidError, HTTPStatus.BAD_REQUEST),
        (ConflictError, HTTPStatus.CONFLICT),
    ):
        if isinstance(error, kind):
            detail = str(error) if isinstance(error, BuildActiveError) else ""
            return ApiError(status, str(error), detail)
    if isinstance(error, DataError) and "NUL (0x00)" in str(error.orig):
        return refused("Validation failed.", "A text has a NUL character, which cannot be stored.")
    if is_outage(error) or isinstance(error, PoolTimeoutError):
        log.warning("the database is away: %s", type(error).__name__)
        return ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The database cannot be reached. Try again.",
            headers={"Retry-After": "1"},
        )
    log.error("a request failed", exc_info=error)
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "An internal server error occurred.")


def add_handlers(app: FastAPI) -> None:
    """Let the app answer every error in the envelope."""

    async def on_error(_request: Request, error: Exception) -> Response:
        return answer_to(error if isinstance(error, ApiError) else as_api_error(error))

    async def on_invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer_to(_invalid(error.errors()))

    async def on_http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answer_to(_http(error))

    for kind in (ApiError, NotFoundError, InvalidError, ConflictError, DBAPIError, Exception):
        app.add_exception_handler(kind, on_error)
    for outage in (OperationalError, PoolTimeoutError):
        app.add_exception_handler(outage, on_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)


def _invalid(problems: Sequence[Mapping[str, Any]]) -> ApiError:
    first = problems[0]
    where = str(first["loc"][0])
    value = str(first.get("input", ""))[:SHOWN_CHARACTERS]
    if first["type"] == "json_invalid":
        return refused("Request body must be valid JSON.", str(first["msg"]))
    if where == "path":
        return refused(f'Invalid UUID "{value}".', str(first["msg"]))
    message = "Query parameters have invalid values." if where == "query" else "Validation failed."
    validations = [
        Validation(
            field=".".join(str(part) for part in problem["loc"][1:]) or "body",
            detail=f"{problem['msg']}.",
        )
        for problem in problems
    ]
    return ApiError(HTTPStatus.BAD_REQUEST, message, validations=validations)


def _http(error: HTTPException) -> ApiError:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return ApiError(error.status_code, UNKNOWN_ROUTE)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return ApiError(error.status_code, "Method not allowed.", headers=error.headers)
    if error.detail == UNREADABLE_BODY:
        return refused("Request body must be valid JSON.", str(error.__cause__ or ""))
    return ApiError(error.status_code, str(error.detail), headers=error.headers)

"""What a command says if the server cannot be asked, refuses, or answers strangely."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from typing import Any

import click

from api.sentences import UNKNOWN_ROUTE
from cli.table import plain
from db.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    ParameterValidationError,
    ParameterViolation,
    RequestError,
)

PARAMETERS_REFUSED = "Unable to validate parameter"
SHOWN_CHARACTERS = 20_000  #: of what a server says
_BREAKS = re.compile(r"[\t\r\n]+")
REFUSALS: Mapping[int, type[RequestError]] = {
    400: InvalidError,
    404: NotFoundError,
    406: ConflictError,
    409: ConflictError,
    412: ConflictError,
    413: InvalidError,
}
"""The errors that the database path raises where the API answers with a status."""


AWAY = {502, 503, 504}  #: of a proxy whose server restarts, or of a server without its database


class ServerError(click.ClickException):
    """The server did not answer a request, or not with a success. The message is one sentence."""


class AwayError(ServerError):
    """The server is away for a moment: the same request may succeed later."""


class UnreachableError(AwayError):
    """There is no connection to the server, so nothing was sent."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"the server at {url} cannot be reached ({reason});"
            " check PROVISIONERD_URL and that `provisionerd serve` runs"
        )


class CutOffError(AwayError):
    """The request was sent, and no whole answer arrived: the server may have done it."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the server at {url} did not answer ({reason}); try again")
        self.url, self.reason = url, reason


class ChangeCutOffError(CutOffError):
    """The request that was sent changes something."""


class PerhapsDoneError(ServerError):
    """A request that changes something was sent, and no whole answer arrived."""

    def __init__(self, error: ChangeCutOffError, look: str) -> None:
        super().__init__(
            f"the server at {error.url} did not answer ({error.reason}), and may have done it;"
            f" `provisionerd {look}` shows whether it has"
        )


class ForeignAnswerError(ServerError):
    """The answer is not one of this API."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"{url} does not answer as `provisionerd serve` does ({reason}); check PROVISIONERD_URL"
        )


def error_of(url: str, status: int, body: bytes, headers: Message) -> ServerError | RequestError:
    """Return the error for an answer that is not a success."""
    if 300 <= status < 400:
        place = _shown(str(headers.get("Location", "another place")))
        return ForeignAnswerError(url, f"it redirects to {place}")
    document = _document(body)
    if document is None:
        return _without_message(url, status)
    reason = document.get("reason")
    text = _shown(reason) if isinstance(reason, str) else sentence_of(document)
    if document["message"] == UNKNOWN_ROUTE:
        return ServerError(f"the server at {url} is too old for this command: it lacks the route")
    if violations := _violations(document):
        return ParameterValidationError(violations)
    if status in REFUSALS or isinstance(reason, str):
        return REFUSALS.get(status, ConflictError)(text)
    kind = AwayError if status in AWAY else ServerError
    return kind(_unusual(url, status, text, document))


def sentence_of(document: Mapping[str, Any]) -> str:
    """Return what the message of an error says, in one sentence."""
    message = _shown(document["message"])
    details = [document.get("detail"), *(one.get("detail") for one in _validations(document))]
    shown = [_shown(each) for each in details if isinstance(each, str) and each]
    others = [each for each in dict.fromkeys(shown) if each != message]
    return f"{message.rstrip('.')} ({'; '.join(others).rstrip('.')})" if others else message


@contextmanager
def explaining(url: str) -> Iterator[None]:
    """Turn the errors of a connection, within the block, into those of this module."""
    try:
        yield
    except OSError as error:
        is_closed = isinstance(error, http.client.RemoteDisconnected)
        reason = "the connection was closed" if is_closed else reason_of(error)
        raise CutOffError(url, reason) from error
    except http.client.IncompleteRead as error:
        raise CutOffError(url, "the answer is not complete") from error
    except (http.client.HTTPException, ValueError) as error:
        raise ForeignAnswerError(url, "the answer is not HTTP") from error


def reason_of(error: Exception) -> str:
    """Return why a connection failed, in a few words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return _shown(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def certificate_text(error: ssl.SSLCertVerificationError) -> str:
    """Return why the certificate of a server is refused, and what to do."""
    return (
        f"its certificate is not valid: {_shown(error.verify_message)};"
        " SSL_CERT_FILE names a file of other authorities"
    )


def _unusual(url: str, status: int, text: str, document: Mapping[str, Any]) -> str:
    detail = document.get("detail")
    reason = _shown(detail) if isinstance(detail, str) and detail else text
    if status == 401:
        return (
            f"the server at {url} does not accept the token ({reason.rstrip('.')});"
            " set PROVISIONERD_TOKEN to a valid one"
        )
    if status == 403:
        return f"you may not do this: {reason}"
    if status == 429:
        return f"the server at {url} has got too many requests: {text}"
    return f"the server at {url} failed with status {status}: {text}"


def _without_message(url: str, status: int) -> ServerError:
    if status >= 500:
        return AwayError(f"the server at {url} failed with status {status}; try again")
    return ForeignAnswerError(url, f"status {status} without a message")


def _document(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    is_message = isinstance(document, dict) and isinstance(document.get("message"), str)
    return document if is_message else None


def _violations(document: Mapping[str, Any]) -> list[ParameterViolation]:
    if not document["message"].startswith(PARAMETERS_REFUSED):
        return []
    return [
        ParameterViolation(
            field=str(each.get("field", "")),
            detail=str(each.get("detail", "")),
            is_missing=each.get("is_missing") is True,
        )
        for each in _validations(document)
    ]


def _validations(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = document.get("validations")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _shown(text: str) -> str:
    return plain(_BREAKS.sub(" ", text[:SHOWN_CHARACTERS]))

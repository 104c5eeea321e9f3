"""Refusals of our functions in PostgreSQL, as the errors that they are in Python.

A refusal's SQLSTATE says what it is, its message is for people, and its DETAIL is JSON.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from db.errors import (
    ActiveVersionRequiredError,
    BuildActiveError,
    CircuitOpenError,
    ConflictError,
    InvalidError,
    LimitReachedError,
    NotFoundError,
    OwnerInactiveError,
    ParameterValidationError,
    ParameterViolation,
    RequestError,
    SealedError,
    VersionImportingError,
    WorkspaceTagError,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Facts = Mapping[str, Any]

REFUSALS: Mapping[str, Callable[[str, Facts], RequestError]] = {
    "PVN01": lambda message, _: NotFoundError(message),
    "PVI01": lambda message, _: InvalidError(message),
    "PVI02": lambda _, facts: ParameterValidationError(
        [ParameterViolation(**found) for found in facts["validations"]]
    ),
    "PVI03": lambda message, _: WorkspaceTagError(message),
    "PVC01": lambda message, _: ConflictError(message),
    "PVC02": lambda _, __: BuildActiveError(),
    "PVC03": lambda _, facts: VersionImportingError(uuid.UUID(facts["job_id"]), facts["status"]),
    "PVC04": lambda _, __: ActiveVersionRequiredError(),
    "PVC05": lambda _, facts: OwnerInactiveError(facts["username"], facts["status"]),
    "PVC06": lambda message, facts: LimitReachedError(facts["limit"], facts["allowed"], message),
    "PVC07": lambda message, _: SealedError(message),
    "PVC08": lambda message, facts: CircuitOpenError(facts["reason"], message),
}
"""The error of each SQLSTATE, made of its message and its facts."""


@contextmanager
def refusing(session: Session) -> Iterator[None]:
    """Raise what a function refuses as the error that it is in Python; the transaction goes on.

    Raises:
        RequestError: one of ``REFUSALS``.
    """
    try:
        # The connection's savepoint, not the session's: that would flush the caller's objects.
        with session.connection().begin_nested():
            yield
    except DBAPIError as error:
        found = _refusal(error.orig)
        if found is None:
            raise
        raise found from None


def _refusal(error: BaseException | None) -> RequestError | None:
    made = REFUSALS.get(getattr(error, "sqlstate", None) or "")
    if made is None:
        return None
    said = error.diag  # type: ignore[union-attr]
    return made(said.message_primary, json.loads(said.message_detail or "{}"))

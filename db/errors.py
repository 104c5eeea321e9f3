"""The errors that the functions of this package raise.

RequestError              a request that cannot be fulfilled
├── NotFoundError         something does not exist
├── InvalidError          a value is not allowed
│   ├── ParameterValidationError  values of a build's parameters are not allowed
│   └── WorkspaceTagError a computed tag of a build cannot be evaluated
└── ConflictError         the data in the database does not allow it now
    ├── BuildActiveError  the workspace has an unfinished build
    ├── VersionImportingError  the version's import has not ended
    ├── ActiveVersionRequiredError  the template wants its active version
    ├── TemplateDeprecatedError  the template makes no new workspaces
    ├── OwnerInactiveError  the owner of the workspace is suspended, dormant or deleted
    ├── LimitReachedError the owner or the chat has enough builds or workspaces
    ├── CircuitOpenError  the last starts of the template version failed
    ├── StateRefusedError a state must not replace the stored one
    └── SealedError       a stored value is sealed and does not open
LeaseLostError            the writer no longer holds the lease of the job
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from db.schema.enums import JobErrorCode

_SEVERAL_INVALID = "Unable to validate parameters"


class RequestError(Exception):
    """A request that cannot be fulfilled. The message is one sentence for the user."""


class NotFoundError(RequestError):
    """Something that the request names does not exist."""


def unknown_user(username: str) -> NotFoundError:
    """Return the error about a user that does not exist."""
    return NotFoundError(
        f"there is no user {username!r}; `provisionerd user create {username}` makes one"
    )


def unknown_template(name: str) -> NotFoundError:
    """Return the error about a template that does not exist."""
    return NotFoundError(
        f"there is no template {name!r}; `provisionerd template push DIR --name {name}` makes one"
    )


def unknown_version(name: str) -> NotFoundError:
    """Return the error about a version that a template does not have."""
    return NotFoundError(f"the template has no version {name!r}")


def unknown_workspace(owner: str, name: str) -> NotFoundError:
    """Return the error about a workspace that a user does not have."""
    return NotFoundError(f"user {owner!r} has no workspace {name!r}")


class InvalidError(RequestError):
    """A value is not allowed."""


@dataclass(frozen=True, kw_only=True)
class ParameterViolation:
    """Why one parameter is refused."""

    field: str  #: the parameter's name; empty when it is about all of them
    detail: str
    is_missing: bool = False  #: it needs a value and has none


class ParameterValidationError(InvalidError):
    """Values of a build's parameters are not allowed; nothing was enqueued.

    Attributes:
        message: names the parameter if it is one; ``detail`` of the violations says why.
        validations: what is wrong, by the parameter's name.
        error_code: ``MISSING_TEMPLATE_PARAMETER`` if a needed value is missing, else None.
    """

    def __init__(self, violations: Sequence[ParameterViolation]) -> None:
        self.validations = tuple(sorted(violations, key=lambda found: found.field))
        only = self.validations[0].field if len(self.validations) == 1 else ""
        self.message = f'Unable to validate parameter "{only}"' if only else _SEVERAL_INVALID
        details = "; ".join(found.detail for found in self.validations)
        super().__init__(f"{self.message}: {details}")

    @property
    def error_code(self) -> JobErrorCode | None:
        """The code that a job gets that fails for the same reason."""
        is_missing = any(found.is_missing for found in self.validations)
        return JobErrorCode.MISSING_TEMPLATE_PARAMETER if is_missing else None


class WorkspaceTagError(InvalidError):
    """A tag of ``data "coder_workspace_tags"`` cannot be evaluated; the message names it."""


class ConflictError(RequestError):
    """The data in the database does not allow the request now."""


class BuildActiveError(ConflictError):
    """The workspace already has a pending, running or canceling build."""

    def __init__(self) -> None:
        super().__init__("A workspace build is already active.")


class VersionImportingError(ConflictError):
    """The import of the template version is pending or running.

    Attributes:
        job_id: the job of the import.
    """

    def __init__(self, job_id: uuid.UUID, status: str) -> None:
        super().__init__(
            f"The provided template version is {status}. Wait for it to complete importing!"
        )
        self.job_id = job_id


class ActiveVersionRequiredError(ConflictError):
    """A start names another version than the one that its template requires."""

    def __init__(self) -> None:
        super().__init__(
            "cannot use non-active version: the template requires the active one; start the"
            " workspace with --update"
        )


class TemplateDeprecatedError(ConflictError):
    """No workspace is created from a template that is deprecated."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f'Template "{name}" has been deprecated, and cannot be used to create a new'
            f" workspace: {why}"
        )


class OwnerInactiveError(ConflictError):
    """The owner of the workspace is not active, so it is not created or started."""

    def __init__(self, username: str, status: str) -> None:
        super().__init__(f"user {username!r} is {status} and cannot build")
        self.status = status


class LimitReachedError(ConflictError):
    """The owner or the chat has enough builds or workspaces. Nothing was created.

    Attributes:
        limit: the name of the limit.
        allowed: how many there may be.
    """

    def __init__(self, limit: str, allowed: int, message: str) -> None:
        super().__init__(message)
        self.limit, self.allowed = limit, allowed


class CircuitOpenError(ConflictError):
    """The last starts of the template version failed, so that others are refused for a while.

    Attributes:
        reason: why they failed.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class StateRefusedError(ConflictError):
    """The state has another lineage than the stored one, or its serial is not higher."""


class SealedError(ConflictError):
    """A stored value is sealed, and its key is missing or it was changed. It is still stored."""


class LeaseLostError(Exception):
    """A write named a lease token that is no longer the job's. Nothing was changed."""

    def __init__(self, job_id: uuid.UUID) -> None:
        super().__init__(f"the lease on provisioner job {job_id} is lost")
        self.job_id = job_id

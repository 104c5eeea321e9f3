"""Why a tool cannot do what it was asked to do.

WorkspaceBuildError   the build that a tool waited for did not succeed
└── BuildTimeoutError ... in time; it may still
AuthorizationError    the chat's owner may not act, or it cannot be determined
"""

from __future__ import annotations

from db.schema.enums import JobErrorCode


class WorkspaceBuildError(Exception):
    """A build did not succeed.

    Attributes:
        message: the error of the build's job, with the prefix of whoever waited, if any.
        code: the error code of the job's row, never taken from the text; None when untagged.
    """

    def __init__(self, message: str, code: JobErrorCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class BuildTimeoutError(WorkspaceBuildError):
    """The build had not ended when the time limit passed."""


class AuthorizationError(Exception):
    """The chat's owner may not act, or their roles cannot be loaded."""

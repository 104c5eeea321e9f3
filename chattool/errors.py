"""The errors of tools.

WorkspaceBuildError   the build that a tool waited for did not succeed
└── BuildTimeoutError the build did not end within the time limit; it may still succeed
AuthorizationError    the chat's owner may not act, or cannot be checked
"""

from __future__ import annotations

from db.schema.enums import JobErrorCode


class WorkspaceBuildError(Exception):
    """A build did not succeed.

    Attributes:
        message: the error of the build's job; a tool may put a prefix before it.
        code: the error code of the job row, never taken from the text; None if untagged.
    """

    def __init__(self, message: str, code: JobErrorCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class BuildTimeoutError(WorkspaceBuildError):
    """The build did not end within the time limit."""


class AuthorizationError(Exception):
    """The chat's owner may not act, or their roles cannot be loaded."""

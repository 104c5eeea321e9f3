"""The errors that the functions of this package raise.

RequestError              a request that cannot be fulfilled
├── NotFoundError         something does not exist
├── InvalidError          a value is not allowed
└── ConflictError         the data in the database does not allow it now
    ├── BuildActiveError  the workspace has an unfinished build
    └── StateRefusedError a state must not replace the stored one
LeaseLostError            the writer no longer holds the lease of the job
"""

from __future__ import annotations

import uuid


class RequestError(Exception):
    """A request that cannot be fulfilled. The message is one sentence for the user."""


class NotFoundError(RequestError):
    """Something that the request names does not exist."""


class InvalidError(RequestError):
    """A value is not allowed."""


class ConflictError(RequestError):
    """The data in the database does not allow the request now."""


class BuildActiveError(ConflictError):
    """The workspace already has a pending, running or canceling build."""

    def __init__(self) -> None:
        super().__init__("A workspace build is already active.")


class StateRefusedError(ConflictError):
    """The state has another lineage than the stored one, or its serial is not higher."""


class LeaseLostError(Exception):
    """A write named a lease token that is no longer the job's. Nothing was changed."""

    def __init__(self, job_id: uuid.UUID) -> None:
        super().__init__(f"the lease on provisioner job {job_id} is lost")
        self.job_id = job_id

"""What the functions of this package refuse, and how they say so.

RequestError              the caller asked for something that cannot be done
├── NotFoundError         ... of a thing that does not exist
├── InvalidError          ... with a value that is not allowed
└── ConflictError         ... at the wrong time
    ├── BuildActiveError  ... while the workspace has an unfinished build
    └── StateRefusedError ... a state that does not follow the stored one
LeaseLostError            the writer is no longer the one who may write
"""

from __future__ import annotations

import uuid


class RequestError(Exception):
    """A request that cannot be done. The message is one sentence for whoever made it."""


class NotFoundError(RequestError):
    """The thing asked for does not exist."""


class InvalidError(RequestError):
    """A value is not allowed."""


class ConflictError(RequestError):
    """What stands in the database does not allow it now."""


class BuildActiveError(ConflictError):
    """The workspace already has a pending, running or canceling build."""

    def __init__(self) -> None:
        super().__init__("A workspace build is already active.")


class StateRefusedError(ConflictError):
    """The state is of another lineage than the stored one, or its serial is not higher."""


class LeaseLostError(Exception):
    """A write named a lease token that is not the job's any more; nothing was changed."""

    def __init__(self, job_id: uuid.UUID) -> None:
        super().__init__(f"the lease on provisioner job {job_id} is lost")
        self.job_id = job_id

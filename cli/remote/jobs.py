"""Canceling and retrying jobs over the API, many in one request."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from cli.remote.answers import field_of, id_of
from cli.remote.client import Client, route
from cli.selection import Outcome
from db.errors import ConflictError

Result = TypeVar("Result")
AT_ONCE = 100  #: jobs of one request


def act(
    client: Client,
    verb: str,
    job_ids: Sequence[uuid.UUID],
    read: Callable[[Client, Any], Result],
) -> Outcome[Result]:
    """Cancel or retry jobs; a refusal changes nothing for the others.

    Args:
        read: returns what was done with a job, from the answer.
    """
    outcome = Outcome[Result]()
    for some in _parts(job_ids):
        path = route("provisionerd", "jobs", verb)
        answer = client.ask("POST", path, body={"ids": [str(job_id) for job_id in some]})
        outcome.done += [read(client, one) for one in field_of(client, answer, "done", list)]
        for one in field_of(client, answer, "refused", list):
            reason = field_of(client, one, "reason", str)
            outcome.refused[id_of(client, one)] = ConflictError(reason)
    return outcome


def _parts(job_ids: Sequence[uuid.UUID]) -> Iterator[Sequence[uuid.UUID]]:
    for start in range(0, len(job_ids), AT_ONCE):
        yield job_ids[start : start + AT_ONCE]

"""Reads over the API of a server: the questions of ``api.reads``, each by its route."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter, ValidationError

from api.reads.asking import Answer, Read
from cli.lazy import imported
from cli.remote.client import Client
from cli.remote.errors import ForeignAnswerError
from cli.remote.server import find_server

if TYPE_CHECKING:
    from db.reads.follow import Update

ROUTES = "/api/v2/provisionerd"


@dataclass(frozen=True)
class RemoteSource:
    """Answers of a server."""

    client: Client

    def read(self, wanted: Read[Answer]) -> Answer:
        """Ask the route of the question."""
        body = self.client.send("GET", ROUTES + wanted.path, query=vars(wanted))
        form: TypeAdapter[Answer] = TypeAdapter(wanted.answer_type())
        return typed(form, body, self.client.server.url)

    def updates(
        self, job_id: uuid.UUID, *, after: int | None = 0, limit_s: float = math.inf
    ) -> Iterator[Update]:
        """Follow the job by a stream; one that is cut off is continued where it ended."""
        found = imported("cli.remote.following:updates")(
            self.client, job_id, after=after, limit_s=limit_s
        )
        return cast("Iterator[Update]", found)


def remote_source() -> RemoteSource:
    """Return the source for the server of the environment.

    Raises:
        click.ClickException: the URL or the token cannot be used.
    """
    return RemoteSource(Client(server=find_server()))


def typed(form: TypeAdapter[Answer], body: bytes, url: str) -> Answer:
    """Return the answer that a body holds.

    Raises:
        ForeignAnswerError: it has another form.
    """
    try:
        answer: Answer = form.validate_json(body)
    except ValidationError as error:
        raise ForeignAnswerError(url, "the answer has another form") from error
    return answer

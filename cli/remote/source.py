"""Reads over the API of a server: the questions of ``api.reads``, each by its route."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from api.reads.asking import Answer, Read
from cli.remote.client import Client
from cli.remote.errors import AwayError, ForeignAnswerError
from cli.remote.server import find_server
from db.reads.follow import Update

ROUTES = "/api/v2/provisionerd"
OUTAGE_S = 60.0  #: how long a follower waits for a server that is away; longer than a restart
RETRY_S = 0.5
_UPDATE = TypeAdapter(Update)


@dataclass(frozen=True)
class RemoteSource:
    """Answers of a server."""

    client: Client

    def read(self, wanted: Read[Answer]) -> Answer:
        """Ask the route of the question."""
        path, query = _target(wanted)
        body = self.client.send("GET", path, query=query)
        form: TypeAdapter[Answer] = TypeAdapter(wanted.answer_type())
        return _typed(form, body, self.client.server.url)

    def updates(
        self, job_id: uuid.UUID, *, after: int | None = 0, limit_s: float = math.inf
    ) -> Iterator[Update]:
        """Follow the job by a stream; one that is cut off is continued where it ended."""
        end = time.monotonic() + limit_s
        away_since: float | None = None
        while True:
            left_s = max(0.0, end - time.monotonic())
            try:
                for update in self._stream(job_id, after, left_s):
                    away_since = None
                    yield update
                    after = update.lines[-1].id if update.lines else after
                    if update.is_last or time.monotonic() >= end:
                        return
            except AwayError:
                away_since = away_since or time.monotonic()
                if time.monotonic() > min(end, away_since + OUTAGE_S):
                    raise
            time.sleep(RETRY_S)

    def _stream(self, job_id: uuid.UUID, after: int | None, limit_s: float) -> Iterator[Update]:
        query = {
            "after": -1 if after is None else after,
            "limit_s": None if math.isinf(limit_s) else limit_s,
        }
        with self.client.lines(f"{ROUTES}/jobs/{job_id}/updates", query) as lines:
            for line in lines:
                if line.strip():
                    yield _typed(_UPDATE, line, self.client.server.url)


def remote_source() -> RemoteSource:
    """Return the source for the server of the environment.

    Raises:
        click.ClickException: the URL or the token cannot be used.
    """
    return RemoteSource(Client(server=find_server()))


def _target(wanted: Read[Any]) -> tuple[str, dict[str, Any]]:
    """Return the path and the query of a question."""
    given = {field.name: getattr(wanted, field.name) for field in fields(wanted)}  # type: ignore[arg-type]
    parts = {name for name in given if f"{{{name}}}" in wanted.path}
    path = wanted.path.format_map({name: quote(str(given[name]), safe="") for name in parts})
    return ROUTES + path, {name: value for name, value in given.items() if name not in parts}


def _typed(form: TypeAdapter[Answer], body: bytes, url: str) -> Answer:
    try:
        answer: Answer = form.validate_json(body)
    except ValidationError as error:
        raise ForeignAnswerError(url, "the answer has another form") from error
    return answer

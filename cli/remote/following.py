"""Follows a job over the API of a server, which may restart meanwhile."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator

from pydantic import TypeAdapter

from cli.remote.client import Client
from cli.remote.errors import AwayError
from cli.remote.source import ROUTES, typed
from db.reads.follow import Update

OUTAGE_S = 60.0  #: how long a follower waits for a server that is away; longer than a restart
RETRY_S = 0.5
_FORM = TypeAdapter(Update)


def updates(
    client: Client, job_id: uuid.UUID, *, after: int | None = 0, limit_s: float = math.inf
) -> Iterator[Update]:
    """Yield the job's progress and log lines until it ends, as soon as the server reports them.

    Args:
        after: the id of the last known log line; None to read no log.
        limit_s: how long to follow the job, in seconds.

    Raises:
        AwayError: the server was away for too long.
        ServerError: it refused to answer.
    """
    end = time.monotonic() + limit_s
    away_since: float | None = None
    while True:
        try:
            for update in _stream(client, job_id, after, max(0.0, end - time.monotonic())):
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


def _stream(
    client: Client, job_id: uuid.UUID, after: int | None, limit_s: float
) -> Iterator[Update]:
    query = {
        "job": job_id,
        "after": -1 if after is None else after,
        "limit_s": None if math.isinf(limit_s) else limit_s,
    }
    with client.lines(f"{ROUTES}/job/updates", query) as lines:
        for line in lines:
            if line.strip():
                yield typed(_FORM, line, client.server.url)

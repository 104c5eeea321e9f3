"""Changes of the jobs that a command selects: in the database, or over the API of a server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.orm import Session

from cli.changing import check_user, open_client, perhaps_done
from cli.opening import opened
from cli.remote.client import Client
from cli.remote.server import has_server
from cli.remote.source import remote_source
from cli.selection import Outcome, Selection, act_on_each
from cli.source import DatabaseSource, Source
from worker.process.opening import Services

Result = TypeVar("Result")
Act = Callable[[Session, uuid.UUID], Result]


@contextmanager
def acting(
    selection: Selection,
    verb: str,
    *,
    here: Callable[[Services], Act[Result]],
    there: Callable[[Client, Sequence[uuid.UUID]], Outcome[Result]],
    redis: bool,
    as_user: str | None,
) -> Iterator[tuple[Source, Outcome[Result]]]:
    """Act on each selected job; yield where jobs are read, and what came of it.

    Args:
        verb: what is done, for the question before it.
        here: returns what acts on one job in a transaction of the database.
        there: acts on all of them over the API.
        redis: whether a doorbell is rung.
        as_user: as for ``change``.

    Raises:
        click.Abort: the user did not confirm.
        click.UsageError: nobody can be asked, or ``as_user`` is given over the API.
        PerhapsDoneError: the connection was lost before the server answered.
    """
    if has_server():
        check_user(as_user)
        source: Source = remote_source()
        job_ids = _selected(source, selection, verb)
        with perhaps_done("jobs list"):
            outcome = there(open_client(), job_ids)
        yield source, outcome
        return
    with opened(redis=redis) as services:
        source = DatabaseSource(services.database)
        job_ids = _selected(source, selection, verb)
        yield source, act_on_each(services.database, job_ids, here(services))


def _selected(source: Source, selection: Selection, verb: str) -> Sequence[uuid.UUID]:
    job_ids = selection.find(source)
    selection.confirm(verb, len(job_ids))
    return job_ids

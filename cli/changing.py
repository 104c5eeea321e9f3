"""Makes a change: in a transaction of the database, or over the API of a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from api.sentences import HIDDEN
from cli.actor import find_actor
from cli.opening import opened, transaction
from cli.remote.client import Client, route
from cli.remote.errors import ChangeCutOffError, PerhapsDoneError
from cli.remote.server import find_server, has_server
from cli.remote.source import remote_source
from cli.ringing import ring_or_warn
from cli.source import DatabaseSource, Source
from db.errors import NotFoundError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.catalog.audit import Actor
    from worker.broker.ringer import Ring

Result = TypeVar("Result")
DEFAULT = "default"  #: the API's reference to the default organization


def change(
    here: Callable[[Session, Actor], Result],
    there: Callable[[Client], Result],
    *,
    look: str,
    as_user: str | None = None,
) -> Result:
    """Make a change, and return what it returns.

    Args:
        here: makes it in a transaction of the database.
        there: makes it over the API, as the user of the token.
        look: the command that shows whether it was made, if the server does not say.
        as_user: the user for the audit log, as given on the command line.

    Raises:
        click.UsageError: a user is named, but the token names one.
        PerhapsDoneError: the connection was lost before the server answered.
        RequestError: the change was refused.
    """
    if not has_server():
        with transaction() as session:
            return here(session, find_actor(session, as_user))
    check_user(as_user)
    with perhaps_done(look):
        return there(open_client())


def check_user(as_user: str | None) -> None:
    """Refuse to name a user for the audit log of a server.

    Raises:
        click.UsageError: one is named, but the token names one.
    """
    if as_user:
        raise click.UsageError("over the API, the user of the token is in the audit log, not --as")


@contextmanager
def enqueuing(
    here: Callable[[Session, Ring], Result],
    there: Callable[[Client], Result],
    *,
    noun: str,
    look: str,
) -> Iterator[tuple[Source, Result]]:
    """Enqueue a job; yield where it is followed, and what enqueueing returned.

    Args:
        here: enqueues it in a transaction of the database, and gets the ring for its queue.
        there: enqueues it over the API.
        noun: what is enqueued, for a warning.
        look: as for ``change``.

    Raises:
        PerhapsDoneError: the connection was lost before the server answered.
        RequestError: the job was refused.
    """
    if has_server():
        with perhaps_done(look):
            made = there(open_client())
        yield remote_source(), made
        return
    with opened(redis=True) as services:
        with services.database.begin() as session:
            made = here(session, ring_or_warn(services.redis_url, noun))
        yield DatabaseSource(services.database), made


def open_client() -> Client:
    """Return a client of the server that the environment names.

    Raises:
        click.ClickException: the URL or the token cannot be used.
    """
    return Client(server=find_server())


@contextmanager
def perhaps_done(look: str) -> Iterator[None]:
    """Say how to find out whether a change was made, if the answer to it does not arrive.

    Raises:
        PerhapsDoneError: it did not.
    """
    try:
        yield
    except ChangeCutOffError as error:
        raise PerhapsDoneError(error, look) from error


@contextmanager
def unless_seen(error: NotFoundError) -> Iterator[None]:
    """Name what does not exist, where the API answers the same for everything that is not seen.

    Raises:
        NotFoundError: ``error``, or the sentence of the server if it has one of its own.
    """
    try:
        yield
    except NotFoundError as found:
        if str(found).startswith(HIDDEN):
            raise error from found
        raise


def no_organization(name: str | None) -> NotFoundError:
    """Return the error about an organization that the caller does not see; None: the default."""
    if name is None:
        return NotFoundError(
            "there is no organization yet; `provisionerd user create NAME` makes one"
        )
    return NotFoundError(
        f"there is no organization {name!r}; `provisionerd organization create {name}` makes one"
    )


def organization_route(name: str | None, *parts: object) -> str:
    """Return a route of an organization; None is the default one."""
    return route("organizations", DEFAULT if name is None else name, *parts)

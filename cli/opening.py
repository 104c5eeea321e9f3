"""Opens services and sessions for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from db.catalog.people import get_organization
from db.errors import NotFoundError
from db.schema.tables import Organization
from worker.process.opening import Services, open_services
from worker.process.telemetry import configure_logging
from worker.settings import load_settings


@contextmanager
def opened(*, check: bool = True, redis: bool = False) -> Iterator[Services]:
    """Open the configured services, or the embedded ones, for one command.

    Args:
        check: whether the schema must be up to date.
        redis: whether the command rings a doorbell, so that Redis must run.

    Raises:
        SettingsError: a setting is invalid.
        EmbeddedError: an embedded server cannot be started.
        DatabaseError: the database cannot be reached, or lacks a migration.
    """
    settings = load_settings()
    # Only errors: a command reports everything else in its own output.
    configure_logging(settings.model_copy(update={"log_level": "error"}))
    with open_services(settings, check=check, redis=redis) as services:
        yield services


@contextmanager
def transaction() -> Iterator[Session]:
    """Open the services and run one transaction, committed at the end of the block."""
    with opened() as services, services.database.begin() as session:
        yield session


def find_organization(session: Session, name: str | None) -> Organization:
    """Return the organization of that name, or the default one.

    Raises:
        NotFoundError: there is none; the message says how to create it.
    """
    try:
        return get_organization(session, name)
    except NotFoundError as error:
        command = f"organization create {name}" if name else "user create NAME"
        raise NotFoundError(f"{error}; `provisionerd {command}` makes one") from error

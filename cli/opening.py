"""Opens services and sessions for one command."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from api.reads.finding import find_organization
from cli.remote.server import needs_database
from worker.process.opening import Services, open_services
from worker.serversettings import ServerSettings, read_server_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["find_organization", "opened", "server_settings", "transaction"]


@contextmanager
def opened(*, check: bool = True, redis: bool = False) -> Iterator[Services]:
    """Open the configured services, or the embedded ones, for one command.

    Args:
        check: whether the schema must be up to date.
        redis: whether the command rings a doorbell, so that Redis must run.

    Raises:
        click.ClickException: only the URL of a server of the API is known.
        SettingsError: a setting is invalid.
        EmbeddedError: an embedded server cannot be started.
        DatabaseError: the database cannot be reached, or lacks a migration.
    """
    needs_database()
    _log_errors()
    with open_services(server_settings(), check=check, redis=redis) as services:
        yield services


def server_settings() -> ServerSettings:
    """Return the settings about PostgreSQL and Redis.

    Raises:
        SettingsError: one cannot be used, or there is no setting of a name.
    """
    if plain := read_server_settings():
        return plain
    # Here: the models of all settings take a quarter of a second to import.
    from worker.settings import load_settings  # noqa: PLC0415

    return load_settings().servers


@contextmanager
def transaction() -> Iterator[Session]:
    """Open the services and run one transaction, committed at the end of the block."""
    with opened() as services, services.database.begin() as session:
        yield session


def _log_errors() -> None:
    """Log nothing but errors: a command reports everything else in its own output."""
    if "structlog" not in sys.modules:
        # Nothing that this command runs has a log of its own; libraries report by exceptions too.
        logging.getLogger().addHandler(logging.NullHandler())
        return
    # Here: a command that only lists has no log.
    from worker.process.telemetry import configure_logging  # noqa: PLC0415

    configure_logging(log_level="error", as_json=False)

"""The messages for a user when a command or a worker cannot do its work."""

from __future__ import annotations

import psycopg
import sqlalchemy.exc

from db.engine import DatabaseError
from db.errors import RequestError
from db.outage import is_outage
from db.texts import first_line
from provisioner.engines.port import EngineError
from provisioner.engines.terraform.binary import TerraformNotFoundError
from provisioner.host.members import ArchiveError
from worker.broker.errors import BROKER_ERRORS, NoPermissionError
from worker.embedded import EmbeddedError
from worker.process.rights import RightsError
from worker.settings import SettingsError

GRANTS_HINT = "`provisionerd grants --role ROLE` prints the rights that a process needs"
PLAIN = (
    ArchiveError,
    DatabaseError,
    EmbeddedError,
    EngineError,
    RequestError,
    RightsError,
    SettingsError,
    TerraformNotFoundError,
)
"""Errors whose message is already one sentence for the user."""


def explain(error: Exception) -> str | None:
    """Return one sentence about an error that a user can fix.

    None means that the error is a bug, which needs its traceback.
    """
    if isinstance(error, PLAIN):
        return str(error)
    if isinstance(error, NoPermissionError):
        return f"the Redis user lacks a right ({first_line(error)}); {GRANTS_HINT}"
    if isinstance(error, BROKER_ERRORS):
        return (
            f"Redis cannot be reached ({first_line(error)});"
            " check PROVISIONERD_REDIS_URL and that Redis runs"
        )
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[error.start : error.end]!r} is not valid Unicode text"
    return _explain_database(error)


def _explain_database(error: Exception) -> str | None:
    if _is_permission_denied(error):
        return f"the PostgreSQL user lacks a right ({first_line(error)}); {GRANTS_HINT}"
    if isinstance(error, sqlalchemy.exc.DBAPIError) and isinstance(error.orig, psycopg.DataError):
        return f"a value cannot be stored or looked for ({first_line(error)})"
    if isinstance(error, sqlalchemy.exc.SQLAlchemyError) and _is_database_away(error):
        return (
            f"the database cannot be used ({first_line(error)});"
            " check PROVISIONERD_DATABASE_URL and that PostgreSQL runs"
        )
    return None


def _is_permission_denied(error: Exception) -> bool:
    refusal = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return isinstance(refusal, psycopg.errors.InsufficientPrivilege)


def _is_database_away(error: sqlalchemy.exc.SQLAlchemyError) -> bool:
    # Not every OperationalError is an outage: a wrong password is one too.
    return is_outage(error) or isinstance(error, sqlalchemy.exc.OperationalError)

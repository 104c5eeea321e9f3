"""The PostgreSQL server: its version, its clock, its connections and its statement timeout."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.engine import Timeouts, open_database


def ask_server(url: str, *, timeout: timedelta) -> None:
    """Open a new connection, run one statement, and close it.

    An existing connection may still work while the server refuses new ones, or while only the
    server process of that connection still runs.

    Args:
        timeout: for the connection and for the statement; at least 2 seconds for the former.

    Raises:
        SQLAlchemyError: the server refused the connection or did not answer in time.
    """
    bounds = Timeouts(connect=timeout, statement=timeout, lock=timeout)
    database = open_database(url, pool_size=1, timeouts=bounds, prepared_statements=False)
    try:
        with database.begin() as session:
            session.execute(text("SELECT 1"))
    finally:
        database.dispose()


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """The server's version and clock."""

    major_version: int
    clock: datetime  #: the current time, not that of the transaction's start


def server_facts(session: Session) -> ServerFacts:
    """Return the server's version and clock."""
    row = session.execute(
        text("""
            SELECT current_setting('server_version_num')::int / 10000 AS major_version,
                   clock_timestamp() AS clock
        """)
    ).one()
    return ServerFacts(**row._asdict())


@dataclass(frozen=True, kw_only=True)
class ConnectionFacts:
    """How many connections the server has and allows."""

    used: int
    allowed: int
    reserved: int  #: of those, for superusers


def connection_facts(session: Session) -> ConnectionFacts:
    """Return how many connections the server has and allows."""
    row = session.execute(
        text("""
            SELECT (SELECT count(*) FROM pg_stat_activity
                    WHERE backend_type = 'client backend') AS used,
                   current_setting('max_connections')::int AS allowed,
                   current_setting('superuser_reserved_connections')::int AS reserved
        """)
    ).one()
    return ConnectionFacts(**row._asdict())


def limit_statements(session: Session, timeout: timedelta) -> None:
    """Limit the time that each statement of this transaction may take."""
    session.execute(
        text("SELECT set_config('statement_timeout', :timeout, true)"),
        {"timeout": f"{max(1, int(timeout.total_seconds() * 1000))}ms"},
    )

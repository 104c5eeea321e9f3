"""What the PostgreSQL server tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """The server's version and clock."""

    major_version: int
    clock: datetime  #: at this very moment, not at the start of the transaction


def server_facts(session: Session) -> ServerFacts:
    """Return the server's version and clock."""
    row = session.execute(
        text("""
            SELECT current_setting('server_version_num')::int / 10000 AS major_version,
                   clock_timestamp() AS clock
        """)
    ).one()
    return ServerFacts(**row._asdict())

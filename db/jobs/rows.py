"""Insert many rows of one table in one round trip."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.engine import sql
from db.schema.tables.base import Base
from db.texts import storable


def insert_rows(session: Session, table: type[Base], rows: Sequence[Mapping[str, object]]) -> None:
    """Insert the rows, which all have the same columns; do nothing if there are none.

    They are sent as one JSON value: an ``executemany`` waits for the answer to each row, which
    takes long when the processors are busy. Texts must be storable (see ``db.texts``).
    """
    if not rows:
        return
    columns = ", ".join(f'"{name}"' for name in rows[0])
    session.execute(
        sql(f"""
            INSERT INTO {table.__tablename__} ({columns})
            SELECT {columns}
            FROM json_populate_recordset(
                CAST(NULL AS {table.__tablename__}), CAST(:rows AS json)
            )
        """),  # noqa: S608 - made of names of our own tables
        {"rows": json.dumps(rows, default=_text)},
    )


def _text(value: object) -> str:
    if isinstance(value, uuid.UUID | datetime):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is not inserted as JSON")


def as_stored(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with texts that can be stored."""
    return {
        name: storable(value) if isinstance(value, str) else value for name, value in row.items()
    }

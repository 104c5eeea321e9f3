"""Read one row, or a list of rows for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import NotFoundError

LIMIT = 200  #: rows, when nothing else is asked for

Listing = TypeVar("Listing")


def read_row(session: Session, statement: str, *, missing: str, **values: object) -> Row[Any]:
    """Return the only row of a query.

    Raises:
        NotFoundError: there is none; the message is ``missing``.
    """
    row = session.execute(sql(statement), values).one_or_none()
    if row is None:
        raise NotFoundError(missing)
    return row


def read_listings(
    session: Session, listing: Callable[..., Listing], statement: str, **values: object
) -> list[Listing]:
    """Return what ``listing`` makes of each row of a query; its arguments are the columns."""
    return [listing(**row._asdict()) for row in session.execute(sql(statement), values)]

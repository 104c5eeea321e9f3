"""What lists of rows for people share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from db.engine import sql

LIMIT = 200  #: rows, when nothing else is asked for

Listing = TypeVar("Listing")


def read_listings(
    session: Session, listing: Callable[..., Listing], statement: str, **values: object
) -> list[Listing]:
    """Return what ``listing`` makes of each row of a query; its arguments are the columns."""
    return [listing(**row._asdict()) for row in session.execute(sql(statement), values)]

"""A database that loses the answer to a COMMIT."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.engine import Database

OUTAGE = OperationalError("COMMIT", {}, psycopg.OperationalError("the connection was cut"))


@dataclass(frozen=True, kw_only=True)
class LossyDatabase(Database):
    """A database that loses the answer to its first COMMIT, and may be away from then on."""

    is_committed: bool = True  #: what became of the transaction whose answer was lost
    comes_back: bool = True
    after_loss: Callable[[], object] = lambda: None
    begun: list[None] = field(default_factory=list)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        self.begun.append(None)
        if len(self.begun) > 1 and not self.comes_back:
            raise OUTAGE
        with super().begin() as session:
            yield session
            if len(self.begun) == 1 and not self.is_committed:
                session.rollback()
        if len(self.begun) == 1:
            self.after_loss()
            raise OUTAGE

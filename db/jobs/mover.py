"""The mover: runs transactions that move jobs, and reports each move after its commit.

Metrics, traces, the daemon's log and the doorbell subscribe here, so no move can be missed. This
is also the only place that finds out whether a COMMIT took effect when its answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session

from db.engine import Database
from db.jobs.moves import Moved, moves_made, was_committed
from db.outage import is_outage, retry_outage

Answer = TypeVar("Answer")
Listener = Callable[[Moved], None]
"""Called with each committed move, in the thread that made it. It must not block or raise."""


@dataclass(frozen=True, kw_only=True)
class Mover:
    """Runs transactions on one database and reports their moves to the listeners. Thread-safe.

    Args:
        may_wait: asked while the database is away and it is unknown whether a COMMIT took effect;
            once it returns False, the move counts as not made.
    """

    database: Database
    listeners: Sequence[Listener] = ()
    may_wait: Callable[[], bool] = lambda: True

    def run(self, action: Callable[[Session], Answer]) -> Answer:
        """Run ``action`` in one transaction, report its moves, and return its result.

        If the answer to the COMMIT is lost, this waits for the database and reads from the job row
        whether the COMMIT took effect. If it did, this returns as usual.

        Raises:
            Exception: what ``action`` raised, or the outage that prevented the commit. Nothing was
                moved in that case, and it is safe to try again.
        """
        moves: tuple[Moved, ...] = ()
        try:
            with self.database.begin() as session:
                answer = action(session)
                moves = moves_made(session)
        except Exception as error:
            if not (moves and is_outage(error) and self._was_committed(moves[0])):
                raise
        self._report(moves)
        return answer

    def _report(self, moves: Sequence[Moved]) -> None:
        for moved in moves:
            for listener in self.listeners:
                listener(moved)

    def _was_committed(self, moved: Moved) -> bool:
        def check() -> bool:
            with self.database.begin() as session:
                return was_committed(session, moved)

        return retry_outage(check, may_go_on=self.may_wait)

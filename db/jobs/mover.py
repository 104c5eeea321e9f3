"""The mover: runs transactions that move jobs, and tells each move once it is committed.

Metrics, traces, the daemon's log and the doorbell subscribe here, so that no move can be
forgotten. Here, too, is the one answer to "was it me" when the answer to a COMMIT was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session

from db.engine import Database
from db.jobs.moves import Moved, move_stands, moves_in
from db.outage import is_outage, retry_outage

Answer = TypeVar("Answer")
Listener = Callable[[Moved], None]
"""Take a move that was committed. Called in the thread that made it; must not block or raise."""


@dataclass(frozen=True, kw_only=True)
class Mover:
    """Runs transactions on one database for one set of listeners. One may serve all threads.

    Args:
        may_wait: asked while the database is away and nobody knows whether a COMMIT took effect;
            once it says no, the move counts as not made.
    """

    database: Database
    listeners: Sequence[Listener] = ()
    may_wait: Callable[[], bool] = lambda: True

    def run(self, action: Callable[[Session], Answer]) -> Answer:
        """Run ``action`` as one transaction, then tell the moves that it made; return its answer.

        When the answer to the COMMIT is lost, the rows tell whether it took effect: this waits
        for the database, and returns as if the answer had come.

        Raises:
            Exception: what ``action`` raised, or the outage that kept the transaction from being
                committed. Nothing was moved then, and trying again is safe.
        """
        moves: tuple[Moved, ...] = ()
        try:
            with self.database.begin() as session:
                answer = action(session)
                moves = moves_in(session)
        except Exception as error:
            if not (moves and is_outage(error) and self._stands(moves[0])):
                raise
        for moved in moves:
            for listener in self.listeners:
                listener(moved)
        return answer

    def _stands(self, moved: Moved) -> bool:
        def look() -> bool:
            with self.database.begin() as session:
                return move_stands(session, moved)

        return retry_outage(look, may_go_on=self.may_wait)

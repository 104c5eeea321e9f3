"""Which fault strikes in which stage next."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

Cell = tuple[str, str]
"""A fault and a stage, by their names."""


@dataclass(kw_only=True)
class Schedule:
    """Takes the cell with the fewest hits next; of several, one by chance."""

    cells: Sequence[Cell]
    random: random.Random
    hits: Counter[Cell] = field(default_factory=Counter)
    tries: Counter[Cell] = field(default_factory=Counter)

    def next(self) -> Cell:
        """Return the cell of the next round."""
        fewest = min(map(self._weight, self.cells))
        return self.random.choice([c for c in self.cells if self._weight(c) == fewest])

    def note(self, cell: Cell, *, hits: int) -> None:
        """Count a round of the cell."""
        self.hits[cell] += hits
        self.tries[cell] += 1

    def _weight(self, cell: Cell) -> tuple[int, int]:
        return self.hits[cell], self.tries[cell]

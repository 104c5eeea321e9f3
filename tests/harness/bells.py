"""A doorbell that notes who was rung for."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Bell:
    """Takes the place of the broker."""

    queues: list[str] = field(default_factory=list)

    def ring(self, queue: str) -> bool:
        """Note the queue; say that it was rung for."""
        self.queues.append(queue)
        return True

"""The chart of a job's states, from the table of legal moves."""

from __future__ import annotations

from collections.abc import Iterator

from db.jobs.moves import MOVES
from db.schema.enums import JobStatus


def chart() -> str:
    """Return the chart in Mermaid."""
    return "\n".join(["```mermaid", "stateDiagram-v2", *_lines(), "```"])


def _lines() -> Iterator[str]:
    yield "    [*] --> pending: enqueue"
    yield from (f"    {move.before} --> {move.after}: {move.verb}" for move in MOVES)
    reached = {move.after for move in MOVES}
    ends = [status for status in JobStatus if status in reached and not status.is_active]
    yield from (f"    {status} --> [*]" for status in ends)

"""The plans of the statements that a call sends, with real row counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, event

GUARDED = {"provisioner_jobs", "provisioner_job_logs", "workspace_builds"}


def sent_by(source: Connection | Engine, call: Callable[[], object]) -> list[tuple[str, Any]]:
    """Return the statements that ``call`` sends, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    event.listen(source, "before_cursor_execute", note)
    try:
        call()
    finally:
        event.remove(source, "before_cursor_execute", note)
    assert statements
    return statements


def explain(connection: Connection, statement: str, parameters: Any) -> dict[str, Any]:
    """Run a statement and return its plan."""
    explained = connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
    ).scalar_one()
    plan: dict[str, Any] = (json.loads(explained) if isinstance(explained, str) else explained)[0]
    return dict(plan["Plan"])


def walk(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from walk(child)


def is_scan(node: dict[str, Any]) -> bool:
    """Whether the node reads all of a guarded table, or all of one of its indexes."""
    if node.get("Relation Name") not in GUARDED:
        return False
    return not ({"Index Cond", "Recheck Cond"} & set(node))


def rows_read(node: dict[str, Any]) -> int:
    """Return the rows that the node took from a guarded table, those it threw away included."""
    if node.get("Relation Name") not in GUARDED:
        return 0
    each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return round(float(each * node["Actual Loops"]))


def describe(node: dict[str, Any]) -> str:
    """Return what the node does, for the message of a test."""
    return f"{node['Node Type']} on {node['Relation Name']} {node.get('Filter', '')}"

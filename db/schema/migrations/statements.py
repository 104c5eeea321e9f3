"""Running the files of our functions in PostgreSQL, for the migrations that make them."""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa
from alembic import op

FUNCTIONS = Path(__file__).parent / "functions"


def run_file(name: str) -> None:
    """Run a file such as ``0028/values`` with the schema of the functions first on the path."""
    run_functions((FUNCTIONS / f"{name}.sql").read_text(encoding="utf-8"))


def run_functions(statements: str) -> None:
    """Run statements that make functions, with their schema first on the path."""
    tables = schema_of_tables()
    names = quoted(schema_of_functions(tables)), quoted(tables)
    run(f"SET LOCAL search_path = {names[0]}, {names[1]}")
    # Without pg_temp at its end, a caller's temporary tables would be found first.
    run(statements.replace("@search_path@", f"{names[0]}, {names[1]}, pg_temp"))
    run(f"SET LOCAL search_path = {names[1]}")


def function_in(name: str, function: str) -> str:
    """Return the statement of a file that makes a function, so that it replaces a later one."""
    written = (FUNCTIONS / f"{name}.sql").read_text(encoding="utf-8")
    _, start, rest = written.partition(f"CREATE FUNCTION {function}(")
    body, end, _ = rest.partition("\nEND $$;")
    return f"{start.replace('CREATE', 'CREATE OR REPLACE')}{body}{end}"


def run(statements: str) -> None:
    """Run several statements, in which neither a colon nor a percent sign means anything."""
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(f"{statements};")
        return
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(statements)


def schema_of_tables() -> str:
    """Return the schema that tables are made in."""
    if op.get_context().as_sql:
        return "public"
    found: str = op.get_bind().scalar(sa.text("SELECT current_schema()"))
    return found


def schema_of_functions(tables: str) -> str:
    """Return the schema of our functions, if tables are in ``tables``."""
    # What is set, not where the tables are found: callers know no more than the setting. Not from
    # db.schema.place, because a migration must not change with the code.
    is_set = os.environ.get("PROVISIONERD_DATABASE_SCHEMA", "") not in {"", "public"}
    return tables if is_set else "provisionerd"


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'

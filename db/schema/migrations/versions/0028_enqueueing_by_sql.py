"""The functions that enqueue builds, for callers of any language.

They are in the schema ``provisionerd``, or with the tables if these are in a schema of their own.
Callers from Python use them, too.

How it is deployed: at any time, with old and new workers running. It makes functions and types that
the code before it does not know. The role that migrates needs the right to create a schema, or a
schema ``provisionerd`` that it may create in. Services that have rights of their own need
`provisionerd grants` again before they enqueue with new code.
"""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

FUNCTIONS = Path(__file__).parent.parent / "functions" / revision
FILES = ("refusals", "patterns", "constraints", "values", "tags", "builds")
# The name that is documented, where the functions are in another schema.
WRAPPER = """
CREATE SCHEMA IF NOT EXISTS provisionerd;
CREATE FUNCTION provisionerd.enqueue_build(
    workspace_id uuid, transition text, parameters jsonb DEFAULT '{{}}', preset text DEFAULT NULL,
    initiator_id uuid DEFAULT NULL, template_version_id uuid DEFAULT NULL,
    reason text DEFAULT 'initiator', trace_metadata jsonb DEFAULT NULL, notify boolean DEFAULT true
) RETURNS {schema}.enqueued_build LANGUAGE sql AS $$
    SELECT {schema}.enqueue_build(workspace_id, transition, parameters, preset, initiator_id,
                                  template_version_id, reason, trace_metadata, notify)
$$;
REVOKE EXECUTE ON FUNCTION provisionerd.enqueue_build FROM PUBLIC;
"""


def upgrade() -> None:
    tables = _schema_of_tables()
    functions = _schema_of_functions(tables)
    names = _quoted(functions), _quoted(tables)
    _run(f"CREATE SCHEMA IF NOT EXISTS {names[0]}")
    _run(f"SET LOCAL search_path = {names[0]}, {names[1]}")
    for name in FILES:
        written = (FUNCTIONS / f"{name}.sql").read_text(encoding="utf-8")
        # Without pg_temp at its end, a caller's temporary tables would be found first.
        _run(written.replace("@search_path@", f"{names[0]}, {names[1]}, pg_temp"))
    _run("REVOKE EXECUTE ON FUNCTION enqueue_build FROM PUBLIC")
    _run(f"SET LOCAL search_path = {names[1]}")
    if functions != "provisionerd" and not _has_door():
        _run(WRAPPER.format(schema=names[0]))


def downgrade() -> None:
    connection, tables = op.get_bind(), _schema_of_tables()
    functions = _schema_of_functions(tables)
    owned = connection.execute(
        sa.text("""
            SELECT format('DROP FUNCTION %s CASCADE', routine.oid::regprocedure)
            FROM pg_proc AS routine
            JOIN pg_namespace AS space ON space.oid = routine.pronamespace
            WHERE space.nspname = :functions
        """),
        {"functions": functions},
    )
    for statement in owned.scalars().all():
        connection.exec_driver_sql(statement)
    for name in ("enqueued_build", "violation"):
        connection.exec_driver_sql(f"DROP TYPE {_quoted(functions)}.{name} CASCADE")
    if functions != tables:
        connection.exec_driver_sql(f"DROP SCHEMA {_quoted(functions)}")


def _run(statements: str) -> None:
    """Run several statements, in which neither a colon nor a percent sign means anything."""
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(f"{statements};")
        return
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(statements)


def _schema_of_tables() -> str:
    if op.get_context().as_sql:
        return "public"
    found: str = op.get_bind().scalar(sa.text("SELECT current_schema()"))
    return found


def _schema_of_functions(tables: str) -> str:
    # What is set, not where the tables are found: callers know no more than the setting. Not from
    # db.schema.place, because a migration must not change with the code.
    is_set = os.environ.get("PROVISIONERD_DATABASE_SCHEMA", "") not in {"", "public"}
    return tables if is_set else "provisionerd"


def _has_door() -> bool:
    found = op.get_bind().scalar(sa.text("SELECT to_regproc('provisionerd.enqueue_build')"))
    return found is not None


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'

"""The functions that enqueue builds, for callers of any language.

They are in the schema ``provisionerd``, or with the tables if these are in a schema of their own.
Callers from Python use them, too.

How it is deployed: at any time, with old and new workers running. It makes functions and types that
the code before it does not know. The role that migrates needs the right to create a schema, or a
schema ``provisionerd`` that it may create in. Services that have rights of their own need
`provisionerd grants` again before they enqueue with new code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.schema.migrations.statements import (
    quoted,
    run,
    run_file,
    schema_of_functions,
    schema_of_tables,
)

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

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
    tables = schema_of_tables()
    functions = quoted(schema_of_functions(tables))
    run(f"CREATE SCHEMA IF NOT EXISTS {functions}")
    for name in FILES:
        run_file(f"{revision}/{name}")
    run(f"REVOKE EXECUTE ON FUNCTION {functions}.enqueue_build FROM PUBLIC")
    if schema_of_functions(tables) != "provisionerd" and not _has_door():
        run(WRAPPER.format(schema=functions))


def downgrade() -> None:
    connection, tables = op.get_bind(), schema_of_tables()
    functions = schema_of_functions(tables)
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
        connection.exec_driver_sql(f"DROP TYPE {quoted(functions)}.{name} CASCADE")
    if functions != tables:
        connection.exec_driver_sql(f"DROP SCHEMA {quoted(functions)}")


def _has_door() -> bool:
    found = op.get_bind().scalar(sa.text("SELECT to_regproc('provisionerd.enqueue_build')"))
    return found is not None

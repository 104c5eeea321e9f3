"""What a migration may do while the previous version runs."""

from __future__ import annotations

import pytest
from alembic.script import Script

from tests.harness.migrations import SQUAWK, dangers_of, migrations_after, sql_of
from tests.harness.releases import LAST_MIGRATION

pytestmark = pytest.mark.skipif(not SQUAWK.exists(), reason="squawk is not installed: run make")

ON_PURPOSE = {
    # It keeps the previous version from claiming jobs that it cannot run.
    "0026": "not known as harmless: CREATE TRIGGER claim_needs_known_type ",
}
BREAKS_THE_PREVIOUS_VERSION = (
    "DROP TABLE chats",
    "DROP VIEW group_members_expanded",
    "DROP TYPE log_level",
    "DROP FUNCTION finished_job_is_final()",
    "DROP TRIGGER finished_job_is_final ON provisioner_jobs",
    "DROP SCHEMA public",
    "ALTER TABLE provisioner_jobs DROP COLUMN stage",
    "ALTER TABLE provisioner_jobs DROP CONSTRAINT pk_provisioner_jobs",
    "ALTER TABLE provisioner_jobs ALTER COLUMN attempt DROP DEFAULT",
    "ALTER TABLE provisioner_jobs ALTER COLUMN attempt DROP NOT NULL",
    "ALTER TABLE provisioner_jobs ADD COLUMN color text NOT NULL",
    "ALTER TABLE provisioner_jobs RENAME COLUMN stage TO step",
    "ALTER TABLE provisioner_jobs RENAME TO jobs",
    "ALTER TABLE provisioner_jobs SET SCHEMA private",
    "ALTER VIEW group_members_expanded RENAME TO members",
    "ALTER INDEX uq_users_username RENAME TO uq_users",
    "ALTER TYPE log_level RENAME VALUE 'warn' TO 'warning'",
    "CREATE TRIGGER refuse BEFORE INSERT ON leases FOR EACH ROW EXECUTE FUNCTION refuse()",
    "CREATE UNIQUE INDEX CONCURRENTLY uq_users_email ON users (email)",
    "REVOKE ALL ON provisioner_jobs FROM PUBLIC",
)
LOCKS_A_LARGE_TABLE = (
    "CREATE INDEX ix_jobs ON provisioner_jobs (error_code)",
    "DROP INDEX ix_provisioner_jobs_by_queue",
    "REINDEX TABLE provisioner_jobs",
    "ALTER TABLE provisioner_jobs ADD COLUMN token uuid DEFAULT gen_random_uuid()",
    "ALTER TABLE provisioner_jobs ADD COLUMN number bigserial",
    "ALTER TABLE provisioner_jobs ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE provisioner_jobs ADD COLUMN size int GENERATED ALWAYS AS (length(error)) STORED",
    "ALTER TABLE provisioner_jobs ADD COLUMN user_id uuid REFERENCES users (id)",
    "ALTER TABLE provisioner_jobs ALTER COLUMN error SET NOT NULL",
    "ALTER TABLE provisioner_jobs ALTER COLUMN error TYPE varchar(20)",
    "ALTER TABLE provisioner_jobs ADD CONSTRAINT few CHECK (attempt < 9)",
    "ALTER TABLE provisioner_jobs ADD CONSTRAINT one UNIQUE (error)",
    "ALTER TABLE workspace_builds ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES users (id)",
    "ALTER TABLE provisioner_job_logs SET UNLOGGED",
    "ALTER TABLE provisioner_job_logs SET TABLESPACE large",
    "UPDATE provisioner_jobs SET error = '' WHERE error IS NULL",
    "DELETE FROM provisioner_job_logs",
    "INSERT INTO provisioner_job_logs SELECT * FROM provisioner_job_logs",
    "TRUNCATE provisioner_job_logs",
    "LOCK TABLE provisioner_jobs",
    "CLUSTER provisioner_jobs",
    "VACUUM FULL provisioner_jobs",
    "CREATE MATERIALIZED VIEW large AS SELECT * FROM provisioner_job_logs",
    "DO $$ BEGIN UPDATE provisioner_jobs SET error = ''; END $$",
)
HARMLESS = (
    "CREATE TABLE notes (id bigint PRIMARY KEY, job_id uuid REFERENCES provisioner_jobs (id))",
    "CREATE TABLE notes (id bigint); CREATE INDEX ix ON notes (id); INSERT INTO notes VALUES (1)",
    "CREATE VIEW last_jobs AS SELECT id FROM provisioner_jobs",
    "CREATE OR REPLACE VIEW live_workers AS SELECT id FROM provisioner_daemons",
    "CREATE TYPE color AS ENUM ('red')",
    "ALTER TYPE log_level ADD VALUE 'fatal'",
    "ALTER TABLE provisioner_jobs ADD COLUMN color text",
    "ALTER TABLE provisioner_jobs ADD COLUMN color text DEFAULT 'a; b' NOT NULL",
    "ALTER TABLE provisioner_jobs ADD COLUMN seen_at timestamptz DEFAULT now()",
    "ALTER TABLE provisioner_jobs ADD CONSTRAINT few CHECK (attempt < 9) NOT VALID",
    "ALTER TABLE provisioner_jobs VALIDATE CONSTRAINT few",
    "ALTER TABLE provisioner_jobs ALTER COLUMN stage SET DEFAULT 'plan'",
    "ALTER TABLE provisioner_jobs SET (fillfactor = 70)",
    "COMMENT ON TABLE provisioner_jobs IS 'DROP TABLE provisioner_jobs; it''s text'",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM x; END $$",
)


def in_transaction(statement: str) -> str:
    return f"BEGIN;\n{statement};\nCOMMIT;\n"


@pytest.mark.parametrize(
    "migration", [pytest.param(m, id=m.revision) for m in migrations_after(LAST_MIGRATION)]
)
def test_a_migration_lets_the_previous_version_work(migration: Script) -> None:
    known = ON_PURPOSE.get(migration.revision, "nothing")
    dangers = dangers_of(sql_of(migration))
    assert [danger for danger in dangers if not danger.startswith(known)] == []


def test_the_migration_that_builds_indexes_concurrently_is_accepted() -> None:
    (indexes,) = [found for found in migrations_after("0001") if found.revision == "0002"]
    assert dangers_of(sql_of(indexes)) == []


@pytest.mark.parametrize("statement", BREAKS_THE_PREVIOUS_VERSION)
def test_what_would_break_the_previous_version_is_refused(statement: str) -> None:
    assert dangers_of(in_transaction(statement)) != []


@pytest.mark.parametrize("statement", LOCKS_A_LARGE_TABLE)
def test_what_would_lock_a_large_table_is_refused(statement: str) -> None:
    assert dangers_of(in_transaction(statement)) != []


@pytest.mark.parametrize("statement", HARMLESS)
def test_what_harms_nobody_is_accepted(statement: str) -> None:
    assert dangers_of(in_transaction(statement)) == []


def test_an_index_cannot_be_built_concurrently_in_a_transaction() -> None:
    statement = "CREATE INDEX CONCURRENTLY ix ON provisioner_jobs (error_code)"
    assert dangers_of(in_transaction(statement)) != []


def test_a_constraint_is_not_validated_in_the_transaction_that_adds_it() -> None:
    add = "ALTER TABLE provisioner_jobs ADD CONSTRAINT few CHECK (attempt < 9) NOT VALID"
    validate = "ALTER TABLE provisioner_jobs VALIDATE CONSTRAINT few"
    assert dangers_of(in_transaction(f"{add};\n{validate}")) != []

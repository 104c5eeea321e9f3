"""What a migration does to an installation that goes on working, judged by its SQL."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

from db.schema.revision import MIGRATIONS

OLDEST_POSTGRESQL = "15.0"
SQUAWK = Path(sys.executable).with_name("squawk")
# ``db.schema.migrate`` sets the timeouts; the others are matters of style.
STYLE = ("prefer-", "require-lock-timeout", "require-statement-timeout", "require-enum-value-")

_INVISIBLE = re.compile(r"--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\1|'(?:[^']|'')*'", re.DOTALL)
_NAME = r'"?(?:public\.)?"?(?P<table>\w+)"?'
_NEW_TABLE = re.compile(rf"CREATE TABLE (?:IF NOT EXISTS )?{_NAME}", re.IGNORECASE)
_TARGET = re.compile(
    r"(?:ALTER TABLE (?:IF EXISTS )?(?:ONLY )?|INSERT INTO |UPDATE (?:ONLY )?"
    r"|DELETE FROM (?:ONLY )?|CREATE (?:OR REPLACE )?TRIGGER .* ON "
    rf"|CREATE UNIQUE INDEX .* ON (?:ONLY )?){_NAME}",
    re.IGNORECASE,
)
_COLUMN = r'"?\w+"?'
_CHANGE = (
    rf"(?:ADD COLUMN (?:IF NOT EXISTS )?{_COLUMN} (?!(?:big|small)?serial\b).*"
    r"|ADD CONSTRAINT .* NOT VALID|VALIDATE CONSTRAINT .*|SET \(.*\)"
    rf"|ALTER COLUMN {_COLUMN} (?:SET DEFAULT|SET STATISTICS) .*)"
)
# What may be done to what the previous version uses. Squawk knows the dangers of some of these.
_HARMLESS = re.compile(
    r"BEGIN|COMMIT|SET .*|COMMENT ON .*|GRANT .*|CREATE TABLE .*|CREATE (?:OR REPLACE )?VIEW .*"
    r"|CREATE TYPE .*|ALTER TYPE .* ADD VALUE .*|CREATE SEQUENCE .*|CREATE INDEX .*"
    # Nobody calls functions by name but those whom a migration gives them to.
    r"|CREATE SCHEMA IF NOT EXISTS .*|REVOKE EXECUTE ON FUNCTION .*"
    r"|CREATE (?:OR REPLACE )?FUNCTION .*|DROP INDEX CONCURRENTLY IF EXISTS .*"
    rf"|ALTER TABLE (?:ONLY )?{_COLUMN} {_CHANGE}",
    re.IGNORECASE,
)


def migrations_after(revision: str) -> list[Script]:
    """Return the migrations that are newer than ``revision``, oldest first."""
    scripts = list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())
    return [script for script in reversed(scripts) if script.revision > revision]


def sql_of(migration: Script) -> str:
    """Return what the upgrade of a migration sends to PostgreSQL, its transactions included."""
    buffer = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer}
    )
    with context.begin_transaction(), Operations.context(context):
        migration.module.upgrade()
    return buffer.getvalue()


def dangers_of(sql: str) -> list[str]:
    """Return what in a script may stop builds or break the previous version, and why.

    Raises:
        FileNotFoundError: squawk is not installed.
    """
    return [*_found_by_squawk(sql), *_not_known_as_harmless(sql)]


def _found_by_squawk(sql: str) -> Iterator[str]:
    done = subprocess.run(
        [SQUAWK, "--reporter=json", f"--pg-version={OLDEST_POSTGRESQL}"],
        input=sql,
        check=False,
        capture_output=True,
        text=True,
    )
    for found in json.loads(done.stdout):
        if not found["rule_name"].startswith(STYLE):
            yield f"{found['rule_name']}: {found['message']}"


def _not_known_as_harmless(sql: str) -> Iterator[str]:
    visible = _INVISIBLE.sub(lambda found: "''" if found[0].startswith("'") else "", sql)
    statements = [" ".join(part.split()) for part in visible.split(";")]
    created = {found["table"] for part in statements if (found := _NEW_TABLE.match(part))}
    for statement in filter(None, statements):
        target = _TARGET.match(statement)
        is_on_new_table = target is not None and target["table"] in created
        if not is_on_new_table and not _HARMLESS.fullmatch(statement):
            yield f"not known as harmless: {statement[:100]}"

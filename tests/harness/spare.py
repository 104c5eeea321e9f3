"""One database that test after test finds empty, copied anew only when a test has changed it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import sqlalchemy

from db.engine import Database, open_database
from tests.harness.databases import database_url_of, new_database, run_admin
from tests.harness.kept import keep_connections
from tests.harness.waiting import NeverHappenedError, wait_until
from worker.embedded import Embedded

Connection = psycopg.Connection[tuple[object, ...]]

LARGE_BYTES = 4 * 1024**2
LEAVING_S = 30.0

# Everything that outlives a DELETE: a change of the schema writes a row of one of these, and
# ANALYZE one of pg_statistic. Numbers below 16384 are PostgreSQL's own.
_FINGERPRINT = """
SELECT sum(hashtext(entry)::bigint) FROM (
    SELECT 'class' || oid || xmin FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT 'column' || attrelid || attnum || xmin
        FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL SELECT 'constraint' || oid || xmin FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT 'trigger' || oid || xmin FROM pg_trigger WHERE oid >= 16384
    UNION ALL SELECT 'function' || oid || xmin FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT 'type' || oid || xmin FROM pg_type WHERE oid >= 16384
    UNION ALL SELECT 'value' || oid || xmin FROM pg_enum
    UNION ALL SELECT 'schema' || oid || xmin FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT 'statistics' || starelid || staattnum || xmin
        FROM pg_statistic WHERE starelid >= 16384
    UNION ALL SELECT 'setting' || setdatabase || setrole || xmin FROM pg_db_role_setting
) AS catalogue (entry)
"""
_EMPTY = """
DO $$
DECLARE
    found record;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR found IN
        SELECT oid::regclass AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
          AND relname <> 'provisionerd_migrations' AND pg_relation_size(oid) > 0
    LOOP
        EXECUTE format('DELETE FROM %s', found.name);
    END LOOP;
    PERFORM setval(seqrelid, seqstart, false)
    FROM pg_sequence
    WHERE pg_sequence_last_value(seqrelid) IS NOT NULL;
END
$$
"""
_SIZE = """
SELECT coalesce(sum(pg_relation_size(oid)), 0) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""
_OTHERS = """
SELECT format('%%s: %%s, %%s', application_name, state, query) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
  AND pid <> pg_backend_pid() AND pid <> ALL (%s)
"""


class LeftOpenError(Exception):
    """A test has left connections to its database open."""


@dataclass(kw_only=True)
class SpareDatabase:
    """A database for one test at a time. ``clear`` it after each."""

    embedded: Embedded
    template: str
    _name: str | None = field(default=None, init=False)
    _opened: Database | None = field(default=None, init=False)
    _kept: Collection[int] = field(default=(), init=False)  #: sessions of ``_opened``
    _fingerprint: object = field(default=None, init=False)
    _connection: Connection | None = field(default=None, init=False)

    def url(self) -> str:
        """Return the URL of an empty database."""
        if self._name is None:
            self._name = new_database(self.embedded, self.template)
            self._fingerprint = _value(self._connected(), _FINGERPRINT)
        return database_url_of(self.embedded, self._name)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The database with a pool that many threads can use.

        The engine has the connections and compiled statements of earlier tests, but not the
        events that they listened for.
        """
        url = self.url()
        if self._opened is None:
            self._opened = open_database(url, pool_size=40)
        engine = self._opened.engine.execution_options()
        opened = Database(engine=engine, keys=self._opened.keys)
        try:
            yield opened
        finally:
            self._kept = keep_connections(opened)

    def clear(self) -> None:
        """Delete what a test has written; drop the database if that does not make it as new.

        Raises:
            LeftOpenError: somebody is still connected; the message says who.
        """
        assert self._name is not None
        try:
            connection = self._connected()
            _wait_until_alone(connection, self._kept)
            is_as_new = _value(connection, _FINGERPRINT) == self._fingerprint
            if is_as_new and int(str(_value(connection, _SIZE))) < LARGE_BYTES:
                connection.execute(_EMPTY)
                return
        except LeftOpenError:
            self.drop()
            raise
        self.drop()

    def drop(self) -> None:
        """Remove the database."""
        if self._name is not None:
            name, self._name = self._name, None
            if self._opened is not None:
                self._opened.dispose()
                self._opened, self._kept = None, ()
            self._disconnect()
            run_admin(self.embedded, f"DROP DATABASE {name} WITH (FORCE)")

    def _connected(self) -> Connection:
        """Return the connection that is kept: a new one would read the whole catalogue again."""
        if self._connection is None or not _answers(self._connection):
            self._disconnect()
            assert self._name is not None
            url = sqlalchemy.make_url(database_url_of(self.embedded, self._name))
            text = url.set(drivername="postgresql").render_as_string(hide_password=False)
            self._connection = psycopg.connect(text, autocommit=True)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _wait_until_alone(connection: Connection, kept: Collection[int]) -> None:
    def others() -> list[str]:
        return [str(row[0]) for row in connection.execute(_OTHERS, [list(kept)])]

    try:
        # The server takes a moment to notice that a client has gone.
        wait_until(lambda: not others(), "the end of connections", within_s=LEAVING_S)
    except NeverHappenedError:
        raise LeftOpenError(f"connections were left open: {others()}") from None


def _value(connection: Connection, query: str) -> object:
    found = connection.execute(query).fetchone()
    assert found is not None
    return found[0]


def _answers(connection: Connection) -> bool:
    """Whether the connection can be used; a test may have cut it."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True

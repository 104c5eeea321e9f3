"""A PostgreSQL that tests may stop, fill up and replace by its standby."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from tests.harness.waiting import wait_until
from worker.embedded.directory import ServerDirectory, free_port, make_server_directory, run
from worker.embedded.postgres import postgres_binaries

SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 130
superuser_reserved_connections = 20
wal_level = replica
max_wal_size = 48MB
min_wal_size = 32MB
wal_recycle = off
fsync = off
autovacuum = off
shared_buffers = 32MB
"""
ROLE_SETTINGS = (
    # A pooler drops what the worker asks for in its startup packet.
    "statement_timeout = '10s'",
    "lock_timeout = '2s'",
    "idle_in_transaction_session_timeout = '60s'",
    "timezone = 'UTC'",
)
ROLE = "provisionerd"


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A server with a data directory and a port of its own."""

    home: ServerDirectory
    data: Path
    port: int

    @property
    def url(self) -> str:
        """Where the tests themselves reach it, as the administrator."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = f"-c port={self.port} -c unix_socket_directories={self.home.sockets}"
        self.control("start", "-o", options)

    def stop(self, *, mode: str = "fast") -> None:
        """Stop the server; ``immediate`` does as a crash does."""
        self.control("stop", "-m", mode)

    def kill(self) -> None:
        """Stop the server if it runs."""
        if (self.data / "postmaster.pid").exists():
            self.try_control("stop", "-m", "immediate")

    def is_running(self) -> bool:
        """Whether the server's first process lives."""
        return self.try_control("status") == 0

    def promote(self) -> None:
        """Make the standby the primary."""
        self.control("promote")

    def execute(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements as the administrator; return the rows of the last one."""
        with self.connect() as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def connect(self, *, user: str = "postgres") -> psycopg.Connection:
        """Open a connection that commits each statement."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, dbname="postgres", autocommit=True
        )

    def configure(self, **settings: str | None) -> None:
        """Change settings that need no restart; None takes one back."""
        for name, value in settings.items():
            change = f"RESET {name}" if value is None else f"SET {name} = '{value}'"
            self.execute(f"ALTER SYSTEM {change}")
        self.execute("SELECT pg_reload_conf()")

    def standby(self, *, port: int) -> PostgresServer:
        """Start a standby; from then on each COMMIT waits until the standby has it, too."""
        copy = replace(self, data=self.data.with_name(f"standby-{port}"), port=port)
        shutil.rmtree(copy.data, ignore_errors=True)  # of the last but one failover
        source = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        self._program("pg_basebackup", *source, "-D", str(copy.data), "-R", "-c", "fast")
        copy.start()
        self.configure(synchronous_standby_names="*")
        wait_until(
            lambda: self.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
            "the standby to follow",
        )
        return copy

    def control(self, *arguments: str) -> None:
        """Run pg_ctl; it has to succeed."""
        assert self.try_control(*arguments) == 0, self.said()[-1500:]

    def try_control(self, *arguments: str) -> int:
        """Run pg_ctl; return its exit status."""
        command = [arguments[0], "-D", str(self.data), "-l", str(self.log), *arguments[1:]]
        waiting = [] if arguments[0] == "status" else ["-w"]
        return run([str(self._binaries / "pg_ctl"), *command, *waiting], self.home.user)

    def said(self) -> str:
        """The server's log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def log(self) -> Path:
        """Where the server writes its log: not beside its data, which can be full."""
        return self.home.path / f"{self.data.name}.log"

    @property
    def _binaries(self) -> Path:
        return postgres_binaries(self.home)

    def _program(self, name: str, *arguments: str) -> None:
        command: Sequence[str] = [str(self._binaries / name), *arguments]
        status = run(command, self.home.user, self.home.path / f"{name}.log")
        assert status == 0, (self.home.path / f"{name}.log").read_text()


def new_postgres(directory: Path, *, data: Path | None = None) -> PostgresServer:
    """Make and start a server.

    Args:
        directory: the server's own user must be able to pass through it.
        data: an empty folder or the place for one; in ``directory`` when None.
    """
    home = make_server_directory(directory)
    server = PostgresServer(home=home, data=data or home.path / "primary", port=free_port())
    layout = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "-U", "postgres"]
    server._program("initdb", *layout, "--wal-segsize=1", "-D", str(server.data))
    with (server.data / "postgresql.conf").open("a") as settings:
        settings.write(SETTINGS)
    server.start()
    # No superuser, who could use the connections that are kept for one.
    server.execute(f"CREATE ROLE {ROLE} LOGIN", f"GRANT ALL ON DATABASE postgres TO {ROLE}")
    server.execute(f"GRANT ALL ON SCHEMA public TO {ROLE}")
    server.execute(*(f"ALTER ROLE {ROLE} SET {setting}" for setting in ROLE_SETTINGS))
    # What a test does to the sessions of workers must not end its own.
    server.execute("ALTER ROLE postgres SET idle_session_timeout = 0")
    return server

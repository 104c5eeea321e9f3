"""A real PgBouncer in front of a PostgreSQL, for tests."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psycopg
from psycopg.abc import Query

from tests.harness.postgres_server import ROLE, PostgresServer
from tests.harness.waiting import DEADLINE_S, wait_until

DATABASE = "provisionerd"
CONFIGURATION = """\
[databases]
{database} = host=127.0.0.1 port={target} dbname={target_database} user={role}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = pgbouncer
pool_mode = {mode}
default_pool_size = {pool_size}
max_client_conn = 300
ignore_startup_parameters = options,extra_float_digits
server_login_retry = 1
query_wait_timeout = 60
logfile = {log}
"""


def find_pgbouncer() -> str | None:
    """Return the program of Debian's package, if it is installed."""
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@dataclass(kw_only=True)
class PgBouncer:
    """A pooler; it runs as the user whom the PostgreSQL runs as."""

    server: PostgresServer
    mode: str  #: ``session`` or ``transaction``
    port: int
    pool_size: int = 100  #: in session mode each connection of each worker takes one
    role: str = ROLE  #: whom PostgreSQL takes it for
    target_database: str = "postgres"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where workers take it for PostgreSQL."""
        return f"postgresql+psycopg://{ROLE}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.server.home.path / f"pgbouncer-{self.mode}.log"

    def start(self) -> None:
        """Start it on the configuration that fits its fields."""
        program = find_pgbouncer()
        assert program is not None
        self.process = subprocess.Popen(
            [program, "-q", str(self._configure())],
            user=self.server.home.user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._is_up, "PgBouncer to start")

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(DEADLINE_S)
            self.process = None

    def point_at(self, server: PostgresServer) -> None:
        """Have it connect to another server from now on."""
        self.server = server
        self._configure()
        self.ask("RELOAD", f"RECONNECT {DATABASE}")

    def set(self, settings: Mapping[str, object]) -> None:
        """Change settings of the running process."""
        self.ask(*(f"SET {name} = '{value}'" for name, value in settings.items()))

    def ask(self, *commands: str) -> None:
        """Run commands of its console; one after the other, each to its end."""
        with self.console() as run:
            for command in commands:
                run(command)

    @contextmanager
    def console(self) -> Iterator[Callable[[str], object]]:
        """Its console: what runs a command to its end."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="pgbouncer", dbname="pgbouncer", autocommit=True
        ) as connection:
            yield lambda command: connection.execute(cast("Query", command))

    def _is_up(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.ask("SHOW VERSION")
            return True
        return False

    def _configure(self) -> Path:
        path = self.server.home.path / f"pgbouncer-{self.mode}.ini"
        path.write_text(
            CONFIGURATION.format(
                database=DATABASE,
                target=self.server.port,
                target_database=self.target_database,
                role=self.role,
                port=self.port,
                mode=self.mode,
                pool_size=self.pool_size,
                log=self.log,
            )
        )
        path.chmod(0o644)
        return path

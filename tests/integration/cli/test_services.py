"""Settings and services that are wrong or away: one sentence, and nothing half done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import text

from db.engine import Database
from db.schema.revision import head_revision
from tests.harness.databases import database_url_of, run_admin
from tests.harness.factory import Factory
from tests.harness.redis_server import RedisServer, running_redis
from tests.harness.rights import database_user, redis_user
from tests.harness.threadworker import sign_on
from tests.integration.cli.commandline import CommandLine, Unchanged, age_workers, refused
from worker.embedded import Embedded

NOBODY_LISTENS = "127.0.0.1:1"


def empty(database: Database) -> None:
    with database.begin() as session:
        session.execute(text("DROP SCHEMA public, provisionerd CASCADE"))
        session.execute(text("CREATE SCHEMA public"))


def results(run: CommandLine, **settings: str) -> dict[str, dict[str, str]]:
    result = run("doctor", "--output", "json", **settings)
    return {row["check"]: row for row in json.loads(result.stdout)}


MISTAKES = {
    "unknown": (
        {"concurency": "4"},
        "no setting PROVISIONERD_CONCURENCY; did you mean PROVISIONERD_CONCURRENCY?",
    ),
    "other database": (
        {"database_url": "mysql://127.0.0.1/app"},
        "the database must be PostgreSQL",
    ),
    "a port that is no number": (
        {"database_url": "postgresql://h:abc/db"},
        "the database URL cannot be read",
    ),
    "a host without an end": (
        {"database_url": "postgresql://[::1/db"},
        "the database URL cannot be read",
    ),
    "no database URL": ({"database_url": "not a url"}, "the database URL cannot be read"),
    "no Redis URL": ({"redis_url": "http://127.0.0.1"}, "PROVISIONERD_REDIS_URL: "),
    "database away": (
        {"database_url": f"postgresql://user@{NOBODY_LISTENS}/app"},
        "the database cannot be reached",
    ),
}


OF_WORKERS = {
    "not a number": ({"concurrency": "many"}, "PROVISIONERD_CONCURRENCY"),
    "contradictory": (
        {"lease_seconds": "5"},
        "FENCE_SECONDS + FENCE_GRACE_SECONDS must be at most LEASE_SECONDS",
    ),
}


@pytest.mark.parametrize(("settings", "sentence"), OF_WORKERS.values(), ids=OF_WORKERS)
def test_a_wrong_setting_is_said_by_what_reads_it(
    run: CommandLine, settings: dict[str, str], sentence: str
) -> None:
    refused(run("exporter", **settings), sentence)
    run("user", "list", **settings)


@pytest.mark.parametrize(("settings", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_what_is_wrong_is_said_in_one_sentence(
    run: CommandLine, nothing_changes: Unchanged, settings: dict[str, str], sentence: str
) -> None:
    with nothing_changes():
        refused(run("user", "create", "alice", **settings), sentence)


@pytest.fixture(scope="module")
def ascii_url(embedded: Embedded) -> Iterator[str]:
    """A database that stores bytes instead of texts."""
    name = "stores_bytes"
    run_admin(embedded, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII'")
    yield database_url_of(embedded, name)
    run_admin(embedded, f"DROP DATABASE {name}")


@pytest.mark.parametrize("command", ["migrate", "jobs list"])
def test_a_database_of_another_encoding_is_refused(
    run: CommandLine, ascii_url: str, command: str
) -> None:
    refused(run(*command.split(), database_url=ascii_url), "the encoding SQL_ASCII")


def test_a_doctor_names_the_encoding_of_the_database(run: CommandLine, ascii_url: str) -> None:
    assert "SQL_ASCII" in results(run, database_url=ascii_url)["PostgreSQL"]["found"]


def test_a_wrong_password_is_not_shown(run: CommandLine) -> None:
    url = f"postgresql://user:hunter2@{NOBODY_LISTENS}/app"

    assert "hunter2" not in run("user", "list", database_url=url).output


def test_a_database_without_the_schema_is_to_be_migrated(
    run: CommandLine, database: Database
) -> None:
    empty(database)

    refused(run("user", "list"), "run `provisionerd migrate` first")


def test_migrate_makes_the_schema(run: CommandLine, database: Database) -> None:
    empty(database)

    assert run.json("migrate") == {"from": None, "to": head_revision()}
    assert run.json("user", "list") == []


def test_migrating_again_changes_nothing(run: CommandLine, nothing_changes: Unchanged) -> None:
    with nothing_changes():
        result = run("migrate")

    assert result.stdout == f"The database is up to date at {head_revision()}.\n"


def test_the_data_directory_can_be_given_as_an_option(run: CommandLine, tmp_path: Path) -> None:
    result = run("--data-dir", str(tmp_path / "other"), "doctor", "--output", "json")

    assert str(tmp_path / "other") in result.stdout


def test_a_doctor_that_finds_nothing_wrong_ends_with_status_0(
    run: CommandLine, database: Database
) -> None:
    sign_on(database, "worker")

    result = run("doctor")

    assert result.exit_code == 0, result.output
    assert "problem" not in result.stdout


def test_a_doctor_with_a_problem_ends_with_status_1(run: CommandLine) -> None:
    assert run("doctor", redis_url=f"redis://{NOBODY_LISTENS}/0").exit_code == 1


def test_a_doctor_changes_nothing(run: CommandLine, nothing_changes: Unchanged) -> None:
    with nothing_changes():
        run("doctor")


@pytest.mark.parametrize(
    ("check", "settings", "found"),
    [
        pytest.param("settings", {"tag": "a=b"}, "no setting PROVISIONERD_TAG", id="settings"),
        pytest.param(
            "Redis", {"redis_url": f"redis://{NOBODY_LISTENS}/0"}, "cannot be reached", id="Redis"
        ),
        pytest.param("settings", {"redis_url": "http://host"}, "redis, rediss", id="no Redis URL"),
        pytest.param(
            "PostgreSQL",
            {"database_url": f"postgresql://user@{NOBODY_LISTENS}/app"},
            "cannot be used",
            id="PostgreSQL",
        ),
        pytest.param(
            "PostgreSQL", {"database_url": "mysql://host/app"}, "must be PostgreSQL", id="MySQL"
        ),
        pytest.param(
            "data directory", {"data_dir": "/dev/null/data"}, "cannot be written", id="data"
        ),
        pytest.param(
            "Terraform",
            {"terraform_binary": "/nowhere/terraform"},
            "not an executable file",
            id="Terraform",
        ),
        pytest.param(
            "Terraform", {"terraform_binary": "/bin/true"}, "did not print a version", id="true"
        ),
    ],
)
def test_a_doctor_finds_the_problem_and_says_how_to_fix_it(
    run: CommandLine, check: str, settings: dict[str, str], found: str
) -> None:
    result = results(run, **settings)[check]

    assert result["verdict"] == "problem"
    assert found in result["found"]
    assert result["fix"].endswith(".")


def test_a_doctor_finds_a_missing_migration(run: CommandLine, database: Database) -> None:
    empty(database)

    result = results(run)["migrations"]

    assert (result["verdict"], result["fix"]) == ("problem", "Run `provisionerd migrate`.")


def test_a_doctor_finds_jobs_that_nobody_will_take(run: CommandLine, factory: Factory) -> None:
    factory.build(factory.any_workspace())

    result = results(run)["queues"]

    assert result["verdict"] == "problem"
    assert "1 jobs have waited in builds" in result["found"]


def test_a_doctor_finds_workers_that_vanished(run: CommandLine, database: Database) -> None:
    sign_on(database, "lost")
    age_workers(database)

    result = run("doctor", "--output", "json")

    (result,) = [row for row in json.loads(result.stdout) if row["found"].startswith("lost")]
    assert (result["check"], result["verdict"]) == ("workers", "warning")
    assert "host" in result["fix"]


@contextmanager
def redis_set(embedded: Embedded, name: str, value: str) -> Iterator[None]:
    """A Redis with another setting, until the end of the block."""
    assert embedded.redis_url is not None
    with redis.Redis.from_url(embedded.redis_url, decode_responses=True) as client:
        before = client.config_get(name)[name]
        client.config_set(name, value)
        try:
            yield
        finally:
            client.config_set(name, before)


def test_a_doctor_finds_a_redis_that_throws_away(run: CommandLine, embedded: Embedded) -> None:
    with redis_set(embedded, "maxmemory-policy", "allkeys-lru"):
        result = results(run)["Redis eviction"]

    assert result["verdict"] == "problem"
    assert "allkeys-lru" in result["found"]


def test_a_doctor_finds_a_redis_that_forgets(run: CommandLine, embedded: Embedded) -> None:
    with redis_set(embedded, "appendonly", "no"):
        result = results(run)["Redis persistence"]

    assert result["verdict"] == "warning"
    assert "appendonly yes" in result["fix"]


def test_a_doctor_finds_a_lost_build_that_nobody_takes_back(
    run: CommandLine, factory: Factory
) -> None:
    factory.running_build(lease=timedelta(minutes=-10))

    result = results(run)["leases"]

    assert result["verdict"] == "problem"
    assert "expired 10 min ago" in result["found"]


@pytest.mark.parametrize("check", ["leases", "connections"])
def test_a_doctor_has_nothing_against_a_deployment_in_order(
    run: CommandLine, database: Database, factory: Factory, check: str
) -> None:
    sign_on(database, "worker")
    factory.running_build()

    assert results(run)[check]["verdict"] == "ok"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


def test_a_doctor_names_the_redis_rights_that_are_missing_and_not_a_redis_that_is_away(
    run: CommandLine, redis_server: RedisServer
) -> None:
    found = results(run, redis_url=redis_user(redis_server.url, "worker", without="+brpop"))

    assert "may not run BRPOP" in found["Redis rights"]["found"]
    assert (found["Redis"]["verdict"], "INFO" in found["Redis"]["found"]) == ("warning", True)


def test_a_doctor_names_the_database_rights_that_are_missing(
    run: CommandLine, database: Database, database_url: str
) -> None:
    url = database_user(database, database_url, "enqueue")
    with database.begin() as session:
        session.execute(text("GRANT SELECT ON provisionerd_migrations TO provisionerd_enqueue"))

    found = results(run, database_url=url)["PostgreSQL rights"]

    assert found["verdict"] == "problem"
    assert "INSERT on leases" in found["found"]
    assert "provisionerd grants --role worker" in found["fix"]

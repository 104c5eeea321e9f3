"""An enqueuer and a reader work with the rights that are printed for them, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry
from redis.exceptions import NoPermissionError
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from db.catalog.dryruns import existing_workspace
from db.engine import Database, DatabaseError
from db.schema.enums import Transition
from db.schema.grants import AccessRole, missing_rights
from db.schema.tables import Autostop, Template, Workspace
from db.sealing.keyring import Key, Keyring
from tests.harness.databases import opened_database, tcp_url_of
from tests.harness.factory import Factory
from tests.harness.redis_server import RedisServer, running_redis
from tests.harness.rights import database_user, printed, redis_user
from tests.harness.waiting import wait_until
from worker.broker.doorbell import ring_at
from worker.broker.rights import WORKER_COMMANDS, missing_commands
from worker.embedded import Embedded
from worker.enqueue import enqueue_build
from worker.maintenance.autostop import Autostop as Stopper
from worker.metrics.circuits import CircuitCollector
from worker.metrics.queues import FleetCollector, QueueCollector
from worker.planning import enqueue_dry_run

REFUSED = r"permission denied|must be owner|does not exist"
ROLES = [role.value for role in AccessRole]
KEYS = Keyring(keys=(Key(b"k" * 32),))
ENQUEUE_GRANTS = [line for line in printed("enqueue")["postgresql"] if line.startswith("GRANT")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def url(embedded: Embedded, database: Database) -> str:
    name = database.engine.url.database
    assert name is not None
    return tcp_url_of(embedded, name)


def enqueue(url: str, factory: Factory, redis_url: str | None = None) -> None:
    """Enqueue a build as a process without keys does, then a dry run and a build with keys."""
    size = {"name": "size", "default": "2"}
    first, second = (
        factory.any_workspace(script={"parse": {"parameters": [size]}}) for _ in range(2)
    )
    with factory.database.begin() as session:
        version_id = session.get_one(Template, second.template_id).active_version_id
        # Whether the initiator is an admin of templates is asked only where it matters.
        session.execute(
            text(
                "UPDATE templates SET require_active_version = true, active_version_id = NULL"
                " WHERE id = :id"
            ),
            {"id": second.template_id},
        )
        session.execute(text("UPDATE users SET rbac_roles = '{owner}'"))
    with opened_database(url) as database, database.begin() as session:
        start(session, first, redis_url)
    with opened_database(url, keyring=KEYS) as database, database.begin() as session:
        enqueue_dry_run(
            session,
            existing_workspace(session, second.id),
            template_version_id=version_id,
            parameters={"size": "1"},
            ring=lambda _queue: True,
        )
        start(session, second, redis_url, template_version_id=version_id)


def start(session: Session, workspace: Workspace, redis_url: str | None, **arguments: Any) -> None:
    enqueue_build(
        session,
        workspace_id=workspace.id,
        transition=Transition.START,
        parameters={"size": "1"},
        redis_url=redis_url,
        ring=None if redis_url else (lambda _queue: True),
        **arguments,
    )


def test_an_enqueuer_enqueues_and_rings(factory: Factory, url: str, server: RedisServer) -> None:
    enqueue(
        database_user(factory.database, url, "enqueue"), factory, redis_user(server.url, "enqueue")
    )
    wait_until(lambda: b":2" in server.ask("LLEN", "provisionerd:builds"), "the doorbells")


def test_an_enqueuer_rings_for_the_tools_that_wait(server: RedisServer) -> None:
    assert ring_at(redis_user(server.url, "enqueue"))("other") is True


@pytest.mark.parametrize("keys", [None, KEYS], ids=["plain", "sealed"])
def test_a_worker_stops_workspaces_that_are_due(
    factory: Factory, url: str, keys: Keyring | None
) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace)
    with factory.database.begin() as session:
        session.add(Autostop(workspace_id=workspace.id, due_at=datetime.now(UTC)))
    named = database_user(factory.database, url, "worker")
    with opened_database(named, keyring=keys) as database:
        sweeper = Stopper(database=database, ring=lambda _queue: True, retry_after=None)
        assert sweeper.stop_due() == 1


@pytest.mark.parametrize("without", ENQUEUE_GRANTS, ids=lambda line: line.partition(" TO ")[0])
def test_an_enqueuer_needs_each_of_its_rights(factory: Factory, url: str, without: str) -> None:
    named = database_user(factory.database, url, "enqueue", without=without)
    with factory.database.begin() as session:  # otherwise PUBLIC has it
        session.execute(text("REVOKE USAGE ON SCHEMA public FROM PUBLIC"))
    with pytest.raises((ProgrammingError, DatabaseError), match=REFUSED):
        enqueue(named, factory)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_change_the_schema_or_delete_workspaces(
    factory: Factory, url: str, role: str
) -> None:
    named = database_user(factory.database, url, role)
    with opened_database(named) as database:
        for refused in (
            "CREATE TABLE mine (id int)",
            "DELETE FROM workspaces",
            "DROP TABLE leases",
        ):
            with pytest.raises(ProgrammingError, match=REFUSED):
                run(database, refused)


def test_a_reader_may_write_nothing(factory: Factory, url: str) -> None:
    with (
        opened_database(database_user(factory.database, url, "read")) as database,
        pytest.raises(ProgrammingError, match=REFUSED),
    ):
        run(database, "UPDATE workspaces SET deleted = true")


def test_a_reader_serves_the_exporter(factory: Factory, url: str) -> None:
    factory.build(factory.any_workspace())
    with opened_database(database_user(factory.database, url, "read")) as database:
        registry = CollectorRegistry()
        registry.register(QueueCollector(database))
        registry.register(CircuitCollector(database))
        registry.register(FleetCollector(database, lease_s=20))
        assert registry.get_sample_value("provisionerd_queue_depth", {"queue": "builds"}) == 1
        assert registry.get_sample_value("provisionerd_jobs", {"status": "pending"}) == 1


@pytest.mark.parametrize("role", ROLES)
def test_what_is_printed_lacks_nothing(factory: Factory, url: str, role: str) -> None:
    with (
        opened_database(database_user(factory.database, url, role)) as database,
        database.begin() as session,
    ):
        assert missing_rights(session, AccessRole(role)) == []


def test_a_right_that_is_missing_is_named(factory: Factory, url: str) -> None:
    named = database_user(factory.database, url, "worker")
    with factory.database.begin() as session:
        session.execute(text("REVOKE UPDATE ON leases FROM provisionerd_worker"))
        session.execute(text("REVOKE ALL ON live_workers FROM provisionerd_worker"))
    with opened_database(named) as database, database.begin() as session:
        missing = missing_rights(session, AccessRole.WORKER)
    assert missing == ["UPDATE on leases", "SELECT on live_workers"]


def test_a_worker_s_redis_user_may_run_all_that_a_worker_needs(server: RedisServer) -> None:
    assert missing_commands(redis_user(server.url, "worker")) == []


@pytest.mark.parametrize("command", [*WORKER_COMMANDS, "MULTI", "DISCARD"])
def test_a_redis_command_that_is_missing_is_named(server: RedisServer, command: str) -> None:
    url = redis_user(server.url, "worker", without=f"+{command.lower()}")
    assert missing_commands(url) == [command]


def test_looking_for_missing_commands_writes_nothing(server: RedisServer) -> None:
    server.ask("FLUSHALL")
    missing_commands(redis_user(server.url, "worker"))
    assert b":0" in server.ask("DBSIZE")


def test_no_redis_user_may_touch_the_keys_of_others(server: RedisServer) -> None:
    with (
        redis.Redis.from_url(redis_user(server.url, "worker")) as client,
        pytest.raises(NoPermissionError),
    ):
        client.get("somebody:else")


def run(database: Database, statement: str) -> None:
    with database.begin() as session:
        session.execute(text(statement))

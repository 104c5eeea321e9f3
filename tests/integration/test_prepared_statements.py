"""Prepared statements: where none may be made, and what those that are made outlive."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from db.engine import Database, open_database
from db.jobs.mover import Mover
from db.outage import retry_outage
from db.schema.enums import Transition
from provisioner.build.endings import Succeeded
from tests.harness.factory import Factory
from tests.harness.slots import echo_runner, make_slots
from worker.broker.client import BrokerClient
from worker.embedded import Embedded
from worker.metrics.series import Metrics
from worker.process.bell import Bell
from worker.process.drain import DrainFlag
from worker.process.opening import open_services
from worker.process.runtime import make_runtime
from worker.process.watchdog import LastDoorbell
from worker.settings import Settings

BUILDS = 8  # psycopg prepares what it runs for the sixth time
SCRIPT = {"plan": {"daily_cost": 1}, "apply": {"logs": [{"output": "made"}]}}


@pytest.mark.parametrize(("allowed", "prepares"), [(True, True), (False, False)])
def test_builds_prepare_statements_only_if_they_may(
    database_url: str, tmp_path: Path, *, allowed: bool, prepares: bool
) -> None:
    # All connections stay in the pool: a build may write its log while it does something else.
    database = open_database(database_url, pool_size=5, prepared_statements=allowed)
    factory = Factory(database=database)
    workspace = factory.any_workspace(allowance=10, script=SCRIPT)
    mover = Mover(database=database)
    slot = make_slots(mover, runner=echo_runner(mover, tmp_path))
    for number in range(BUILDS):
        factory.build(workspace, Transition.STOP if number % 2 else Transition.START)
        assert isinstance(slot.run_next_build("builds"), Succeeded)

    found = _prepared_statements(database)
    database.dispose()
    assert bool(found) == prepares


def test_prepared_statements_outlive_a_new_column(database_url: str, tmp_path: Path) -> None:
    database = open_database(database_url, pool_size=1)
    factory = Factory(database=database)
    workspace = factory.any_workspace(allowance=10, script=SCRIPT)
    mover = Mover(database=database)
    slot = make_slots(mover, runner=echo_runner(mover, tmp_path))
    for number in range(2 * BUILDS):
        if number == BUILDS:
            _add_a_column_to_each_table(database)
        factory.build(workspace, Transition.STOP if number % 2 else Transition.START)
        assert isinstance(slot.run_next_build("builds"), Succeeded)
    database.dispose()


def test_a_statement_that_a_pooler_has_forgotten_is_run_again(database_url: str) -> None:
    database = open_database(database_url, pool_size=1)

    def read() -> object:
        with database.begin() as connection:
            return connection.scalar(text("SELECT 1"))

    for _ in range(BUILDS):
        read()
    _forget_prepared_statements(database)

    assert retry_outage(read, may_go_on=lambda: True) == 1
    database.dispose()


def test_a_statement_that_another_client_has_left_is_run_again(database_url: str) -> None:
    database = open_database(database_url, pool_size=1)

    def read() -> object:
        with database.begin() as connection:
            return connection.scalar(text("SELECT 2"))

    with database.begin() as connection:
        connection.execute(text("DO $$ BEGIN EXECUTE 'PREPARE \"_pg3_0\" AS SELECT 3'; END $$"))
    answers = {retry_outage(read, may_go_on=lambda: True) for _ in range(BUILDS)}

    database.dispose()
    assert answers == {2}


def _prepared_statements(database: Database) -> list[str]:
    """Return the names of what the connections of the pool have prepared."""
    pool = database.engine.pool
    assert isinstance(pool, sqlalchemy.QueuePool)
    with ExitStack() as stack:
        open_ones = [
            stack.enter_context(database.engine.connect()) for _ in range(pool.checkedin())
        ]
        names = text("SELECT name FROM pg_prepared_statements")
        return [name for connection in open_ones for name in connection.scalars(names)]


def _forget_prepared_statements(database: Database) -> None:
    """Deallocate them so that psycopg does not know, as a pooler that changes the server does."""
    with database.begin() as connection:
        connection.execute(text("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"))


def _add_a_column_to_each_table(database: Database) -> None:
    with database.begin() as connection:
        tables = connection.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " AND relkind = 'r'"
            )
        )
        for table in tables.all():
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN of_a_later_release text"))


Opened = Callable[[Settings, str], AbstractContextManager[Database]]


@contextmanager
def of_runtime(settings: Settings, url: str) -> Iterator[Database]:
    runtime = make_runtime(
        settings,
        database_url=url,
        worker_id=uuid.uuid4(),
        metrics=Metrics(CollectorRegistry()),
        bell=Bell(BrokerClient("redis://"), metrics=Metrics(CollectorRegistry())),
        flag=DrainFlag(),
        last_doorbell=LastDoorbell(),
        engines={},
        slots=1,
    )
    yield runtime.database
    runtime.database.dispose()


@contextmanager
def of_services(settings: Settings, _url: str) -> Iterator[Database]:
    with open_services(settings.servers) as services:
        yield services.database


@pytest.mark.parametrize(("setting", "may_prepare"), [("true", True), ("false", False)])
@pytest.mark.parametrize("opened", [of_runtime, of_services], ids=["builds", "all else"])
def test_the_setting_holds_for_connections_of(
    opened: Opened,
    database_url: str,
    embedded: Embedded,
    tmp_path: Path,
    setting: str,
    *,
    may_prepare: bool,
) -> None:
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "redis_url": embedded.redis_url,
            "data_dir": tmp_path,
            "prepared_statements": setting,
        }
    )
    with opened(settings, database_url) as database:
        pooled = database.engine.raw_connection()
        connection = pooled.driver_connection
        assert isinstance(connection, psycopg.Connection)
        threshold = connection.prepare_threshold
        pooled.close()
    assert (threshold is not None) == may_prepare

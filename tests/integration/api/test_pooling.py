"""The API behind a PgBouncer that gives each transaction another connection: no notice arrives."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from cli.doctor.deployment import check_notices
from cli.doctor.result import Verdict
from db.catalog.tokens import create_token
from db.engine import Database, ignore_notice
from db.jobs.notices import CHANNEL
from db.reads.listener import notices_arrive
from db.schema.enums import TokenScope
from db.schema.tables import WorkspaceBuild
from tests.harness.api.client import Client
from tests.harness.api.serving import served
from tests.harness.databases import copied_database, opened_database, tcp_url_of
from tests.harness.factory import Factory
from tests.harness.pgbouncer import PgBouncer, find_pgbouncer
from tests.harness.postgres_server import PostgresServer
from tests.harness.waiting import wait_until
from worker.embedded import Embedded
from worker.embedded.directory import free_port, make_server_directory

needs_pgbouncer = pytest.mark.skipif(
    find_pgbouncer() is None, reason="needs PgBouncer (Debian: pgbouncer)"
)


@pytest.fixture
def direct(embedded: Embedded, template_database: str) -> Iterator[Database]:
    """A database of this test alone, since a pooler keeps connections to it."""
    with (
        copied_database(embedded, template_database) as name,
        opened_database(tcp_url_of(embedded, name)) as database,
    ):
        yield database


@pytest.fixture
def pooled(embedded: Embedded, direct: Database) -> Iterator[Database]:
    """The same database through a PgBouncer in transaction mode."""
    # Not pytest's tmp_path: under root it is closed to the user that PgBouncer runs as.
    folder = Path(tempfile.mkdtemp(prefix="pd-"))
    folder.chmod(0o711)
    try:
        assert embedded.postgres_port is not None
        home = make_server_directory(folder)
        server = PostgresServer(home=home, data=folder, port=embedded.postgres_port)
        bouncer = PgBouncer(
            server=server,
            mode="transaction",
            port=free_port(),
            role="postgres",
            target_database=direct.engine.url.database or "",
        )
        bouncer.start()
        try:
            with opened_database(bouncer.url) as database:
                yield database
        finally:
            bouncer.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Chatty(Database):
    """A database on which somebody else's notice comes before each of our own."""

    @contextmanager
    def begin(self):  # type: ignore[no-untyped-def]
        with super().begin() as session:
            session.execute(text(f"SELECT pg_notify('{CHANNEL}', 'another')"))
        with super().begin() as session:
            yield session


def test_a_busy_channel_is_not_taken_for_a_pooler(direct: Database) -> None:
    chatty = Chatty(engine=direct.engine)
    assert notices_arrive(chatty, CHANNEL)
    assert check_notices(direct).verdict is Verdict.OK


def test_a_connection_of_the_pool_keeps_no_notice(direct: Database) -> None:
    with direct.engine.connect() as connection:
        connection.execute(text(f"LISTEN {CHANNEL}"))
        connection.execute(text(f"NOTIFY {CHANNEL}"))
        connection.commit()
        driver: Any = connection.connection.driver_connection
        driver.remove_notify_handler(ignore_notice)
        assert list(driver.notifies(timeout=0)) == []
        connection.invalidate()


@needs_pgbouncer
def test_followers_behind_a_pooler_get_every_line_by_polling(
    direct: Database, pooled: Database, embedded: Embedded
) -> None:
    assert embedded.redis_url is not None
    factory = Factory(database=direct)
    organization = factory.organization()
    alice = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=alice)
    job = factory.running_build(factory.workspace(owner=alice, template=template))
    with direct.begin() as session:
        token = create_token(session, user_id=alice.id, scope=TokenScope.READ).text
        build = select(WorkspaceBuild.id).where(WorkspaceBuild.job_id == job.id)
        path = f"workspacebuilds/{session.scalars(build).one()}/logs?follow"
    with served(pooled, redis_url=embedded.redis_url) as (url, site):
        client = Client(url, token)
        with client.logs(path) as lines:
            wait_until(lambda: site.hub.followers == 1, "the follower")
            factory.write_lines(job, "one")
            factory.write_lines(job, "two")
            factory.finish(job)
            assert [line["output"] for line in lines if line["output"]] == ["one", "two"]
        assert not site.hub.is_pushed
        client.close()


@needs_pgbouncer
def test_doctor_says_that_followers_poll_behind_a_pooler(pooled: Database) -> None:
    found = check_notices(pooled)
    assert (found.verdict, "poll" in found.found) == (Verdict.WARNING, True)

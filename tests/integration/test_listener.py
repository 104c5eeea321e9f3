"""The connection that listens for notices ends with its listener."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy.event

from db.engine import Database
from db.jobs.notices import CHANNEL
from db.reads.listener import Listener
from tests.harness.databases import opened_database
from tests.harness.waiting import wait_until


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """With a pool of its own, because these tests listen for its events."""
    with opened_database(database_url) as opened:
        yield opened


@pytest.fixture
def opened(database: Database) -> list[psycopg.Connection[object]]:
    """All connections that the database opens during the test."""
    found: list[psycopg.Connection[object]] = []
    sqlalchemy.event.listen(
        database.engine, "connect", lambda connection, _record: found.append(connection)
    )
    return found


@pytest.fixture
def listener(database: Database) -> Listener:
    return Listener(database, channels=(CHANNEL,), heard=lambda *_notice: None, lost=lambda: None)


def test_a_listener_closes_its_connections_before_it_ends(
    database: Database, listener: Listener, opened: list[psycopg.Connection[object]]
) -> None:
    listener.start()
    wait_until(lambda: listener.is_pushed, "notices")
    end(listener, database)
    assert [connection.closed for connection in opened] == [True, True]


def test_a_listener_that_is_stopped_at_once_leaves_no_connection_open(
    database: Database, listener: Listener, opened: list[psycopg.Connection[object]]
) -> None:
    listener.start()
    end(listener, database)
    assert all(connection.closed for connection in opened)


def end(listener: Listener, database: Database) -> None:
    """Do what a process does at its end."""
    listener.stop()
    listener.join()
    database.dispose()

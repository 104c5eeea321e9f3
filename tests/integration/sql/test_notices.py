"""A build that SQL has enqueued is rung for at once, by one worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Thread

from sqlalchemy import text

from db.engine import Database
from tests.harness.factory import Factory
from tests.harness.waiting import wait_until
from worker.maintenance.notices import QueueListener


@contextmanager
def listening(database: Database, rung: Queue[str]) -> Iterator[QueueListener]:
    """A worker's listener in a thread; it is closed with the block."""

    def ring(queue: str) -> bool:
        rung.put(queue)
        return True

    listener = QueueListener(database, ring=ring)
    thread = Thread(target=listener.listen)
    thread.start()
    try:
        yield listener
    finally:
        listener.close()
        thread.join(timeout=30)
    assert not thread.is_alive()


def test_a_build_that_sql_has_enqueued_is_rung_for(factory: Factory) -> None:
    rung: Queue[str] = Queue()
    workspace = factory.any_workspace()
    with listening(factory.database, rung) as listener:
        wait_until(lambda: listener.is_listening, "the listener")
        with factory.database.begin() as session:
            session.execute(
                text("SELECT provisionerd.enqueue_build(:id, 'start')"), {"id": workspace.id}
            )
        assert rung.get(timeout=30) == "builds"


def test_one_worker_listens_at_a_time(factory: Factory) -> None:
    rung: Queue[str] = Queue()
    with listening(factory.database, rung) as first:
        wait_until(lambda: first.is_listening, "the listener")
        second = QueueListener(factory.database, ring=lambda _queue: True)
        second.listen()  # returns at once
    with listening(factory.database, rung) as third:
        wait_until(lambda: third.is_listening, "the next listener")


def test_a_notice_that_names_no_queue_is_not_rung_for(factory: Factory) -> None:
    rung: Queue[str] = Queue()
    with listening(factory.database, rung) as listener:
        wait_until(lambda: listener.is_listening, "the listener")
        for payload in ("builds:other", "", "builds"):
            with factory.database.begin() as session:
                session.execute(
                    text("SELECT pg_notify('provisionerd_queues', :payload)"), {"payload": payload}
                )
        assert rung.get(timeout=30) == "builds"
    assert rung.empty()

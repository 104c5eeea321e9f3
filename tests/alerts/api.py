"""What is done to a process of the HTTP API."""

from __future__ import annotations

import threading
import urllib.error
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.request import urlopen

from sqlalchemy import text

from tests.alerts.scene import Scene
from tests.harness.api.process import ApiProcess

ASK_S = 0.1
LATE = text("""
    WITH hook AS (
        INSERT INTO webhooks (created_by, url, secret)
        SELECT id, 'https://127.0.0.1/', 'secret' FROM users LIMIT 1
        RETURNING id
    )
    INSERT INTO webhook_deliveries (webhook_id, event_id, subject, body, created_at, next_at)
    SELECT id, 0, :subject, '{}', now() - interval '20 minutes', now() + interval '1 hour'
    FROM hook
""")


@contextmanager
def refused_by_database(scene: Scene) -> Iterator[None]:
    """PostgreSQL takes no connection of the API, while a client asks ten times a second."""
    stopping = threading.Event()
    with scene.api() as api:
        asking = threading.Thread(target=_ask, args=(api, stopping))
        asking.start()
        scene.proxy.refuse()
        try:
            yield
        finally:
            scene.proxy.heal()
            stopping.set()
            asking.join()


@contextmanager
def killed(scene: Scene) -> Iterator[None]:
    """The process is killed, and started again at the same address."""
    with scene.api() as api:
        api.kill()
        yield
        api.start()


@contextmanager
def late_event(scene: Scene) -> Iterator[None]:
    """An event waits for its webhook, as if it had happened twenty minutes ago."""
    scene.cluster.factory.any_workspace()
    with scene.api():
        with scene.database.begin() as session:
            session.execute(LATE, {"subject": uuid.uuid4()})
        yield
        with scene.database.begin() as session:
            session.execute(text("DELETE FROM webhooks"))


def _ask(api: ApiProcess, stopping: threading.Event) -> None:
    while not stopping.wait(ASK_S):
        with suppress(urllib.error.URLError, OSError):
            urlopen(f"{api.url}/api/v2/users/me?access_token={'a' * 10}-{'b' * 22}")

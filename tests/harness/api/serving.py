"""A server of the API in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.app import make_app
from api.server import make_server
from api.site import Site
from api.streams.hub import Hub
from cli.serve import bound_address, listening
from db.engine import Database
from tests.harness.waiting import wait_until


@contextmanager
def served(database: Database, *, redis_url: str, **facts: Any) -> Iterator[tuple[str, Site]]:
    """The URL of a running API on the database, and its site."""
    site = Site(database=database, redis_url=redis_url, hub=Hub(database), **facts)
    server = make_server(make_app(site))
    with listening("127.0.0.1:0") as sock:
        thread = threading.Thread(target=server.run, args=([sock],), name="api-server")
        thread.start()
        try:
            wait_until(lambda: server.started, "the API to start")
            yield f"http://{bound_address(sock)}", site
        finally:
            server.stop_soon()
            thread.join(30)

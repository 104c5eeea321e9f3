"""The server process: uvicorn with limits, and a shutdown that ends streams."""

from __future__ import annotations

from types import FrameType

import uvicorn
from fastapi import FastAPI

from api.patience import BoundedProtocol
from api.streams.hub import Hub

GRACE_S = 10
PING_S = 15.0
KEEP_ALIVE_S = 75
MAX_CONNECTIONS = 2000


class Server(uvicorn.Server):
    """A server that ends its streams when it is told to stop, so that clients resume elsewhere."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; called in the main thread, between two steps of the event loop."""
        self._hub.close_soon()
        super().handle_exit(sig, frame)

    def stop_soon(self) -> None:
        """Stop, from another thread."""
        self._hub.close_soon()
        self.should_exit = True


def make_server(app: FastAPI) -> Server:
    """Return the server of the application; it runs on sockets that listen already."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=BoundedProtocol,
        # Coder's client fails when it is offered an extension.
        ws="wsproto",
        ws_per_message_deflate=False,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_max_size=64 * 1024,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MAX_CONNECTIONS,
        h11_max_incomplete_event_size=64 * 1024,
    )
    return Server(config, app.state.site.hub)

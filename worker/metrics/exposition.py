"""Serves metrics and health over HTTP.

/metrics   the series of this worker, including all of its processes
/healthz   200 while the process can answer
/readyz    200 while the worker takes new builds, otherwise 503 with the reason
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from wsgiref.types import StartResponse

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from worker.metrics.boundedserver import BoundedServer, Request, Response, text_response
from worker.settings import SettingsError

log = structlog.get_logger("worker")

Readiness = Callable[[], str | None]
"""Returns why no new builds are taken, or None. It must be cheap: it is called often."""

SCRAPES = 2  #: that run at the same time
WAITING_SCRAPES = 8


def serve_metrics(
    address: str,
    *,
    registry: CollectorRegistry,
    readiness: Readiness,
    setting: str = "PROVISIONERD_METRICS_ADDRESS",
) -> BoundedServer:
    """Serve on ``address`` (HOST:PORT) from a separate thread.

    Args:
        setting: names the address, for the message of an error.

    Raises:
        SettingsError: the address cannot be read, or is in use.
    """
    host, port = _split(address, setting)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(
            f"metrics cannot be served at {address} ({error.strerror}); set"
            f" {setting} to a free HOST:PORT, or leave it empty to turn them off"
        ) from error
    return BoundedServer(sock, _Site(registry, readiness).answer)


def _split(address: str, setting: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise SettingsError(f"{setting} must be HOST:PORT, not {address!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


class _Site:
    """Answers requests. Health is answered at once, whatever a scrape waits for."""

    def __init__(self, registry: CollectorRegistry, readiness: Readiness) -> None:
        self._metrics = make_wsgi_app(registry)
        self._readiness = readiness
        self._scrapes = 0
        self._free = asyncio.Semaphore(SCRAPES)

    async def answer(self, request: Request) -> Response:
        """Return the answer to a request."""
        match request.path:
            case "/metrics":
                return await self._scrape(request)
            case "/healthz":
                return text_response(HTTPStatus.OK, "ok")
            case "/readyz":
                reason = self._readiness()
                status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
                return text_response(status, reason or "ok")
        return text_response(HTTPStatus.NOT_FOUND, "see /metrics, /healthz, /readyz")

    async def _scrape(self, request: Request) -> Response:
        if self._scrapes >= WAITING_SCRAPES:
            return text_response(HTTPStatus.SERVICE_UNAVAILABLE, "too many scrapes")
        self._scrapes += 1
        try:
            async with self._free:
                return await _in_thread(partial(self._collect, request))
        finally:
            self._scrapes -= 1

    def _collect(self, request: Request) -> Response:
        status = HTTPStatus.OK
        headers: dict[str, str] = {}

        def start(line: str, pairs: list[tuple[str, str]], _error: object = None) -> object:
            nonlocal status
            status = HTTPStatus(int(line.split(" ", maxsplit=1)[0]))
            headers.update(pairs)
            return None

        environment = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "HTTP_ACCEPT": request.headers.get("accept", ""),
            "HTTP_ACCEPT_ENCODING": request.headers.get("accept-encoding", ""),
        }
        take: StartResponse = start  # type: ignore[assignment]
        body = b"".join(self._metrics(environment, take))
        return Response(status=status, body=body, headers=headers)


async def _in_thread(act: Callable[[], Response]) -> Response:
    """Return what ``act`` returns. Its thread does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Response] = loop.create_future()

    def settle(response: Response) -> None:
        if not found.done():
            found.set_result(response)

    def run() -> None:
        try:
            response = act()
        except Exception:
            log.exception("metrics.failed")
            response = text_response(HTTPStatus.INTERNAL_SERVER_ERROR, "see the log")
        with suppress(RuntimeError):  # the server was stopped
            loop.call_soon_threadsafe(settle, response)

    threading.Thread(target=run, name="scrape", daemon=True).start()
    return await found

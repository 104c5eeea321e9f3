"""Serves metrics and health over HTTP.

/metrics   the series of this worker, including all of its processes
/healthz   200 while the process can answer
/readyz    200 while the worker takes new builds, otherwise 503 with the reason
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app

from worker.settings import SettingsError

Readiness = Callable[[], str | None]
"""Returns why no new builds are taken, or None. It must be cheap: it is called often."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: scrapes come every few seconds."""


@dataclass(frozen=True, kw_only=True)
class MetricsServer:
    """A running server."""

    server: WSGIServer

    @property
    def port(self) -> int:
        """The port that it listens on, also if port 0 was requested."""
        return int(self.server.server_port)

    def stop(self) -> None:
        """Stop the server and close its port."""
        self.server.shutdown()
        self.server.server_close()


def serve_metrics(
    address: str, *, registry: CollectorRegistry, readiness: Readiness
) -> MetricsServer:
    """Serve on ``address`` (HOST:PORT) from a separate thread.

    Raises:
        SettingsError: the address cannot be read, or is in use.
    """
    host, port = _split(address)
    try:
        server = make_server(
            host, port, _application(registry, readiness), _Server, handler_class=_Handler
        )
    except OSError as error:
        raise SettingsError(
            f"metrics cannot be served at {address} ({error.strerror}); set"
            " PROVISIONERD_METRICS_ADDRESS to a free HOST:PORT, or leave it empty to turn them off"
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return MetricsServer(server=server)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise SettingsError(f"PROVISIONERD_METRICS_ADDRESS must be HOST:PORT, not {address!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def _application(registry: CollectorRegistry, readiness: Readiness) -> WSGIApplication:
    metrics = make_wsgi_app(registry)

    def application(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environment.get("PATH_INFO", "")
        if path == "/metrics":
            answer: Iterable[bytes] = metrics(environment, start)
            return answer
        if path == "/healthz":
            return _answer(start, "200 OK", "ok")
        if path == "/readyz":
            reason = readiness()
            return _answer(start, "503 Service Unavailable" if reason else "200 OK", reason or "ok")
        return _answer(start, "404 Not Found", "see /metrics, /healthz, /readyz")

    return application


def _answer(start: StartResponse, status: str, text: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [text.encode() + b"\n"]

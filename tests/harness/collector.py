"""A collector of traces: takes spans by OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

from tests.harness.threads import serving


@dataclass(frozen=True, kw_only=True)
class Collector:
    """Where the collector listens and what came."""

    url: str
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector that listens until the end of the block."""
    came: list[bytes] = []

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(HTTPServer(("127.0.0.1", 0), Take)) as url:
        yield Collector(url=url, requests=came)

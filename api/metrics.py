"""The series of an API process, at /metrics of an address of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.streams.hub import Hub
from db.catalog.deliveries import oldest_delivery_s
from db.engine import Database
from worker.metrics.cached import Cached

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
NO_ROUTE = "none"
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class ApiMetrics:
    """The counters of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "provisionerd_api_requests",
            "Requests that were answered, by route and status; route is none if there is no such.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "provisionerd_api_request_seconds",
            "Time from the head of a request to the head of its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.webhooks = Counter(
            "provisionerd_webhook_attempts",
            "Attempts to deliver an event to a webhook, by whether it was accepted.",
            ["result"],
            registry=registry,
        )
        for result in ("accepted", "failed"):
            self.webhooks.labels(result)

    def count_webhook(self, is_accepted: bool) -> None:
        """Count an attempt to deliver an event."""
        self.webhooks.labels("accepted" if is_accepted else "failed").inc()


class HubCollector(Collector):
    """The followers of this process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        yield GaugeMetricFamily(
            "provisionerd_api_followers",
            "Clients that follow a log now.",
            value=self._hub.followers,
        )
        yield GaugeMetricFamily(
            "provisionerd_api_notices_received",
            "1 if PostgreSQL's notices arrive; 0 if followers are served by polling.",
            value=int(self._hub.is_pushed),
        )


class WebhookCollector(Collector):
    """The deliveries that wait, of all processes."""

    def __init__(self, database: Database) -> None:
        self._oldest_s = Cached[float](database, oldest_delivery_s, 0)

    def describe(self) -> Iterator[Metric]:
        """Name the series without asking the database."""
        yield _oldest(0)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge; the last good reading when the database is away."""
        yield _oldest(self._oldest_s.get())


def _oldest(seconds: float) -> Metric:
    return GaugeMetricFamily(
        "provisionerd_webhook_oldest_seconds",
        "Age of the oldest event that a webhook has neither accepted nor refused for good.",
        value=seconds,
    )


class Measuring:
    """Counts requests and their latency, by the template of the route."""

    def __init__(self, metrics: ApiMetrics) -> None:
        self._metrics = metrics

    async def handle(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        begun = time.perf_counter()

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, str(message["status"]), time.perf_counter() - begun)
            await send(message)

        await app(scope, receive, send_measured)

    def _count(self, scope: Scope, status: str, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        method = scope["method"] if scope["method"] in METHODS else NO_ROUTE
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)

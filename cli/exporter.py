"""``provisionerd exporter``: the metrics of the deployment as a whole."""

from __future__ import annotations

import signal
import threading

import click
from prometheus_client import CollectorRegistry

from cli.remote.server import needs_database
from worker.metrics.circuits import CircuitCollector
from worker.metrics.exposition import serve_metrics
from worker.metrics.queues import FleetCollector, QueueCollector
from worker.process.opening import open_services
from worker.settings import load_settings


@click.command()
@click.option(
    "--address",
    help="HOST:PORT to serve at (PROVISIONERD_METRICS_ADDRESS).",
)
def exporter(address: str | None) -> None:
    r"""Serve the metrics of queues, workers and unfinished jobs.

    Run one per deployment; each worker serves its own counters. The cost of a
    scrape does not grow with the number of finished jobs.

    \b
    Example:
        provisionerd exporter --address 0.0.0.0:2113
    """
    needs_database()
    settings = load_settings()
    with open_services(settings.servers) as services:
        registry = CollectorRegistry()
        registry.register(QueueCollector(services.database))
        registry.register(CircuitCollector(services.database))
        registry.register(FleetCollector(services.database, lease_s=settings.lease_seconds))
        server = serve_metrics(
            address or settings.metrics_address, registry=registry, readiness=lambda: None
        )
        click.echo(f"Serving /metrics on port {server.port}.", err=True)
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        stopping.wait()
        server.stop()

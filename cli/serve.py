"""``provisionerd serve``: the HTTP API."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network

import click
from prometheus_client import CollectorRegistry

from api.app import make_app
from api.limits import Rate
from api.metrics import ApiMetrics, HubCollector, WebhookCollector
from api.server import make_server
from api.site import Site
from api.streams.hub import Hub
from api.webhooks.sender import WebhookSender
from cli.remote.server import needs_database
from db.engine import Database
from worker.metrics.exposition import serve_metrics
from worker.process.opening import open_services
from worker.process.telemetry import configure_logging
from worker.settings import LogFormat, Settings, load_settings


@click.command()
@click.option("--address", help="HOST:PORT to serve at (PROVISIONERD_API_ADDRESS).")
def serve(address: str | None) -> None:
    r"""Serve an HTTP API that follows Coder's.

    Run as many as you like, behind a proxy with TLS. PostgreSQL and Redis are
    started in PROVISIONERD_DATA_DIR unless their URLs are set.

    \b
    Example:
        provisionerd serve --address 0.0.0.0:7080
        provisionerd token create --user alice
        coder login http://127.0.0.1:7080 --token TOKEN
    """
    needs_database()
    settings = load_settings()
    is_json = settings.log_format is LogFormat.JSON
    configure_logging(log_level=settings.log_level, as_json=is_json)
    with open_services(settings.servers) as services:
        site = make_site(settings, services.database, redis_url=services.redis_url)
        with listening(address or settings.api_address) as sock:
            click.echo(f"Serving the API at http://{bound_address(sock)}", err=True)
            registry = CollectorRegistry()
            metrics = ApiMetrics(registry)
            registry.register(HubCollector(site.hub))
            registry.register(WebhookCollector(services.database))
            sender = WebhookSender(
                services.database,
                retention=settings.retention,
                allowed=[ip_network(network) for network in settings.webhook_networks],
                attempted=metrics.count_webhook,
            )
            sender.start()
            try:
                with metrics_served(settings.api_metrics_address, registry):
                    make_server(make_app(site, metrics)).run(sockets=[sock])
            finally:
                sender.stop()


@contextmanager
def metrics_served(address: str, registry: CollectorRegistry) -> Iterator[None]:
    """Serve /metrics while the block runs, unless the address is empty."""
    if not address:
        yield
        return
    server = serve_metrics(
        address,
        registry=registry,
        readiness=lambda: None,
        setting="PROVISIONERD_API_METRICS_ADDRESS",
    )
    try:
        yield
    finally:
        server.stop()


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """Yield a socket that listens at HOST:PORT.

    Raises:
        click.ClickException: it cannot; the message says why.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, int(port)), family=family, backlog=2048)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "it is not HOST:PORT"
        raise click.ClickException(
            f"the API cannot listen at {address} ({reason}); set PROVISIONERD_API_ADDRESS"
        ) from error
    with sock:
        # Connections inherit it. asyncio does not set it, since the socket does not name TCP; the
        # second packet of each answer would wait 40 milliseconds for the client's acknowledgment.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


def bound_address(sock: socket.socket) -> str:
    """Return where a socket listens, as HOST:PORT."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def make_site(settings: Settings, database: Database, *, redis_url: str) -> Site:
    """Return what the requests of an API process share."""
    return Site(
        database=database,
        redis_url=redis_url,
        hub=Hub(database),
        access_url=settings.access_url or "",
        trusted_proxies=tuple(ip_network(network) for network in settings.trusted_proxies),
        rate=Rate(settings.api_requests_per_minute),
        streams_per_token=settings.api_streams_per_token,
    )

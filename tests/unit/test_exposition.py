"""Addresses that metrics cannot be served at are one sentence for the operator."""

from __future__ import annotations

import socket

import pytest
from prometheus_client import CollectorRegistry

from worker.metrics.exposition import serve_metrics
from worker.settings import SettingsError


def serve(address: str) -> None:
    server = serve_metrics(address, registry=CollectorRegistry(), readiness=lambda: None)
    server.stop()


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:\u00b2"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^PROVISIONERD_METRICS_ADDRESS must be HOST:P"):
        serve(address)


def test_an_address_that_is_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SettingsError, match=f"^metrics cannot be served at {address} "):
            serve(address)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "0", "localhost:0"])
def test_an_address_that_is_free_is_served(address: str) -> None:
    serve(address)

"""A broker with TLS must show a certificate that is vouched for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.harness.redis_server import running_redis
from tests.harness.tls import make_certificate, tls_before
from worker.app import app
from worker.broker.address import broker_url, with_ca_file
from worker.broker.client import BrokerClient
from worker.broker.errors import BROKER_AWAY
from worker.broker.server import read_server


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A Redis with TLS."""

    url: str
    certificate: Path


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(folder)
    with (
        running_redis(folder) as server,
        tls_before(("127.0.0.1", server.port), certificate, key) as port,
    ):
        yield Broker(url=f"rediss://127.0.0.1:{port}/0", certificate=certificate)


def test_doorbells_are_rung_at_a_broker_whose_certificate_the_file_vouches_for(
    broker: Broker,
) -> None:
    client = BrokerClient(with_ca_file(broker.url, broker.certificate))
    client.publish("builds")
    assert client.count("builds") == 1


def test_no_doorbell_is_rung_at_a_broker_that_nobody_vouches_for(broker: Broker) -> None:
    with pytest.raises(BROKER_AWAY):
        BrokerClient(broker.url).publish("builds")


def test_a_worker_takes_no_messages_from_a_broker_that_nobody_vouches_for(broker: Broker) -> None:
    with (
        app.connection_for_read(broker_url(broker.url)) as connection,
        pytest.raises(BROKER_AWAY),
    ):
        connection.ensure_connection(max_retries=1, interval_start=0)


def test_a_doctor_checks_the_certificate_too(broker: Broker) -> None:
    assert read_server(with_ca_file(broker.url, broker.certificate))["redis_version"]
    with pytest.raises(redis.ConnectionError, match="certificate"):
        read_server(broker.url)

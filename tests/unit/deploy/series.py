"""The series that our processes serve, with their labels, and those that queries name."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from api.metrics import ApiMetrics, HubCollector, WebhookCollector
from api.streams.hub import Hub
from db.engine import Database
from tests.unit.deploy.files import DEPLOY, read_yaml
from worker.metrics.circuits import CircuitCollector
from worker.metrics.queues import FleetCollector, QueueCollector
from worker.metrics.series import Metrics
from worker.metrics.servers import ServerCollector, server_probes

SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}
OF_EVERY_TARGET = frozenset({"instance", "job"})
NAME = re.compile(r"(?<![\w:$\"])(?:\w+:)?provisionerd_\w+(?::\w+)?")
SELECTOR = re.compile(r"((?:\w+:)?provisionerd_\w+(?::\w+)?)\s*\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


@functools.cache
def served_series() -> Mapping[str, frozenset[str]]:
    """Return every series that one of our processes serves, with its own labels."""
    return dict(_counted()) | dict(_queried())


@functools.cache
def recorded_series() -> frozenset[str]:
    """Return what the recording rules write."""
    return frozenset(rule["record"] for rule in rules() if "record" in rule)


@functools.cache
def rules() -> list[dict[str, Any]]:
    """Return all recording and alert rules."""
    return [
        rule
        for path in sorted((DEPLOY / "prometheus/rules").glob("*.yaml"))
        for document in read_yaml(path)
        for group in document["groups"]
        for rule in group["rules"]
    ]


def named_series(query: str) -> frozenset[str]:
    """Return the series of ours that a query names."""
    return frozenset(NAME.findall(query))


def unknown_labels(query: str) -> list[str]:
    """Return the labels that a query selects by and that the series does not have."""
    served = served_series()
    return [
        f"{series}{{{label}}}"
        for series, matchers in SELECTOR.findall(query)
        for label in MATCHER.findall(matchers)
        if series in served and label not in served[series] | OF_EVERY_TARGET | _of_buckets(series)
    ]


def _of_buckets(series: str) -> frozenset[str]:
    return frozenset({"le"}) if series.endswith("_bucket") else frozenset()


def _counted() -> Iterator[tuple[str, frozenset[str]]]:
    counters = (Metrics(CollectorRegistry()), ApiMetrics(CollectorRegistry()))
    own = [
        value
        for metrics in counters
        for value in vars(metrics).values()
        if isinstance(value, MetricWrapperBase)
    ]
    for metric in own:
        assert metric._type is not None
        for suffix in SUFFIXES[metric._type]:
            yield f"{metric._name}{suffix}", frozenset(metric._labelnames)


def _queried() -> Iterator[tuple[str, frozenset[str]]]:
    no_database = cast("Database", None)  # describing asks nothing
    servers = ServerCollector(server_probes(database_url="", redis_url="redis://"))
    for families in (
        QueueCollector(no_database).describe(),
        CircuitCollector(no_database).describe(),
        FleetCollector(no_database, lease_s=20).describe(),
        servers.collect(),
        HubCollector(Hub(no_database)).collect(),
        WebhookCollector(no_database).describe(),
    ):
        for family in families:
            yield family.name, frozenset(cast("Any", family)._labelnames)

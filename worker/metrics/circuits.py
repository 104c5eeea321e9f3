"""The metric of open circuits, read by SQL. Workers and the exporter serve the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from db.engine import Database
from db.reads.circuits import CircuitListing, list_circuits
from worker.metrics.cached import Cached

MOST = 100
"""Series that are shown at the most: those with the last failures."""


class CircuitCollector(Collector):
    """Reads the circuits that are open or half-open on each scrape."""

    def __init__(self, database: Database) -> None:
        self._cached = Cached[Sequence[CircuitListing]](database, _read, ())

    def describe(self) -> Iterator[Metric]:
        """Name the series without asking the database."""
        return iter([_family(())])

    def collect(self) -> Iterator[Metric]:
        """Return the series; the ones of the last good reading when the database is away."""
        return iter([_family(self._cached.get())])


def _read(session: Session) -> Sequence[CircuitListing]:
    return list_circuits(session, limit=MOST, is_opened=True)


def _family(circuits: Sequence[CircuitListing]) -> Metric:
    family = GaugeMetricFamily(
        "provisionerd_circuit_open",
        "1 while starts of a template version are refused because they keep failing; at most 100.",
        labels=("organization", "template", "version", "reason"),
    )
    for circuit in circuits:
        labels = (circuit.organization, circuit.template, circuit.version, circuit.reason)
        family.add_metric(labels, 1)
    return family

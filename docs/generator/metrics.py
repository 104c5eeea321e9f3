"""The page of metrics, from the collectors themselves."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from db.engine import open_database
from worker.doorbell import PUBLISH_FAILURES
from worker.metrics import Metrics
from worker.queuemetrics import QueueCollector

INTRODUCTION = """\
# Metrics

What a worker shows at `/metrics`. Made from the collectors in `worker/` by `make generate`. No
label carries a user, workspace or job name: such series never end. Beside these stand those that
the Prometheus client brings along (`process_*`, `python_*`).

| name | type | labels | meaning |
| --- | --- | --- | --- |
"""


def page() -> str:
    """Return the page."""
    rows = [*_own(), *_of_queues()]
    return INTRODUCTION + "".join(sorted(rows))


def _own() -> Iterator[str]:
    made = vars(Metrics(CollectorRegistry())).values()
    for metric in (*made, PUBLISH_FAILURES):
        if isinstance(metric, MetricWrapperBase):
            [family] = metric.describe()
            # The client has no public name for a collector's labels.
            labels = metric._labelnames  # noqa: SLF001
            yield _row(family.name, family.type, labels, family.documentation)


def _of_queues() -> Iterator[str]:
    # Describing does not connect.
    for family in QueueCollector(open_database("postgresql://")).describe():
        labels = tuple(family.samples[0].labels)
        yield _row(family.name, family.type, labels, family.documentation)


def _row(name: str, kind: str, labels: tuple[str, ...], meaning: str) -> str:
    # The client shows a counter as NAME_total, whatever it was called.
    shown = f"{name}_total" if kind == "counter" else name
    return f"| `{shown}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |\n"

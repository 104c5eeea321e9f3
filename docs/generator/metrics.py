"""The page of metrics, from the collectors themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from db.engine import open_database
from db.schema.enums import FailureReason
from worker.metrics.circuits import CircuitCollector
from worker.metrics.queues import FleetCollector, QueueCollector
from worker.metrics.series import Metrics
from worker.metrics.servers import ServerCollector, server_probes

INTRODUCTION = """\
# Metrics

`make generate` makes this page from the collectors in `worker/`. No label has the name of a user, a
workspace or a job, because their number is not limited.

A failed job is counted once, by the process that wrote its row: the worker that ran it, the one
that took it from a lost worker, or the one that failed it because it had waited too long. Canceled
jobs do not count as failures. Counters belong to one process and start at 0 with it, so query
`increase` and `rate`, summed over all workers. With the prefork pool, the counters of all processes
of a worker are added up, including those of children that died; gauges only include live processes.
"""

WORKER = """\
## Of a worker

At `/metrics` of each worker. In addition to these, there are the series that the Prometheus client
includes in the threads pool (`process_*`, `python_*`). The series of queues come from SQL, and
every worker serves the same. A worker counts at most the 1,000 jobs of each queue that are claimed
next, so that many workers can be scraped while many jobs wait. The exporter counts all of them.
"""

EXPORTER = """\
## Of the exporter

At `/metrics` of `provisionerd exporter`, which runs once in each deployment. All series come from
SQL: those of queues, with every pending job, and the ones below. The cost of a scrape does not grow
with the number of finished jobs. Scrapes within two seconds of each other share one reading.
"""

REASONS = """\
## Reasons

The label `reason` of `provisionerd_job_failures_total`, and the column `failure_reason` of
`provisioner_jobs`. It is for operators and not part of the contract: callers see `error_code`,
which is `INSUFFICIENT_QUOTA`, `MISSING_TEMPLATE_PARAMETER`, `REQUIRED_TEMPLATE_VARIABLES` or
nothing (`none` in the label).

| reason | meaning |
| --- | --- |
"""

TABLE = """
| name | type | labels | meaning |
| --- | --- | --- | --- |
"""

MEMBER = re.compile(r'^\s+\w+ = "(\w+)"  #: (.+)$', re.MULTILINE)


def page() -> str:
    """Return the page."""
    # Describing does not connect.
    database = open_database("postgresql://")
    queues = [*QueueCollector(database).describe(), *CircuitCollector(database).describe()]
    servers = ServerCollector(server_probes(database_url="", redis_url="redis://")).collect()
    fleet = FleetCollector(database, lease_s=0).describe()
    parts = (
        INTRODUCTION,
        WORKER + TABLE + _table([*_counted(), *map(_queried, [*queues, *servers])]),
        EXPORTER + TABLE + _table(map(_queried, fleet)),
        REASONS + "".join(f"| `{reason}` | {text} |\n" for reason, text in reasons()),
    )
    return "\n".join(parts)


def reasons() -> list[tuple[str, str]]:
    """Return every reason with the text of its comment."""
    return MEMBER.findall(inspect.getsource(FailureReason))


def _table(rows: Iterable[str]) -> str:
    return "".join(sorted(rows))


def _counted() -> Iterator[str]:
    for metric in vars(Metrics(CollectorRegistry())).values():
        if isinstance(metric, MetricWrapperBase):
            [family] = metric.describe()
            # The client has no public name for a collector's labels.
            labels = metric._labelnames  # noqa: SLF001
            yield _row(family.name, family.type, labels, family.documentation)


def _queried(family: Metric) -> str:
    labels: tuple[str, ...] = getattr(family, "_labelnames", ())
    return _row(family.name, family.type, labels, family.documentation)


def _row(name: str, kind: str, labels: Iterable[str], meaning: str) -> str:
    # The client always shows a counter as NAME_total.
    shown = f"{name}_total" if kind == "counter" else name
    return f"| `{shown}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |\n"

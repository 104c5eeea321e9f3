"""Spans of a real worker reach a collector, in both pools."""

from __future__ import annotations

import signal

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from db.schema.enums import JobStatus
from tests.harness.cluster import Cluster
from tests.harness.collector import Collector, running_collector
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker

STEPS = {"set_up", "init", "plan", "commit_quota", "apply", "complete"}


def traces(collector: Collector) -> dict[bytes, set[str]]:
    """Return the names of the spans that came, by trace."""
    found: dict[bytes, set[str]] = {}
    for request in list(collector.requests):
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    found.setdefault(span.trace_id, set()).add(span.name)
    return found


def run_traced_build(cluster: Cluster, collector: Collector, pool: str) -> Worker:
    """Start a worker that traces, run a build, and return the worker."""
    # Not in the environment of this process, whose enqueueing would then be traced as well.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("NO_PROXY", "127.0.0.1")
        # It has to send what is left when it ends, and not because it is time.
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        worker = cluster.start_worker("traced", pool=pool, concurrency=2)
    assert cluster.build(cluster.workspace("plain"))["status"] == JobStatus.SUCCEEDED
    return worker


def end(worker: Worker) -> None:
    worker.send(signal.SIGTERM)
    wait_until(worker.has_ended, "the worker's end")


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_sends_its_spans_before_it_ends(cluster: Cluster, pool: str) -> None:
    with running_collector() as collector:
        end(run_traced_build(cluster, collector, pool))

    assert list(traces(collector).values()) == [STEPS | {"run build"}]


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_collector_that_is_away_keeps_no_worker_from_ending(cluster: Cluster, pool: str) -> None:
    with running_collector() as collector:
        worker = run_traced_build(cluster, collector, pool)

    end(worker)

    assert worker.process.returncode == 0

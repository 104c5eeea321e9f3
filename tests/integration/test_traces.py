"""One trace for each build, from its enqueueing to its end, as OpenTelemetry's own SDK sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from db.catalog.builds import EnqueuedBuild
from db.engine import Database
from db.jobs.mover import Mover
from db.jobs.transitions import ClaimedJob
from db.schema.enums import JobStatus, ProvisionerType, Transition
from db.schema.tables import Workspace
from provisioner.build.attempt import BuildSettings
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from provisioner.engines.port import Applied, BuildContext, Engine, Plan
from provisioner.host.interrupt import Interrupt, InterruptReason
from tests.harness.collector import Collector, running_collector
from tests.harness.factory import Factory
from worker.enqueue import enqueue_build
from worker.settings import SettingsError
from worker.tracing.spans import SpanTracer
from worker.tracing.traces import NoTraces, tracer_maker

STEPS = ["set_up", "init", "plan", "commit_quota", "apply", "complete"]


class Traced:
    """Enqueues and runs builds with a tracer whose spans are kept."""

    def __init__(self, factory: Factory, work_root: Path) -> None:
        self.factory = factory
        self.work_root = work_root
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = SpanTracer(self.provider)
        self.engine: Engine = EchoEngine()

    def enqueue(self, workspace: Workspace, **arguments: Any) -> EnqueuedBuild:
        with self.factory.database.begin() as session:
            return enqueue_build(
                session,
                workspace_id=workspace.id,
                transition=Transition.START,
                ring=lambda _queue: True,
                tracer=self.tracer,
                **arguments,
            )

    def run(self, interrupt: Interrupt | None = None) -> ClaimedJob:
        job = self.factory.claim()
        assert job is not None
        runner = Runner(
            mover=Mover(database=self.factory.database, listeners=[self.tracer.moved]),
            engines={ProvisionerType.ECHO: self.engine},
            settings=BuildSettings(work_root=self.work_root, host_environment={}),
            tracer=self.tracer,
        )
        runner.run(job, interrupt or Interrupt())
        return job

    def build(self, script: Mapping[str, Any] | None = None) -> ClaimedJob:
        self.enqueue(self.factory.any_workspace(allowance=100, script=script))
        return self.run()

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def span(self, name: str) -> ReadableSpan:
        (found,) = self.named(name)
        return found


@pytest.fixture
def traced(factory: Factory, tmp_path: Path) -> Iterator[Traced]:
    made = Traced(factory, tmp_path / "work")
    yield made
    made.provider.shutdown()


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def trace_ids(spans: list[ReadableSpan]) -> set[int]:
    return {span.context.trace_id for span in spans if span.context}


def test_a_build_is_one_trace_from_enqueue_to_complete(traced: Traced) -> None:
    traced.build()

    assert [span.name for span in traced.spans] == ["enqueue build", *STEPS, "run build"]
    assert len(trace_ids(traced.spans)) == 1


def test_the_attempt_is_a_child_of_the_enqueueing_and_the_steps_of_the_attempt(
    traced: Traced,
) -> None:
    traced.build()

    enqueued, attempt = traced.span("enqueue build"), traced.span("run build")
    assert parent_of(enqueued) is None
    assert parent_of(attempt) == id_of(enqueued)
    assert {parent_of(traced.span(step)) for step in STEPS} == {id_of(attempt)}


def test_the_spans_say_who_produced_and_who_consumed(traced: Traced) -> None:
    traced.build()

    assert traced.span("enqueue build").kind is SpanKind.PRODUCER
    assert traced.span("run build").kind is SpanKind.CONSUMER


def test_the_context_is_carried_on_the_row(traced: Traced, factory: Factory) -> None:
    job = traced.build()

    carrier = factory.job(job.id).trace_metadata
    context = traced.span("enqueue build").context
    assert context is not None
    assert carrier is not None
    assert carrier["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


def test_the_enqueueing_is_a_child_of_the_caller_s_span(traced: Traced) -> None:
    workspace = traced.factory.any_workspace()
    with traced.provider.get_tracer("api").start_as_current_span("POST /builds") as request:
        traced.enqueue(workspace)
    traced.run()

    assert parent_of(traced.span("enqueue build")) == request.get_span_context().span_id
    assert len(trace_ids(traced.spans)) == 1


def test_a_context_that_the_caller_gives_is_the_parent(traced: Traced) -> None:
    given = {"traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}
    traced.enqueue(traced.factory.any_workspace(), trace_metadata=given)
    traced.run()

    assert parent_of(traced.span("run build")) == 0x0123456789ABCDEF


@pytest.mark.parametrize(
    "carrier",
    [
        pytest.param(None, id="none"),
        pytest.param({"traceparent": "nonsense"}, id="nonsense"),
        pytest.param({"traceparent": 7, "other": ["x"]}, id="no text"),
    ],
)
def test_a_build_without_a_usable_context_has_a_trace_of_its_own(
    traced: Traced, factory: Factory, database: Database, carrier: Mapping[str, Any] | None
) -> None:
    workspace = factory.any_workspace()
    with database.begin() as session:
        enqueue_build(
            session,
            workspace_id=workspace.id,
            transition=Transition.START,
            ring=lambda _queue: True,
            trace_metadata=dict(carrier) if carrier else None,
            tracer=NoTraces(),
        )
    job = traced.run()

    assert factory.status(job.id) is JobStatus.SUCCEEDED
    assert parent_of(traced.span("run build")) is None


def test_the_attempt_says_how_the_job_ended(traced: Traced) -> None:
    job = traced.build()

    facts = traced.span("run build").attributes or {}
    assert facts["provisionerd.job.id"] == str(job.id)
    assert facts["provisionerd.job.status"] == "succeeded"
    assert traced.span("run build").status.status_code is StatusCode.UNSET


def test_an_error_is_recorded_on_its_step_and_on_the_attempt(traced: Traced) -> None:
    traced.build({"plan": {"error": "no such image"}})

    assert traced.span("plan").status.status_code is StatusCode.ERROR
    assert [event.name for event in traced.span("plan").events] == ["exception"]
    assert traced.span("run build").status.description == "no such image"
    assert [span.name for span in traced.spans if span.name in STEPS] == [
        "set_up",
        "init",
        "plan",
        "complete",
    ]


def test_a_refusal_by_quota_has_its_code(traced: Traced) -> None:
    traced.build({"plan": {"daily_cost": 101}})

    facts = traced.span("run build").attributes or {}
    assert facts["provisionerd.job.error_code"] == "INSUFFICIENT_QUOTA"
    assert facts["provisionerd.job.failure_reason"] == "quota"
    assert traced.span("commit_quota").status.status_code is StatusCode.ERROR


class DrainingEngine(EchoEngine):
    """Is told to hurry when it plans for the first time."""

    def __init__(self, interrupt: Interrupt) -> None:
        super().__init__()
        self.interrupt = interrupt

    def plan(self, context: BuildContext) -> Plan:
        self.interrupt.request(InterruptReason.DRAIN)
        return super().plan(context)


def test_a_run_after_a_drain_is_a_second_span_in_the_same_trace(traced: Traced) -> None:
    interrupt = Interrupt()
    traced.enqueue(traced.factory.any_workspace())
    traced.engine = DrainingEngine(interrupt)
    traced.run(interrupt)
    traced.engine = EchoEngine()
    traced.run()

    attempts = traced.named("run build")
    assert [(span.attributes or {})["provisionerd.job.attempt"] for span in attempts] == [1, 1]
    assert {parent_of(span) for span in attempts} == {id_of(traced.span("enqueue build"))}
    assert len(trace_ids(traced.spans)) == 1


class WatchedEngine(EchoEngine):
    """Keeps the environment of each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.environments: dict[str, Mapping[str, str]] = {}

    def plan(self, context: BuildContext) -> Plan:
        self.environments["plan"] = context.environment
        return super().plan(context)

    def apply(self, context: BuildContext) -> Applied:
        self.environments["apply"] = context.environment
        return super().apply(context)


@pytest.mark.parametrize("step", ["plan", "apply"])
def test_terraform_is_told_the_span_that_it_runs_in(traced: Traced, step: str) -> None:
    traced.engine = engine = WatchedEngine()
    traced.build()

    context = traced.span(step).context
    assert context is not None
    told = engine.environments[step]["TRACEPARENT"]
    assert told.startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


def test_without_a_tracer_rows_and_environments_say_nothing_of_traces(
    factory: Factory, traced: Traced
) -> None:
    traced.tracer = NoTraces()  # type: ignore[assignment]
    traced.engine = engine = WatchedEngine()
    job = traced.build()

    assert factory.job(job.id).trace_metadata is None
    assert "TRACEPARENT" not in engine.environments["apply"]


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, id="empty"),
        pytest.param({"PROVISIONERD_TRACES": "false"}, id="off"),
        pytest.param(
            {"PROVISIONERD_TRACES": "false", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
            id="off above an endpoint",
        ),
    ],
)
def test_nothing_is_traced_unless_asked_for(environment: Mapping[str, str]) -> None:
    assert tracer_maker(environment) is NoTraces


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"PROVISIONERD_TRACES": "true"}, id="setting"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, id="endpoint"),
        pytest.param({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, id="traces"),
    ],
)
def test_spans_are_exported_when_asked_for(environment: Mapping[str, str]) -> None:
    assert tracer_maker(environment) is not NoTraces


def test_a_wish_that_is_none_is_refused() -> None:
    with pytest.raises(
        SettingsError, match="PROVISIONERD_TRACES must be true or false, not 'perhaps'"
    ):
        tracer_maker({"PROVISIONERD_TRACES": "perhaps"})


def in_a_process(code: str, **environment: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout.strip()


# The Redis client imports the API for metrics of its own, when that is installed.
LOADED = """
import sys
names = ('worker.tracing.spans', 'opentelemetry.exporter')
print([n for n in sys.modules if n.startswith(names)])
"""
WITHOUT = "import sys; sys.modules['opentelemetry.exporter'] = None;"


def test_nothing_is_imported_unless_asked_for() -> None:
    code = f"import worker.tracing.traces as t, worker.app; t.process_tracer()\n{LOADED}"

    assert in_a_process(code, OTEL_EXPORTER_OTLP_ENDPOINT="") == "[]"


def test_without_the_extra_an_endpoint_alone_traces_nothing() -> None:
    code = f"{WITHOUT} import worker.tracing.traces as t; print(type(t.process_tracer()).__name__)"

    said = in_a_process(code, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")

    assert said.splitlines()[-1] == "NoTraces"


def test_without_the_extra_the_setting_is_refused_with_what_to_install() -> None:
    code = f"""{WITHOUT}
import worker.tracing.traces as t
try:
    t.process_tracer()
except t.SettingsError as error:
    print(error)
"""

    assert "install provisionerd[otel]" in in_a_process(code, PROVISIONERD_TRACES="true")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


EXPORT = """
import os, worker.tracing.traces as t
from db.schema.enums import Transition
{before}
with t.process_tracer().enqueue(Transition.START):
    pass
t.process_tracer().close()
{after}
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("", "", id="one process"),
        pytest.param(
            "t.process_tracer(); child = os.fork()\nif child: os.waitpid(child, 0); os._exit(0)",
            "os._exit(0)",
            id="forked after the parent traced",
        ),
    ],
)
def test_spans_reach_the_collector_before_the_process_ends(
    collector: Collector, before: str, after: str
) -> None:
    in_a_process(
        EXPORT.format(before=before, after=after),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        NO_PROXY="127.0.0.1",
    )

    assert b"enqueue build" in b"".join(collector.requests)
    assert b"provisionerd" in b"".join(collector.requests)


def test_the_operator_names_the_service(collector: Collector) -> None:
    in_a_process(
        EXPORT.format(before="", after=""),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_SERVICE_NAME="builds-of-berlin",
        NO_PROXY="127.0.0.1",
    )

    assert b"builds-of-berlin" in b"".join(collector.requests)

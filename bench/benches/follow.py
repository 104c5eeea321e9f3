"""How soon a follower gets the first line of a log, and how soon it learns of the end."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import celery
import httpx
from rich.console import Console
from sqlalchemy import text

from bench.measure import Result, quantile
from bench.services import Services
from chattool.settings import ToolSettings
from chattool.waiting import Waiting, report_nothing
from cli.waiting import View, follow_job
from db.catalog.builds import EnqueuedBuild
from db.catalog.people import set_site_roles
from db.catalog.tokens import create_token
from db.jobs.transitions import cancel_job
from db.reads.contract import ProvisionerJobLog
from db.reads.waking import Watch, listening
from db.schema.enums import Transition
from db.schema.tables import User, Workspace
from tests.harness.api.process import ApiProcess
from worker.enqueue import enqueue_build

BUILDS = 25
# It goes on until it is canceled: the log of a build of milliseconds is stored with its end.
SCRIPT = {"plan": {"logs": [{"output": "planned"}]}, "apply": {"wait": True}}
BARE = "theirs: publish to start of a Celery task, plus one INSERT"
RUNS_S = 0.1  #: how long a build goes on after its first line

Follow = Callable[[EnqueuedBuild, "Heard"], None]


@dataclass(kw_only=True)
class Heard:
    """When a follower heard of what, as seconds since the epoch."""

    first_line: threading.Event = field(default_factory=threading.Event)
    first_line_at: float = 0
    ended_at: float = 0

    def line(self) -> None:
        """Note a line."""
        if not self.first_line.is_set():
            self.first_line_at = time.time()
            self.first_line.set()


@dataclass(kw_only=True)
class Stamped(View):
    """A view of a command that notes when it prints a line."""

    heard: Heard

    def print_line(self, line: ProvisionerJobLog) -> None:
        """Print the line and note the time."""
        super().print_line(line)
        self.heard.line()


def run(services: Services, rounds: int = BUILDS) -> list[Result]:
    workspace = services.factory.any_workspace(allowance=100, script=SCRIPT)
    bare: list[float] = []
    with (
        # By a renewal a worker learns of a cancel.
        services.worker(concurrency=4, renew_seconds=0.5),
        services.celery("bench.noop", concurrency=4),
        _api(services, workspace) as over_api,
        listening(services.database) as waker,
    ):
        from bench.noop import stamp  # imported late: it reads the broker's URL

        def at_command(build: EnqueuedBuild, heard: Heard) -> None:
            view = Stamped(console=Console(file=io.StringIO()), heard=heard)
            follow_job(services.database, build.job_id, view)

        def at_tool(build: EnqueuedBuild, _heard: Heard) -> None:
            watch = Watch(waker)
            waiting = Waiting(services.database, ToolSettings(), watch, report_nothing)
            waiting.for_job(build.job_id)

        followers = {"a command": at_command, "the HTTP API": over_api, "a tool": at_tool}
        lines: dict[str, list[float]] = {name: [] for name in followers}
        ended: dict[str, list[float]] = {name: [] for name in followers}
        for index in range(rounds + 1):
            for name, follow in followers.items():
                line_s, end_s = _follow(services, workspace.id, follow)
                if index:  # warm now
                    lines[name].append(line_s)
                    ended[name].append(end_s)
            task_s = _task(services, stamp)
            if index:
                bare.append(task_s)
    del lines["a tool"]  # it reads none
    first = [
        _result(f"commit of an enqueue to the first log line at {name}, p50", lines[name], 40, 15)
        for name in lines
    ]
    ends = [
        _result(f"the end of a build to {name} that waits for it, p50", ended[name], 50, 20)
        for name in ended
    ]
    return [replace(row, theirs=quantile(bare, 0.5) * 1000, note=BARE) for row in first] + ends


def _result(what: str, times_s: Sequence[float], reach_ms: int, aim_ms: int) -> Result:
    return Result(
        bench="follow",
        what=what,
        unit="ms",
        ours=quantile(times_s, 0.5) * 1000,
        reach=f"<= {reach_ms}",
        aim=f"<= {aim_ms}",
        rounds=len(times_s),
    )


def _follow(services: Services, workspace_id: uuid.UUID, follow: Follow) -> tuple[float, float]:
    """Follow one build; return the delays of its first line (0 without a log) and of its end."""
    with services.database.begin() as session:
        build = enqueue_build(session, workspace_id=workspace_id, transition=Transition.START)
        committed = session.execute(
            text("SELECT extract(epoch FROM clock_timestamp())::float")
        ).scalar_one()
    heard = Heard()

    def listen() -> None:
        follow(build, heard)
        heard.ended_at = time.time()

    with ThreadPoolExecutor(1) as threads:
        follower = threads.submit(listen)
        heard.first_line.wait(1.0)  # a tool reads no lines
        time.sleep(RUNS_S)
        with services.database.begin() as session:
            cancel_job(session, job_id=build.job_id)
        follower.result()
    with services.database.begin() as session:
        query = text(
            "SELECT extract(epoch FROM completed_at)::float FROM provisioner_jobs WHERE id = :id"
        )
        completed = session.execute(query, {"id": build.job_id}).scalar_one()
    return heard.first_line_at - committed, heard.ended_at - completed


@contextmanager
def _api(services: Services, workspace: Workspace) -> Iterator[Follow]:
    """Run the HTTP API; yield what follows a build by server-sent events."""
    with services.database.begin() as session:
        set_site_roles(session, session.get_one(User, workspace.owner_id), ["owner"])
        token = create_token(session, user_id=workspace.owner_id).text
    headers = {"Coder-Session-Token": token, "Accept": "text/event-stream"}
    server = ApiProcess(environment=services.environment())
    server.start()

    def follow(build: EnqueuedBuild, heard: Heard) -> None:
        url = f"{server.url}/api/v2/workspacebuilds/{build.build_id}/logs"
        with client.stream("GET", url, params={"follow": ""}) as answer:
            for line in answer.iter_lines():
                if line.startswith("event: log"):
                    heard.line()

    try:
        with httpx.Client(headers=headers, timeout=60) as client:
            yield follow
    finally:
        server.kill()


def _task(services: Services, stamp: celery.Task) -> float:
    """Return the time from publishing a task to its start, plus that of an INSERT."""
    published = time.time()
    stamp.delay()
    started = float(services.pop("noop.stamp"))
    begun = time.perf_counter()
    with services.database.begin() as session:
        session.execute(
            text(
                "INSERT INTO provisioner_job_logs"
                " (job_id, created_at, source, level, stage, output)"
                " SELECT id, now(), 'provisioner', 'info', 'x', 'x' FROM provisioner_jobs LIMIT 1"
            )
        )
    return started - published + time.perf_counter() - begun

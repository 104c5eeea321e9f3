"""How long a worker takes to start, and the processor time of commands and imports."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from sqlalchemy import text

from bench.measure import Result, pair
from bench.services import REPOSITORY, Services
from db.schema.enums import Transition
from tests.harness.databases import autocommit
from worker.enqueue import enqueue_build
from worker.process.children import running_worker

ROUNDS = 7
PYTHON = (sys.executable, "-c")
PROVISIONERD = (*PYTHON, "from cli.main import main; main()")
LIST = (*PROVISIONERD, "jobs", "list")
COMPLETION = {
    "_PROVISIONERD_COMPLETE": "bash_complete",
    "COMP_WORDS": "provisionerd jobs list --status pen",
    "COMP_CWORD": "4",
}
COMMAND_NEEDS = (*PYTHON, "import click, sqlalchemy, psycopg")
CALLER_NEEDS = (*PYTHON, "import celery, sqlalchemy")
READY_S = 0.002  #: between two looks at whether a build or a task has started


def run(services: Services, rounds: int = ROUNDS) -> list[Result]:
    environment = services.environment()
    completing = {**environment, **COMPLETION}
    commands = (
        ("`provisionerd jobs list`, against the imports it needs", LIST, environment, 1.3, 0.35),
        ("completion of a word, against the same imports", PROVISIONERD, completing, 1.0, 0.15),
    )
    results = [_worker(services, rounds)]
    for what, command, variables, reach, limit_s in commands:
        compared = pair(
            lambda: _processor_s(command, variables),
            lambda: _processor_s(COMMAND_NEEDS, environment),
            rounds=rounds,
        )
        note = f"of processor time; at most {limit_s} s"
        results.append(compared.result("start", what, unit="s", reach=f"<= {reach}", note=note))
    imported = pair(
        lambda: _processor_s((*PYTHON, "import worker.enqueue"), environment),
        lambda: _processor_s(CALLER_NEEDS, environment),
        rounds=rounds,
    )
    what = "`import worker.enqueue`, against `import celery, sqlalchemy`"
    note = "of processor time"
    return [*results, imported.result("start", what, unit="s", reach="<= 1.2", note=note)]


def _worker(services: Services, rounds: int) -> Result:
    """Compare the time from the start of the process to that of the work that waits for it."""
    workspace = services.factory.any_workspace(allowance=100)
    transitions = [Transition.START, Transition.STOP]
    environment = services.environment()
    log = services.data_dir / "start.log"

    def ours() -> float:
        transitions.reverse()
        with services.database.begin() as session:
            build = enqueue_build(session, workspace_id=workspace.id, transition=transitions[0])
        begun = time.time()
        with running_worker(environment, name="start", log=log):
            services.wait_for_build(build.job_id)
        query = text(
            "SELECT extract(epoch FROM started_at)::float FROM provisioner_jobs WHERE id = :id"
        )
        with autocommit(services.database) as connection:
            started = connection.execute(query, {"id": build.job_id}).scalar_one()
        return float(started) - begun

    def theirs() -> float:
        from bench.noop import stamp  # imported late: it reads the broker's URL

        with services.celery("bench.noop", concurrency=4):
            begun = time.time()
            stamp.delay()
            return float(services.pop("noop.stamp")) - begun

    with services.celery("bench.noop", concurrency=4):
        pass  # sets the variables that the module reads
    return pair(ours, theirs, rounds=rounds).result(
        "start",
        "worker's process to its first build, against a Celery worker with an empty app to a task",
        unit="s",
        reach="<= 1.5",
        aim="<= 1.1",
    )


def _processor_s(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Return the processor time of a process and those that it has awaited, in seconds."""
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return usage.ru_utime + usage.ru_stime

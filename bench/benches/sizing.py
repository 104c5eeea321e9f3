"""What a slot needs: the memory, processor time and disk space of builds with real Terraform."""

from __future__ import annotations

import psutil
from sqlalchemy import text

from bench.measure import Result
from bench.services import BENCH_DEADLINE_S, Services
from db.catalog.workspaces import create_workspace
from db.schema.enums import Transition
from tests.harness.waiting import wait_until
from worker.enqueue import enqueue_build

SLOTS = 8
MAIN = b"""
resource "terraform_data" "dev" {
  input = { daily_cost = 1 }
  provisioner "local-exec" { command = "sleep 6" }
}
"""
MB = 1e6


def run(services: Services, rounds: int = 1) -> list[Result]:
    factory = services.factory
    owner, template = services.terraform_template({"main.tf": MAIN})
    with services.worker(concurrency=SLOTS) as process:
        worker = psutil.Process(process.pid)
        before = _stored(services)
        started = _cpu(worker)
        jobs = []
        for index in range(SLOTS):
            with services.database.begin() as session:
                workspace = create_workspace(
                    session, owner=owner, template=template, name=f"w{index}"
                )
                jobs.append(
                    enqueue_build(
                        session, workspace_id=workspace.id, transition=Transition.START
                    ).job_id
                )
        wait_until(
            lambda: all(factory.job(job).stage == "apply" for job in jobs),
            "every build to be applied",
            within_s=BENCH_DEADLINE_S,
            tick_s=0.2,
        )
        wait_until(lambda: len(_terraforms(worker)) >= SLOTS, "all Terraforms", tick_s=0.2)
        memory = sum(_pss(child) for child in worker.children(recursive=True)) / SLOTS
        wait_until(
            lambda: not any(factory.status(job).is_active for job in jobs),
            "the ends of all builds",
            within_s=BENCH_DEADLINE_S,
            tick_s=0.2,
        )
        cpu = (_cpu(worker) - started) / SLOTS
        stored = (_stored(services) - before) / SLOTS
    return [
        Result(bench="sizing", what="memory of a slot in apply (PSS)", unit="MB", ours=memory / MB),
        Result(bench="sizing", what="processor time of a whole build", unit="s", ours=cpu),
        Result(bench="sizing", what="stored by a build", unit="kB", ours=stored / 1000),
    ]


def _terraforms(worker: psutil.Process) -> list[psutil.Process]:
    return [p for p in worker.children(recursive=True) if "terraform" in p.name()]


def _pss(process: psutil.Process) -> int:
    return process.memory_full_info().pss


def _cpu(worker: psutil.Process) -> float:
    # Terraforms that have ended count for the launcher, because they are its children.
    times = [process.cpu_times() for process in (worker, *worker.children())]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def _stored(services: Services) -> int:
    query = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
    with services.database.begin() as session:
        return int(session.execute(text(query)).scalar_one())

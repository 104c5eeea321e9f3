"""Builds with thousands of resources, and with a state of 10 MB, against the plain command line."""

from __future__ import annotations

import itertools
import os
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from bench.benches.imports import push_version, run_bare
from bench.measure import Result, pair, timed
from bench.server import read_usage
from bench.services import Services
from bench.shell import run_script, start_build
from bench.spent import pair_with_processor
from db.schema.enums import Transition
from worker.process.children import free_address

SIZES = (1_000, 3_000)
MAIN = """
variable "workspace_transition" {{ default = "start" }}
resource "terraform_data" "dev" {{
  input = {{ at = var.workspace_transition }}
}}
resource "terraform_data" "many" {{
  count = {count}
  input = {{ number = count.index }}
}}
"""
TICKS = 6
# A state has input and output: 5 MB each. One resource after the other takes a second, and
# Terraform writes the state at the end of each.
STATE = """
variable "workspace_transition" { default = "start" }
resource "terraform_data" "large" { input = file("large.txt") }
"""
TICK = """
resource "terraform_data" "tick{number}" {{
  triggers_replace = [var.workspace_transition, {after}]
  provisioner "local-exec" {{ command = "sleep 1" }}
}}
"""
SET_UP = """
set -e
terraform init -no-color -input=false -json > init.log
terraform plan -no-color -input=false -json -out=plan > plan.log
"""
APPLY = "terraform apply -no-color -input=false -json plan > apply.log"
APPLIED = text("""
    SELECT extract(epoch FROM job.completed_at - timing.started_at)::float
    FROM provisioner_jobs AS job
    JOIN provisioner_job_timings AS timing
      ON timing.job_id = job.id AND timing.resource = 'coder_stage_apply'
    WHERE job.id = :id
""")


def run(services: Services, rounds: int = 3) -> list[Result]:
    return [
        *(result for count in SIZES for result in _plan(services, count, rounds)),
        *_state(services, rounds),
    ]


def _plan(services: Services, count: int, rounds: int) -> Iterator[Result]:
    """The import of a version: it plans a start and a stop, and reads both plans."""
    main = MAIN.format(count=count - 1)
    versions = itertools.count()
    with services.worker(concurrency=1) as process:
        push_version(services, f"small-{count}", b"")
        before = _memory_mb(process.pid, "VmRSS")
        found, processor = pair_with_processor(
            services,
            process.pid,
            lambda: timed(
                lambda: push_version(
                    services, f"large-{count}", f"{main}# {next(versions)}\n".encode()
                )
            ),
            lambda: timed(lambda: run_bare(services.data_dir / "bare-import", main.encode())),
            rounds=rounds,
        )
        grown = _memory_mb(process.pid, "VmHWM") - before
    what = f"import with two plans of {count:,} resources, against the same commands"
    yield found.result("large", what, unit="s", reach="<= 1.05", aim="<= 1.02")
    yield processor.result("large", f"{what}: processor time", unit="s")
    yield Result(
        bench="large",
        what=f"growth of the worker by plans of {count:,} resources",
        unit="MB",
        ours=grown,
        reach="<= 60",
    )


def _state(services: Services, rounds: int) -> Iterator[Result]:
    """From the start of the apply until its result is stored, with a state of 10 MB."""
    files = {
        "main.tf": (STATE + "".join(_ticks())).encode(),
        "large.txt": os.urandom(2_500_000).hex().encode(),
    }
    workspace = _workspace(services, files)
    directory = services.data_dir / "bare-state"
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    transitions = itertools.cycle([Transition.START, Transition.STOP])
    bare_transitions = itertools.cycle(["start", "stop"])
    metrics = free_address()

    def build() -> float:
        job = start_build(services, workspace, next(transitions))
        services.wait_for_build(job)
        with services.database.begin() as session:
            return float(session.execute(APPLIED, {"id": job}).scalar_one())

    def bare() -> float:
        run_script(
            SET_UP, directory, home=directory, TF_VAR_workspace_transition=next(bare_transitions)
        )
        return timed(lambda: run_script(APPLY, directory, home=directory))

    with services.worker(concurrency=1, metrics_address=metrics):
        build()
        bare()
        usage, stored = read_usage(services), _checkpoints(metrics)
        found = pair(build, bare, rounds=rounds)
        spent, stored = read_usage(services) - usage, _checkpoints(metrics) - stored
    size = (directory / "terraform.tfstate").stat().st_size
    yield found.result(
        "large",
        f"apply with a state of {size / 1e6:.0f} MB that changes each second, against the same",
        unit="s",
        reach="<= 1.05",
        note=f"{stored / rounds:.1f} checkpoints for each build",
    )
    # The result of each build stores the state, too.
    yield Result(
        bench="large",
        what="WAL of storing such a state once, by its size",
        unit="",
        ours=spent.wal_bytes / (stored + rounds) / size,
        reach="<= 1",
    )


def _ticks() -> Iterator[str]:
    after = "null"
    for number in range(TICKS):
        yield TICK.format(number=number, after=after)
        after = f"terraform_data.tick{number}.id"


def _workspace(services: Services, files: dict[str, bytes]) -> uuid.UUID:
    factory = services.factory
    owner, template = services.terraform_template(files)
    return factory.workspace(owner=owner, template=template).id


def _memory_mb(pid: int, field: str) -> float:
    """Return a size in ``/proc/PID/status``; ``VmHWM`` is the largest that memory has been."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / 1e6


def _checkpoints(address: str) -> float:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    stored = 'provisionerd_checkpoints_total{result="stored"}'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(stored))

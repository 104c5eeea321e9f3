"""Many real builds at once, against the plain command line run by ``xargs``."""

from __future__ import annotations

import itertools
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from bench.benches.throughput import failed, wait_for_all_builds
from bench.measure import Result, pair
from bench.services import Services
from bench.shell import environment_of, start_build
from db.schema.enums import Transition

BUILDS = 60
SLOTS = 8
MAIN = b"""
variable "workspace_transition" { default = "start" }
resource "terraform_data" "home" { input = { daily_cost = 1 } }
resource "terraform_data" "dev" {
  input = { home = terraform_data.home.id, at = var.workspace_transition }
}
"""
WORK = """
set -e
cd "$1"
terraform plan -no-color -input=false -json -out=plan > plan.log
terraform show -json plan > plan.json
terraform apply -no-color -input=false -json plan > apply.log
"""
SET_UP = """
set -e
cd "$1"
rm -rf .terraform
terraform init -no-color -input=false -json > init.log
"""


def run(services: Services, rounds: int = 3) -> list[Result]:
    workspaces = _workspaces(services)
    directories = _directories(services.data_dir / "bare")
    home = services.data_dir / "bare"
    turns = itertools.cycle([Transition.START, Transition.STOP])
    bare_turns = itertools.cycle(["start", "stop"])

    def ours() -> float:
        transition = next(turns)

        def build() -> None:
            for workspace in workspaces:
                start_build(services, workspace, transition)
            wait_for_all_builds(services)

        return _per_minute(build)

    def bare(script: str) -> float:
        transition = next(bare_turns)
        return _per_minute(lambda: _run_all(script, directories, home, transition))

    with services.worker(concurrency=SLOTS):
        ours()
        bare(SET_UP + WORK)
        whole = pair(ours, lambda: bare(SET_UP + WORK), rounds=rounds)
        ready = pair(ours, lambda: bare(WORK), rounds=rounds)
    assert not failed(services)
    what = f"{BUILDS} builds, {SLOTS} at once, against init, plan, show, apply by xargs"
    return [
        whole.result("parallel", what, unit="1/min", reach=">= 1.15", aim=">= 1.4"),
        ready.result(
            "parallel",
            f"{what} in directories that are initialized",
            unit="1/min",
            reach=">= 0.9",
            aim=">= 1",
        ),
    ]


def _per_minute(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return BUILDS / (time.perf_counter() - started) * 60


def _workspaces(services: Services) -> list[uuid.UUID]:
    factory = services.factory
    owner, template = services.terraform_template({"main.tf": MAIN})
    return [factory.workspace(owner=owner, template=template).id for _ in range(BUILDS)]


def _directories(root: Path) -> list[Path]:
    directories = [root / str(number) for number in range(BUILDS)]
    for directory in directories:
        directory.mkdir(parents=True)
        (directory / "main.tf").write_bytes(MAIN)
    return directories


def _run_all(script: str, directories: list[Path], home: Path, transition: str) -> None:
    (home / "sequence.sh").write_text(script)
    subprocess.run(
        ["xargs", f"--max-procs={SLOTS}", "--max-args=1", "/bin/sh", str(home / "sequence.sh")],
        input="\n".join(map(str, directories)).encode(),
        env=environment_of(home, TF_VAR_workspace_transition=transition),
        check=True,
    )

"""The import of a template version, against the plain command line."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from bench.measure import Result, pair, timed
from bench.services import Services
from bench.shell import MAIN, run_script
from db.catalog.templates import Push
from tests.harness.factory import tar_archive
from worker.pushing import enqueue_import

BARE = """
set -e
terraform init -no-color -input=false -json > init.log
for transition in start stop; do
  TF_VAR_workspace_transition=$transition terraform plan -no-color -input=false -json -out=plan > plan.log
  terraform show -no-color -json plan > plan.json
done
"""


def run(services: Services, rounds: int = 9) -> list[Result]:
    numbers = itertools.count()

    def push() -> None:
        # A comment makes each template version different.
        push_version(services, "bench", MAIN + f"# {next(numbers)}\n".encode())

    with services.worker(concurrency=2):
        push()
        compared = pair(
            lambda: timed(push),
            lambda: timed(lambda: run_bare(services.data_dir / f"bare-{next(numbers)}", MAIN)),
            rounds=rounds,
        )
    return [
        compared.result(
            "import",
            "import of a template version, against init and two plans with their JSON",
            unit="s",
            reach="<= 1.5",
            aim="<= 1.2",
        )
    ]


def push_version(services: Services, name: str, main: bytes) -> None:
    """Push a version of the template ``name``, and wait for the end of its import."""
    organization = services.factory.organization()
    author = services.factory.user(organization=organization)
    archive = tar_archive({"main.tf": main})
    wanted = Push(organization=organization, name=name, archive=archive, created_by=author)
    with services.database.begin() as session:
        pushed = enqueue_import(session, wanted)
    services.wait_for_build(pushed.job_id)


def run_bare(directory: Path, main: bytes) -> None:
    """Run the same commands in ``directory``, which is made and removed."""
    directory.mkdir()
    (directory / "main.tf").write_bytes(main)
    run_script(BARE, directory, home=directory)
    shutil.rmtree(directory)

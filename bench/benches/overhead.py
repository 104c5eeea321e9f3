"""A complete Terraform build, against the plain command line."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from bench.measure import Pair, Result, pair, timed
from bench.services import Services
from bench.shell import MAIN, run_script
from db.catalog.workspaces import create_workspace
from db.schema.enums import ProvisionerType, Transition
from db.schema.tables import Template, Workspace
from tests.harness.factory import tar_archive
from worker.enqueue import enqueue_build

BARE = """
set -e
terraform init -no-color -input=false -json > init.log
terraform plan -no-color -input=false -json -out=plan $1 > plan.log
terraform show -json plan > plan.json
terraform apply -no-color -input=false -json plan > apply.log
"""


def run(services: Services, rounds: int = 9) -> list[Result]:
    factory = services.factory
    organization = factory.organization(everyone_allowance=1000)
    owner = factory.user(organization=organization)
    numbers = itertools.count()
    transitions = itertools.cycle([Transition.STOP, Transition.START])

    def template() -> Template:
        # A comment makes each template version different.
        main = MAIN + f"# {next(numbers)}\n".encode()
        return factory.template(
            organization=organization,
            created_by=owner,
            archive=tar_archive({"main.tf": main}),
            provisioner=ProvisionerType.TERRAFORM,
        )

    def workspace(of: Template) -> Workspace:
        with services.database.begin() as session:
            return create_workspace(session, owner=owner, template=of, name=f"w{next(numbers)}")

    def build(on: Workspace, transition: Transition) -> None:
        with services.database.begin() as session:
            queued = enqueue_build(session, workspace_id=on.id, transition=transition)
        services.wait_for_build(queued.job_id)

    bare = _Bare(services.data_dir / "bare")
    with services.worker(concurrency=2):
        warm = workspace(template())
        build(warm, Transition.START)
        bare.run("start")
        state = bare.state
        again = pair(
            lambda: timed(lambda: build(warm, next(transitions))),
            lambda: timed(lambda: bare.run("stop", state=state)),
            rounds=rounds,
        )

        def first_build() -> float:
            new = workspace(template())
            return timed(lambda: build(new, Transition.START))

        cold = pair(first_build, lambda: timed(lambda: bare.run("start")), rounds=rounds)
    return _results(again, cold)


def _results(again: Pair, cold: Pair) -> list[Result]:
    return [
        again.result(
            "overhead",
            "warm build of a workspace with a state, against init, plan, show, apply",
            unit="s",
            reach="<= 1.15",
            aim="<= 0.9",
        ),
        cold.result(
            "cold",
            "first build of a template version, against the same",
            unit="s",
            reach="<= 1.3",
            aim="<= 1.05",
        ),
    ]


class _Bare:
    """The same four commands in a shell script, in a new directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = itertools.count()
        self.state = b""

    def run(self, transition: str, state: bytes | None = None) -> None:
        directory = self._root / str(next(self._numbers))
        directory.mkdir(parents=True)
        (directory / "main.tf").write_bytes(MAIN)
        if state:
            (directory / "terraform.tfstate").write_bytes(state)
        run_script(BARE, directory, home=self._root, TF_VAR_workspace_transition=transition)
        self.state = (directory / "terraform.tfstate").read_bytes()
        shutil.rmtree(directory)

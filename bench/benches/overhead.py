"""A complete Terraform build, against the plain command line."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from bench.measure import Result, timed
from bench.services import Services
from bench.shell import MAIN, run_script, start_build
from bench.spent import pair_with_processor
from db.schema.enums import Transition

BARE = """
set -e
terraform init -no-color -input=false -json > init.log
terraform plan -no-color -input=false -json -out=plan $1 > plan.log
terraform show -json plan > plan.json
terraform apply -no-color -input=false -json plan > apply.log
"""


def run(services: Services, rounds: int = 15) -> list[Result]:
    factory = services.factory
    owner, template = services.terraform_template({"main.tf": MAIN})
    workspace = factory.workspace(owner=owner, template=template).id
    turns = itertools.cycle([Transition.START, Transition.STOP])

    def build() -> None:
        services.wait_for_build(start_build(services, workspace, next(turns)))

    bare = Bare(services.data_dir / "bare", MAIN)
    with services.worker(concurrency=2) as process:
        build()
        bare.run("start")
        state = bare.state
        warm, processor = pair_with_processor(
            services,
            process.pid,
            lambda: timed(build),
            lambda: timed(lambda: bare.run("stop", state=state)),
            rounds=rounds,
        )
    what = "warm build of a workspace with a state, against init, plan, show, apply"
    return [
        warm.result("overhead", what, unit="s", reach="<= 1", aim="<= 0.8"),
        processor.result("overhead", f"{what}: processor time", unit="s"),
    ]


class Bare:
    """The same four commands in a shell script, in a new directory."""

    def __init__(self, root: Path, main: bytes) -> None:
        self._root = root
        self._main = main
        self._numbers = itertools.count()
        self.state = b""

    def run(self, transition: str, state: bytes | None = None) -> None:
        directory = self._root / str(next(self._numbers))
        directory.mkdir(parents=True)
        (directory / "main.tf").write_bytes(self._main)
        if state:
            (directory / "terraform.tfstate").write_bytes(state)
        run_script(BARE, directory, home=self._root, TF_VAR_workspace_transition=transition)
        self.state = (directory / "terraform.tfstate").read_bytes()
        shutil.rmtree(directory)

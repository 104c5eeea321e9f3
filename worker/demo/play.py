"""The demo: real builds with real Terraform against a worker process of its own.

Of the ledger cloud, the provider that keeps one file per machine, see ``deploy/ledger``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.request import urlopen

from db.schema.enums import JobErrorCode, JobStatus, Transition
from worker.broker.doorbell import ring_at
from worker.demo.stage import DemoError, Stage, Tell
from worker.demo.story import Expectation, Story
from worker.process.children import free_address, running_worker
from worker.process.services import open_services
from worker.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
FAILURES = re.compile(r'provisionerd_job_failures_total\{.*error_code="(\w+)".*\} (\S+)')

SUCCEEDED = Expectation(status=JobStatus.SUCCEEDED)


def play_demo(data_dir: Path, *, tell: Tell) -> Story:
    """Play every scene with ``data_dir`` (empty, the caller's to remove) and check what came out.

    Raises:
        DemoError: the ledger cloud is not at hand, or a build does not end.
        WorkerStartError: the worker process did not start.
    """
    if not DEPLOY.is_dir():
        raise DemoError("the demo needs a source checkout: it uses the folder deploy/ of it")
    tell("Starting PostgreSQL and Redis, and installing the ledger cloud.")
    environment = _environment(data_dir)
    with open_services(load_settings(environment)) as services:
        stage = Stage(
            database=services.database,
            ring=ring_at(services.redis_url),
            ledger=data_dir / "ledger",
            tell=tell,
        )
        stage.set(DEPLOY / "templates")
        tell("Starting a worker process.")
        with running_worker(environment, name="demo", log=data_dir / "worker.log"):
            for scene in SCENES:
                tell(f"\n{(scene.__doc__ or '').strip()}")
                scene(stage)
            _read_metrics(stage, environment["PROVISIONERD_METRICS_ADDRESS"])
    return stage.story


def _fill_the_budget(stage: Stage) -> None:
    """1. Two builds of cost 4 fit into the team's allowance of 10."""
    stage.create("alpha", "machine", SUCCEEDED)
    stage.create("beta", "machine", SUCCEEDED)


def _exceed_the_budget(stage: Stage) -> None:
    """2. A third one does not: refused by quota, and tagged so."""
    stage.create(
        "gamma",
        "machine",
        Expectation(
            status=JobStatus.FAILED,
            error_code=JobErrorCode.INSUFFICIENT_QUOTA,
            error_contains="insufficient quota",
        ),
    )
    refused = stage.story.builds[-1]
    stage.check(
        (refused.credits_consumed, refused.budget) == (8, 10),
        "gamma: the refusal does not carry the figures of its decision",
    )
    stage.check(not stage.machines("alice-gamma"), "gamma: a machine was made despite the refusal")


def _meet_the_clouds_own_quota(stage: Stage) -> None:
    """3. A provider that answers "insufficient quota" is another matter: it stays untagged."""
    stage.create(
        "delta",
        "out-of-stock",
        Expectation(status=JobStatus.FAILED, error_contains="insufficient quota in us-east1"),
        owner="bob",
    )


def _leave_values_out(stage: Stage) -> None:
    """4. A parameter and a template variable without a value have codes of their own."""
    stage.create(
        "epsilon",
        "parameterised",
        Expectation(status=JobStatus.FAILED, error_code=JobErrorCode.MISSING_TEMPLATE_PARAMETER),
        owner="bob",
    )
    stage.create(
        "zeta",
        "variables",
        Expectation(status=JobStatus.FAILED, error_code=JobErrorCode.REQUIRED_TEMPLATE_VARIABLES),
        owner="bob",
    )


def _make_room(stage: Stage) -> None:
    """5. Stopping a workspace lowers its cost to 1, and the third one starts."""
    stage.build("alpha", Transition.STOP, SUCCEEDED)
    stage.build("gamma", Transition.START, SUCCEEDED)


def _cancel_in_the_middle(stage: Stage) -> None:
    """6. A cancel in the middle of an apply keeps the state; a delete leaves nothing behind."""
    job_id = stage.begin("eta", "slow", owner="bob")
    stage.wait_until(lambda: len(stage.machines("eta-")) > 1, "the first slow machine")
    stage.cancel(job_id)
    stage.finish(job_id, Expectation(status=JobStatus.CANCELED))
    left = stage.machines("eta-")
    stage.tell(f"    machines that exist now: {', '.join(left)}")
    stage.check(bool(left), "eta: no machine was made before the cancel")
    stage.build("eta", Transition.DELETE, SUCCEEDED, owner="bob")
    stage.check(not stage.machines("eta-"), f"eta: left behind: {stage.machines('eta-')}")


SCENES: tuple[Callable[[Stage], None], ...] = (
    _fill_the_budget,
    _exceed_the_budget,
    _meet_the_clouds_own_quota,
    _leave_values_out,
    _make_room,
    _cancel_in_the_middle,
)


def _read_metrics(stage: Stage, address: str) -> None:
    """Take the failures by error code from the worker's metrics, and hold them to the builds."""
    with urlopen(f"http://{address}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    counts: dict[str, int] = {}
    for line in lines:
        if match := FAILURES.fullmatch(line):
            counts[match[1]] = counts.get(match[1], 0) + int(float(match[2]))
            if float(match[2]):
                stage.story.metric_lines.append(line)
    stage.story.failures_by_error_code = dict(sorted(counts.items()))
    failed = [build for build in stage.story.builds if build.status == JobStatus.FAILED]
    for code, count in counts.items():
        played = sum((build.error_code or "none") == code for build in failed)
        stage.check(count == played, f"{count} failures are counted as {code}, not {played}")


def _environment(data_dir: Path) -> Mapping[str, str]:
    """Return the environment of the demo's worker: nothing of the user's own settings."""
    host = {name: value for name, value in os.environ.items() if "PROVISIONERD_" not in name}
    return {
        **host,
        "PROVISIONERD_DATA_DIR": str(data_dir),
        "PROVISIONERD_METRICS_ADDRESS": free_address(),
        "PROVISIONERD_TERRAFORM_CLI_CONFIG_FILE": str(_install_ledger(data_dir / "mirror")),
        "PROVISIONERD_WORKER_NAME": "demo",
    }


def _install_ledger(mirror: Path) -> Path:
    """Install the provider by its own script, which is no part of the daemon."""
    spec = importlib.util.spec_from_file_location("ledger", DEPLOY / "ledger" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    ledger = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ledger)
    try:
        config: Path = ledger.install(mirror, Path(sys.executable))
    except ledger.LedgerError as error:
        raise DemoError(str(error)) from error
    return config

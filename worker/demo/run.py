"""The demo: real builds with real Terraform, run by a separate worker process.

The machines belong to the ledger cloud, a provider that keeps one file for each machine: see
``deploy/ledger``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.request import urlopen

from db.schema.enums import JobErrorCode, JobStatus, Transition
from worker.broker.doorbell import ring_at
from worker.demo.report import Expectation, Report
from worker.demo.scenario import DemoError, Print, Scenario
from worker.process.children import free_address, running_worker
from worker.process.opening import open_services
from worker.settings import load_settings

_PACKAGED = Path(__file__).parent / "deploy"
DEPLOY = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "deploy"
"""The templates and the ledger cloud: in an installed package a copy, else the checkout's."""
FAILURES = re.compile(r'provisionerd_job_failures_total\{.*error_code="(\w+)".*\} (\S+)')

SUCCEEDED = Expectation(status=JobStatus.SUCCEEDED)


def run_demo(data_dir: Path, *, progress: Print) -> Report:
    """Run every step in ``data_dir`` (empty; the caller removes it) and check the results.

    Raises:
        DemoError: the ledger cloud is missing, or a build does not end.
        WorkerStartError: the worker process did not start.
    """
    progress("Starting PostgreSQL and Redis, and installing the ledger cloud.")
    environment = _environment(data_dir)
    with open_services(load_settings(environment).servers) as services:
        scenario = Scenario(
            database=services.database,
            ring=ring_at(services.redis_url),
            ledger=data_dir / "ledger",
            print=progress,
        )
        scenario.prepare(DEPLOY / "templates")
        progress("Starting a worker process.")
        with running_worker(environment, name="demo", log=data_dir / "worker.log"):
            scenario.import_templates()
            for step in STEPS:
                progress(f"\n{(step.__doc__ or '').strip()}")
                step(scenario)
            _check_metrics(scenario, environment["PROVISIONERD_METRICS_ADDRESS"])
    return scenario.report


def _fill_the_budget(scenario: Scenario) -> None:
    """1. Two builds of cost 4 fit into the team's allowance of 10."""
    scenario.create("alpha", "machine", SUCCEEDED)
    scenario.create("beta", "machine", SUCCEEDED)


def _exceed_the_budget(scenario: Scenario) -> None:
    """2. A third build does not fit: a forecast says so before, and then quota refuses it."""
    scenario.forecast("gamma", "machine", fits=False)
    scenario.create(
        "gamma",
        "machine",
        Expectation(
            status=JobStatus.FAILED,
            error_code=JobErrorCode.INSUFFICIENT_QUOTA,
            error_contains="insufficient quota",
        ),
    )
    refused = scenario.report.builds[-1]
    scenario.check(
        (refused.quota_credits_consumed, refused.quota_budget) == (8, 10),
        "gamma: the refusal lacks the figures of the decision",
    )
    scenario.check(
        not scenario.machines("alice-gamma"), "gamma: a machine was created despite the refusal"
    )


def _meet_the_clouds_own_quota(scenario: Scenario) -> None:
    """3. A provider's own "insufficient quota" is a different failure: it gets no error code."""
    scenario.create(
        "delta",
        "out-of-stock",
        Expectation(status=JobStatus.FAILED, error_contains="insufficient quota in us-east1"),
        owner="bob",
    )


def _leave_values_out(scenario: Scenario) -> None:
    """4. A missing parameter and a missing template variable each have their own error code."""
    scenario.refuse(
        "epsilon", "parameterised", JobErrorCode.MISSING_TEMPLATE_PARAMETER, owner="bob"
    )
    scenario.push(
        "variables",
        Expectation(status=JobStatus.FAILED, error_code=JobErrorCode.REQUIRED_TEMPLATE_VARIABLES),
    )


def _make_room(scenario: Scenario) -> None:
    """5. Stopping a workspace lowers its cost to 1, so the third workspace can start."""
    scenario.build("alpha", Transition.STOP, SUCCEEDED)
    scenario.build("gamma", Transition.START, SUCCEEDED)


def _cancel_in_the_middle(scenario: Scenario) -> None:
    """6. A cancel during apply keeps the state; a delete then leaves nothing behind."""
    job_id = scenario.begin("eta", "slow", owner="bob")
    scenario.wait_for(lambda: len(scenario.machines("eta-")) > 1, "the first slow machine")
    scenario.cancel(job_id)
    scenario.finish(job_id, Expectation(status=JobStatus.CANCELED))
    left = scenario.machines("eta-")
    scenario.print(f"    machines that exist now: {', '.join(left)}")
    scenario.check(bool(left), "eta: no machine was created before the cancel")
    scenario.build("eta", Transition.DELETE, SUCCEEDED, owner="bob")
    scenario.check(not scenario.machines("eta-"), f"eta: left behind: {scenario.machines('eta-')}")


def _push_a_broken_version(scenario: Scenario) -> None:
    """7. A broken version never becomes active: workspaces go on with the one before."""
    scenario.push(
        "machine",
        Expectation(status=JobStatus.FAILED, error_contains="undeclared input variable"),
        folder="broken",
    )
    scenario.check_active("machine", "v1")
    scenario.create("theta", "machine", SUCCEEDED, owner="bob")


STEPS: tuple[Callable[[Scenario], None], ...] = (
    _fill_the_budget,
    _exceed_the_budget,
    _meet_the_clouds_own_quota,
    _leave_values_out,
    _make_room,
    _cancel_in_the_middle,
    _push_a_broken_version,
)


def _check_metrics(scenario: Scenario, address: str) -> None:
    """Compare the failures that the worker's metrics count with the builds."""
    report = scenario.report
    counts = _count_failures(report, _metric_lines(address))
    failed = Counter(
        build.error_code or "none" for build in report.builds if build.status is JobStatus.FAILED
    )
    for code, count in counts.items():
        scenario.check(
            count == failed[code],
            f"the metrics count {count} failures with {code}; {failed[code]} builds had it",
        )


def _count_failures(report: Report, lines: Iterable[str]) -> Counter[str]:
    """Return the failures by their error code, and put them into the report."""
    counts: Counter[str] = Counter()
    for line in lines:
        if match := FAILURES.fullmatch(line):
            count = int(float(match[2]))
            counts[match[1]] += count
            report.metric_lines += [line] if count else []
    report.failures_by_error_code = dict(sorted(counts.items()))
    return counts


def _metric_lines(address: str) -> list[str]:
    with urlopen(f"http://{address}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text.splitlines()


def _environment(data_dir: Path) -> Mapping[str, str]:
    """Return the environment of the demo's worker, without the user's own settings."""
    host = {name: value for name, value in os.environ.items() if "PROVISIONERD_" not in name}
    return {
        **host,
        "PROVISIONERD_DATA_DIR": str(data_dir),
        "PROVISIONERD_METRICS_ADDRESS": free_address(),
        "PROVISIONERD_TERRAFORM_CLI_CONFIG_FILE": str(_install_ledger(data_dir / "mirror")),
        "PROVISIONERD_SANDBOX_PATHS": _sandbox_paths(data_dir),
        "PROVISIONERD_WORKER_NAME": "demo",
    }


def _sandbox_paths(data_dir: Path) -> str:
    """Return what the ledger cloud needs in a sandbox: its files, its provider, and Python."""
    files, provider = data_dir / "ledger", data_dir / "mirror"
    return f"{files}:rw,{provider}:rw,{sys.prefix},{sys.base_prefix}"


def _install_ledger(mirror: Path) -> Path:
    """Install the provider with its own script, which is not part of the daemon."""
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

"""``provisionerd demo``: real builds in one run, with success, refusal and failure."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from cli.table import Columns, Look, table_lines
from db.reads.jobs import Job
from worker.demo.report import Report
from worker.demo.run import run_demo
from worker.demo.scenario import DemoError
from worker.process.children import WorkerStartError


def _in_use(build: Job) -> str:
    if build.quota_budget is None:
        return ""
    return f"{build.quota_credits_consumed}/{build.quota_budget}"


COLUMNS: Columns[Job] = {
    "WORKSPACE": lambda build: build.workspace_name or build.template_name,
    "TRANSITION": lambda build: build.transition or "import",
    "STATUS": lambda build: build.status,
    "COST": lambda build: build.daily_cost,
    "IN USE": _in_use,
    "ERROR CODE": lambda build: build.error_code or ("none" if build.error else None),
}


@click.command()
@click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="json prints one document; progress goes to standard error.",
)
def demo(output: str) -> None:
    r"""Run the main use case with real Terraform, PostgreSQL, Redis and Celery.

    Everything runs in a temporary directory, which is removed at the end. The
    exit status is 0 only if every build ended as expected.

    \b
    Examples:
        provisionerd demo
        provisionerd demo --output json | jq '.failures_by_error_code'
    """
    progress = Console(stderr=output == "json", highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="provisionerd-demo-") as folder:
        data_dir = Path(folder)
        # Under root PostgreSQL runs as another user, who must be able to enter the directory.
        data_dir.chmod(0o711)
        try:
            report = run_demo(data_dir, progress=lambda line: progress.print(line, markup=False))
        except (DemoError, WorkerStartError) as error:
            raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(json.dumps(report.as_document(), indent=2))
    else:
        _show(report, Console(highlight=False))
    sys.exit(1 if report.problems else 0)


def _show(report: Report, console: Console) -> None:
    console.print("\nThe job rows")
    for line in table_lines(report.builds, COLUMNS, Look()):
        console.print(line, markup=False, soft_wrap=True)
    console.print("\n8. The worker's metrics count the same failures:")
    for line in report.metric_lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    for problem in report.problems:
        console.print(f"PROBLEM: {problem}", style="red", markup=False)
    if not report.problems:
        console.print("\nEvery build ended as expected.", style="green")

"""``provisionerd demo``: see real builds, refused and untagged, in one run."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from db.reads.jobs import Job
from worker.demo.report import Report
from worker.demo.run import run_demo
from worker.demo.scenario import DemoError
from worker.process.children import WorkerStartError


@click.command()
@click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="json prints one document; progress goes to standard error.",
)
def demo(output: str) -> None:
    r"""Run the main use case with real Terraform, PostgreSQL, Redis and Celery.

    Everything runs in a temporary directory and is removed at the end. The exit
    status is 0 only if every build came out as it should.

    \b
    Examples:
        provisionerd demo
        provisionerd demo --output json | jq '.failures_by_error_code'
    """
    progress = Console(stderr=output == "json", highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="provisionerd-demo-") as folder:
        data_dir = Path(folder)
        # PostgreSQL runs as a user of its own when this is root, and has to get in.
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
    table = Table(title="What the job rows say", title_justify="left", show_edge=False)
    for column in ("workspace", "transition", "status", "cost", "in use", "error code"):
        table.add_column(column, no_wrap=True)
    for build in report.builds:
        table.add_row(*_cells(build))
    console.print()
    console.print(table)
    console.print("\n7. What the worker's metrics count:")
    for line in report.metric_lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    for problem in report.problems:
        console.print(f"PROBLEM: {problem}", style="red", markup=False)
    if not report.problems:
        console.print("\nEverything came out as it should.", style="green")


def _cells(build: Job) -> list[str]:
    in_use = (
        "" if build.quota_budget is None else f"{build.quota_credits_consumed}/{build.quota_budget}"
    )
    return [
        build.workspace_name or "",
        build.transition or "",
        build.status,
        str(build.daily_cost),
        in_use,
        build.error_code or ("none" if build.error else ""),
    ]

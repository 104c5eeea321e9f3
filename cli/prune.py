"""``provisionerd prune``: delete old logs, states, jobs, rows of the audit log and chats."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import click

from cli.opening import opened
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document, print_facts
from cli.spans import AGE
from db.jobs.retention import Pruned, Retention
from db.jobs.retention import prune as prune_database
from worker.settings import load_settings

Command = Callable[..., None]


def age_option(of: str, what: str) -> Callable[[Command], Command]:
    """Return an option that takes the place of the retention in a setting."""
    return click.option(
        f"--{of}-older-than",
        type=AGE,
        metavar="AGE",
        help=f"{what} (PROVISIONERD_RETAIN_{of.upper()}_DAYS).",
    )


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@age_option("logs", "Logs of jobs that ended before that")
@age_option("states", "States of superseded builds")
@age_option("jobs", "Finished jobs with their builds")
@age_option("audit", "Rows of the audit log")
@age_option("chats", "Chats without a workspace, by their last use")
@output_option
def prune(  # noqa: PLR0917 - click passes each option by its name
    dry_run: bool,
    logs_older_than: timedelta | None,
    states_older_than: timedelta | None,
    jobs_older_than: timedelta | None,
    audit_older_than: timedelta | None,
    chats_older_than: timedelta | None,
    output: str,
) -> None:
    r"""Delete what is past its retention, as workers do every few hours.

    That is logs, states, jobs, rows of the audit log, and chats of agents.

    Always kept: unfinished jobs, the latest build of each workspace with its
    state, and templates. An AGE is a number of days or hours: 30d, 12h.

    \b
    Example:
        provisionerd prune --dry-run
        provisionerd prune --logs-older-than 7d --jobs-older-than 60d
    """
    kept = load_settings().retention
    # A shorter age for jobs shortens the others; a longer explicit age for logs is refused.
    jobs = jobs_older_than if jobs_older_than is not None else kept.jobs
    retention = Retention(
        logs=min(kept.logs, jobs) if logs_older_than is None else logs_older_than,
        states=min(kept.states, jobs) if states_older_than is None else states_older_than,
        jobs=jobs,
        audit_logs=kept.audit_logs if audit_older_than is None else audit_older_than,
        chats=kept.chats if chats_older_than is None else chats_older_than,
    )
    with opened() as services:
        pruned = prune_database(services.database, retention, is_dry_run=dry_run)
    _report(pruned, is_dry_run=dry_run, output=output)


def _report(pruned: Pruned, *, is_dry_run: bool, output: str) -> None:
    if not pruned.is_complete:
        raise click.ClickException(
            "another process is pruning now; run the command again when it is done"
        )
    counts = {
        "log_lines": pruned.log_lines,
        "states": pruned.states,
        "jobs": pruned.jobs,
        "audit_logs": pruned.audit_logs,
        "chats": pruned.chats,
    }
    if output in DOCUMENTS:
        print_document({"dry_run": is_dry_run, **counts}, output)
        return
    click.echo("Would be deleted:" if is_dry_run else "Deleted:")
    print_facts({name.replace("_", " "): count for name, count in counts.items()})

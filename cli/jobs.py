"""``provisionerd jobs``: the jobs of workspace builds."""

from __future__ import annotations

import click

from cli.lazy import LazyGroup

COMMANDS = {
    "list": "cli.joblist:list_",
    "show": "cli.jobdetails:show",
    "logs": "cli.jobdetails:logs",
    "cancel": "cli.canceling:cancel",
    "retry": "cli.retrying:retry",
    "wait": "cli.awaiting:wait",
}


@click.group(cls=LazyGroup, modules=COMMANDS)
def jobs() -> None:
    """List, show, follow, await, cancel and retry the jobs of builds.

    JOB is a job ID or a unique prefix of one.
    """

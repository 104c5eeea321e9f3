"""``provisionerd queue pause|resume``: lets the jobs of a queue wait, and go on."""

from __future__ import annotations

import click

from cli.actor import as_option
from cli.changing import change
from cli.options import to_mapping
from cli.remote.client import route
from db.catalog.pauses import MAX_REASON, pause_queue, resume_queue
from db.jobs.tags import queue_name


def queue_argument(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command a queue, by its name or by the tags of its jobs."""
    argument = click.argument("name", metavar="[QUEUE]", required=False)
    option = click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="KEY=VALUE",
        callback=to_mapping,
        help="Tag of the queue's jobs, in place of its name. Repeatable.",
    )
    return argument(option(command))


@click.command()
@queue_argument
@click.option(
    "--reason", default="", help=f"Shown with the queue; at most {MAX_REASON} characters."
)
@as_option
def pause(name: str | None, tags: dict[str, str], reason: str, as_user: str | None) -> None:
    r"""Pause QUEUE: no worker claims its jobs until it is resumed.

    Builds that run go on. New ones are accepted and wait; none of them expires.

    \b
    Example:
        provisionerd queue pause builds --reason "maintenance until noon"
        provisionerd queue pause --tag gpu=yes
    """
    queue = _chosen(name, tags)
    change(
        lambda session, actor: pause_queue(session, queue, actor=actor, reason=reason),
        lambda client: client.ask("POST", route("queues", queue, "pause"), body={"reason": reason}),
        look="queue",
        as_user=as_user,
    )
    click.echo(f"The queue {queue} is paused.")


@click.command()
@queue_argument
@as_option
def resume(name: str | None, tags: dict[str, str], as_user: str | None) -> None:
    r"""Let workers claim the jobs of QUEUE again.

    \b
    Example:
        provisionerd queue resume builds
    """
    queue = _chosen(name, tags)
    change(
        lambda session, actor: resume_queue(session, queue, actor=actor),
        lambda client: client.ask("POST", route("queues", queue, "resume")),
        look="queue",
        as_user=as_user,
    )
    click.echo(f"The queue {queue} is resumed.")


def _chosen(name: str | None, tags: dict[str, str]) -> str:
    if bool(name) == bool(tags):
        raise click.UsageError("give QUEUE or --tag")
    return name or queue_name(tags)

"""``provisionerd workers drain|resume|forget``: what operators do with workers from afar."""

from __future__ import annotations

import click

from cli.actor import as_option
from cli.changing import change
from cli.remote.answers import field_of
from cli.remote.client import Client, route
from db.catalog.drains import drain_worker, forget_worker, resume_worker

name_argument = click.argument("name", metavar="WORKER")


@click.command()
@name_argument
@as_option
def drain(name: str, as_user: str | None) -> None:
    r"""Let WORKER claim no more builds; the builds that it runs go on.

    It stays drained until `workers resume`, or until it is started again.

    \b
    Example:
        provisionerd workers drain build-7
    """
    running = change(
        lambda session, actor: drain_worker(session, name, actor=actor),
        lambda client: _drain(client, name),
        look="workers",
        as_user=as_user,
    )
    click.echo(f"The worker {name} takes no more builds; {running} run on it.")


@click.command()
@name_argument
@as_option
def resume(name: str, as_user: str | None) -> None:
    r"""Let a drained WORKER claim builds again.

    \b
    Example:
        provisionerd workers resume build-7
    """
    change(
        lambda session, actor: resume_worker(session, name, actor=actor),
        lambda client: client.ask("POST", route("workers", name, "resume")),
        look="workers",
        as_user=as_user,
    )
    click.echo(f"The worker {name} takes builds again.")


@click.command()
@name_argument
@as_option
def forget(name: str, as_user: str | None) -> None:
    r"""Remove WORKER, which is gone, from the list of workers.

    \b
    Example:
        provisionerd workers forget build-3
    """
    change(
        lambda session, actor: forget_worker(session, name, actor=actor),
        lambda client: client.ask("DELETE", route("workers", name)),
        look="workers",
        as_user=as_user,
    )
    click.echo(f"The worker {name} is forgotten.")


def _drain(client: Client, name: str) -> int:
    answer = client.ask("POST", route("workers", name, "drain"))
    return field_of(client, answer, "builds", int)

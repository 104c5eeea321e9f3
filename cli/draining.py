"""``provisionerd workers drain|resume|forget``: what operators do with workers from afar."""

from __future__ import annotations

import click

from cli.actor import as_option, find_actor
from cli.opening import transaction
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
    with transaction() as session:
        running = drain_worker(session, name, actor=find_actor(session, as_user))
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
    with transaction() as session:
        resume_worker(session, name, actor=find_actor(session, as_user))
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
    with transaction() as session:
        forget_worker(session, name, actor=find_actor(session, as_user))
    click.echo(f"The worker {name} is forgotten.")

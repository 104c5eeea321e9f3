"""Which jobs a command acts on: those that are named, or all that filters select."""

from __future__ import annotations

import functools
import sys
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import click
from sqlalchemy.orm import Session

from api.reads.jobdetails import JobShown
from api.reads.jobs import JobList
from cli.confirming import confirm, is_asked_by_a_person, yes_option
from cli.printing import print_document
from cli.reference import owner_and_name_wanted
from cli.source import Source
from db.engine import Database
from db.errors import RequestError
from db.reads.pages import MAX_PAGE, UNTAGGED
from db.schema.enums import JobErrorCode, JobStatus
from db.texts import counted

Result = TypeVar("Result")
Command = Callable[..., None]
OPTIONS = ("names", "statuses", "owner", "workspace", "queue", "error_code", "everything", "yes")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The jobs that the arguments of a command select."""

    names: Sequence[str]
    default: Collection[JobStatus]  #: the statuses that are selected unless some are given
    statuses: Sequence[str]
    owner: str | None
    workspace: str | None
    queue: str | None
    error_code: str | None
    everything: bool
    yes: bool

    @property
    def is_one(self) -> bool:
        """Whether exactly one job was named, so that its answer is not a list."""
        return len(self.names) == 1

    @property
    def is_filtered(self) -> bool:
        """Whether filters select the jobs."""
        filters = (self.statuses, self.owner, self.workspace, self.queue, self.error_code)
        return self.everything or any(filters)

    def check(self) -> None:
        """Refuse a command that names no jobs, or names some and filters.

        Raises:
            click.UsageError: it does.
        """
        if self.names and self.is_filtered:
            raise click.UsageError("give JOB or filters, not both")
        if not self.names and not self.is_filtered:
            raise click.UsageError("give JOB, filters such as --owner, or --all")

    def find(self, opened_source: Source) -> list[uuid.UUID]:
        """Return the ids of the jobs; those of filters are the newest of them, at most 10,000.

        If no job matches the filters, this says so.

        Raises:
            NotFoundError: there is no such job or owner.
            InvalidError: what should be a job's id is none.
        """
        if self.names:
            found = [opened_source.read(JobShown(job=name)).job.id for name in self.names]
            return list(dict.fromkeys(found))
        owner, workspace = owner_and_name_wanted(self.owner, self.workspace)
        wanted = JobList(
            status=[JobStatus(status) for status in self.statuses] or list(self.default),
            owner=owner,
            workspace=workspace,
            queue=self.queue,
            error_code=self.error_code,
            limit=MAX_PAGE,
        )
        matching = [job.id for job in opened_source.read(wanted)]
        if not matching:
            click.echo("No job matches the filters.", err=True)
        return matching

    def print_documents(self, rows: Sequence[object], output: str) -> None:
        """Print a list for programs; if exactly one job was named, its row without a list."""
        if not self.is_one:
            print_document(rows, output)
        elif rows:
            print_document(rows[0], output)

    def confirm(self, verb: str, count: int) -> None:
        """Ask before acting on jobs that were not named one by one.

        Raises:
            click.Abort: the answer was no.
            click.UsageError: nobody can be asked, and --yes was not given.
        """
        if not self.is_filtered or self.yes or not count:
            return
        if not is_asked_by_a_person():
            raise click.UsageError(
                f"the filters match {counted(count, 'job')}; give --yes to {verb} them"
            )
        confirm(f"{verb.capitalize()} {counted(count, 'job')}?", yes=False)


def selecting(
    default: Collection[JobStatus], *, others: Collection[JobStatus] = (), asks: bool = True
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the argument ``selection``.

    Args:
        default: the statuses of the jobs that filters select, unless --status says otherwise.
        others: more statuses that --status may name.
        asks: whether the command asks before it acts, unless --yes is given.
    """
    statuses = (*default, *others)
    decorators = [
        click.argument("names", nargs=-1, metavar="[JOB]..."),
        click.option(
            "--status",
            "statuses",
            multiple=True,
            type=click.Choice([status.value for status in statuses]),
            help="Only jobs with this status. Repeatable.",
        ),
        click.option("--owner", metavar="USER", help="Only builds of this user's workspaces."),
        click.option(
            "--workspace", metavar="[OWNER/]NAME", help="Only builds of workspaces of this name."
        ),
        click.option("--queue", help="Only jobs of this queue."),
        click.option("--all", "everything", is_flag=True, help="All jobs, without a filter."),
    ]
    if JobStatus.FAILED in statuses:
        decorators.append(
            click.option(
                "--error-code",
                type=click.Choice([*(code.value for code in JobErrorCode), UNTAGGED]),
                help="Only jobs that failed with this code; `none` means without a code.",
            )
        )
    if asks:
        decorators.append(yes_option)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def selected(**given: Any) -> None:
            chosen: dict[str, Any] = {"error_code": None, "yes": False}
            chosen |= {name: given.pop(name) for name in OPTIONS if name in given}
            selection = Selection(default=default, **chosen)
            selection.check()
            command(selection=selection, **given)

        return functools.reduce(lambda made, add: add(made), reversed(decorators), selected)

    return decorate


@dataclass(kw_only=True)
class Outcome(Generic[Result]):
    """What came of acting on each of several jobs."""

    done: list[Result] = field(default_factory=list)
    refused: dict[uuid.UUID, RequestError] = field(default_factory=dict)  #: why, by job


def act_on_each(
    database: Database,
    job_ids: Sequence[uuid.UUID],
    act: Callable[[Session, uuid.UUID], Result],
) -> Outcome[Result]:
    """Act on each job in a transaction of its own, so that a refusal changes nothing for others."""
    outcome = Outcome[Result]()
    for job_id in job_ids:
        try:
            with database.begin() as session:
                done = act(session, job_id)
        except RequestError as error:
            outcome.refused[job_id] = error
        else:
            outcome.done.append(done)
    return outcome


def report_refused(selection: Selection, outcome: Outcome[Result]) -> None:
    """Say which of the named jobs were refused; of filtered ones, how many were left out.

    Raises:
        RequestError: the only job that was named was refused.
        SystemExit: with status 1, one of several named jobs was refused.
    """
    if not outcome.refused:
        return
    if selection.is_filtered:
        click.echo(f"{counted(len(outcome.refused), 'job')} left out:", err=True)
    elif selection.is_one:
        raise next(iter(outcome.refused.values()))
    for job_id, error in outcome.refused.items():
        click.echo(f"Error: job {job_id}: {error}", err=True)
    if not selection.is_filtered:
        sys.exit(1)

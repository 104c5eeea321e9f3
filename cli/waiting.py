"""Shows the log and the progress of a job until it ends."""

from __future__ import annotations

import shlex
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import click
from rich.console import Console
from rich.status import Status
from rich.text import Text

from cli.source import DatabaseSource, Source
from cli.table import plain, text_of
from db.engine import Database
from db.reads.contract import ProvisionerJobLog
from db.reads.follow import Update
from db.reads.progress import JobProgress
from db.schema.enums import LogLevel
from db.texts import seconds_text, tags_text

INTERRUPTED = 130  #: the status that shells use for Ctrl+C
_LEVEL_STYLES = {LogLevel.ERROR: "red", LogLevel.WARN: "yellow", LogLevel.DEBUG: "dim"}


def follow_job(database: Database, job_id: uuid.UUID, view: View) -> JobProgress:
    """Show the job in ``view`` until it is finished; return how it ended.

    Raises:
        NotFoundError: there is no such job.
    """
    return show_updates(DatabaseSource(database).updates(job_id), view)


def progress_of(source: Source, job_id: uuid.UUID) -> JobProgress:
    """Return how a job fares now.

    Raises:
        NotFoundError: there is no such job.
    """
    for update in source.updates(job_id, after=None, limit_s=0):
        progress = update.progress
    return progress


def show_to_end(
    source: Source, job_id: uuid.UUID, view: View, *, noun: str, limit_s: float
) -> JobProgress:
    """Show the job in ``view`` until it ends or the limit has passed; return how it fares then.

    If it goes on, this says how to follow it. Ctrl+C ends the process, and not the job.

    Raises:
        NotFoundError: there is no such job.
        SystemExit: on Ctrl+C.
    """
    goes_on = (
        f"The {noun} goes on. `provisionerd jobs logs {job_id} -f` follows it,"
        f" `provisionerd jobs cancel {job_id}` ends it."
    )
    try:
        ended = show_updates(source.updates(job_id, limit_s=limit_s), view)
    except KeyboardInterrupt:
        click.echo(goes_on, err=True)
        sys.exit(INTERRUPTED)
    if ended.status.is_active:
        click.echo(goes_on, err=True)
    return ended


def show_updates(updates: Iterator[Update], view: View) -> JobProgress:
    """Show the updates of a job in ``view``; return how it ended."""
    with view.console.status("") as status:
        for update in updates:
            view.show(update, status)
    return update.progress


@dataclass(kw_only=True)
class View:
    """How a job is shown: its log, and on a terminal a status line."""

    console: Console
    warn: Callable[[str], None] = lambda _text: None
    started: float = field(default_factory=time.monotonic)
    stage: str = ""
    has_warned: bool = False
    has_times: bool = False  #: whether each line begins with its local time
    is_wanted: Callable[[ProvisionerJobLog], bool] = lambda _line: True
    last: str = ""  #: the last line that was printed

    def show(self, update: Update, status: Status) -> None:
        """Print the new lines and update the status line."""
        for line in update.lines:
            self.print_line(line)
        progress = update.progress
        reason = why_stuck(progress)
        if reason and not self.has_warned:
            self.has_warned = True
            self.warn(reason)
        waited = seconds_text(time.monotonic() - self.started)
        step = (progress.stage or "").replace("_", " ")
        status.update(Text(f"{progress.status} {step} ({waited})"))

    def print_line(self, line: ProvisionerJobLog) -> None:
        """Print one line of a log, if it is wanted, under the heading of its stage."""
        if not self.is_wanted(line):
            return
        self.last = line.output
        if line.stage != self.stage:
            self.stage = line.stage
            self.console.print(Text(f"==> {plain(line.stage)}", style="bold"))
        style = _LEVEL_STYLES.get(line.log_level, "")
        time_text = f"{text_of(line.created_at)}  " if self.has_times else ""
        self.console.print(Text(f"{time_text}{plain(line.output)}", style=style), soft_wrap=True)

    def reason(self, ended: JobProgress) -> str:
        """Return why the job failed, or where that is if a terminal has just shown it."""
        if self.console.is_terminal and ended.error and ended.error == self.last:
            return "its log above ends with the reason"
        return plain(ended.error or "no reason was given")


def why_stuck(progress: JobProgress) -> str | None:
    """Return a warning about a job that cannot be claimed now; None if it can, or does not wait."""
    if progress.is_paused:
        return (
            f"the queue {progress.queue} is paused, so the job waits;"
            " `provisionerd queue` says by whom"
        )
    return no_worker(progress) if progress.workers == 0 else None


def no_worker(progress: JobProgress) -> str:
    """Return a warning about a job that no live worker can claim."""
    tags = tags_text(progress.tags)
    how = (
        f"`PROVISIONERD_TAGS={shlex.quote(tags)} provisionerd worker`"
        if tags
        else "`provisionerd up` or `provisionerd worker`"
    )
    return (
        f"no worker is running for the queue {progress.queue}, so the job waits;"
        f" start one with {how}"
    )

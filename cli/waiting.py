"""Waiting for a build: its log as it grows, and how far it is."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.status import Status
from rich.text import Text

from cli.printing import plain, seconds_text
from db.engine import Database
from db.outage import retry_outage
from db.reads.progress import LOG_PAGE, BuildProgress, LogLine, build_progress, job_logs
from db.schema.enums import LogLevel

FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 1.0
# For so long a database that is away is waited for: a restart should not end a watch.
OUTAGE_LIMIT_S = 60.0
_LEVEL_STYLES = {LogLevel.ERROR: "red", LogLevel.WARN: "yellow", LogLevel.DEBUG: "dim"}


@dataclass(frozen=True, kw_only=True)
class News:
    """What has become of a job since the last look."""

    progress: BuildProgress
    lines: list[LogLine]


def watch_job(
    database: Database, job_id: uuid.UUID, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[News]:
    """Yield the job's news until it is finished; the last one has the final status.

    Raises:
        NotFoundError: there is no build with such a job.
        sqlalchemy.exc.OperationalError: the database was away for longer than a minute.
    """
    after, pause_s = 0, FIRST_PAUSE_S
    while True:
        news = _look_patiently(database, job_id, after, sleep)
        yield news
        if len(news.lines) < LOG_PAGE and not news.progress.status.is_active:
            return
        if news.lines:
            after = news.lines[-1].id
        if len(news.lines) == LOG_PAGE:
            continue
        pause_s = FIRST_PAUSE_S if news.lines else min(pause_s * 1.3, LAST_PAUSE_S)
        sleep(pause_s)


def follow_job(database: Database, job_id: uuid.UUID, view: View) -> BuildProgress:
    """Show the job in ``view`` until it is finished; return how it ended.

    Raises:
        NotFoundError: there is no build with such a job.
    """
    with view.console.status("") as status:
        for news in watch_job(database, job_id):
            view.show(news, status)
    return news.progress


@dataclass(kw_only=True)
class View:
    """What a person sees of a build: its log, and on a terminal a line that moves."""

    console: Console
    warn: Callable[[str], None] = lambda _text: None
    started: float = field(default_factory=time.monotonic)
    stage: str = ""
    has_warned: bool = False

    def show(self, news: News, status: Status) -> None:
        """Print the new lines and bring the moving line up to date."""
        for line in news.lines:
            self.print_line(line)
        progress = news.progress
        if progress.workers == 0 and not self.has_warned:
            self.has_warned = True
            self.warn(no_worker(progress.queue))
        waited = seconds_text(time.monotonic() - self.started)
        step = (progress.stage or "").replace("_", " ")
        status.update(Text(f"{progress.status} {step} ({waited})"))

    def print_line(self, line: LogLine) -> None:
        """Print one line of a log, under the heading of its stage."""
        if line.stage != self.stage:
            self.stage = line.stage
            self.console.print(Text(f"==> {plain(line.stage)}", style="bold"))
        style = _LEVEL_STYLES.get(line.log_level, "")
        self.console.print(Text(plain(line.output), style=style), soft_wrap=True)


def no_worker(queue: str) -> str:
    """Return what to do about a job that nobody will take."""
    return (
        f"no worker is running for the queue {queue}, so the build waits;"
        " start one with `provisionerd up` or `provisionerd worker`"
    )


def _look_patiently(
    database: Database, job_id: uuid.UUID, after: int, sleep: Callable[[float], None]
) -> News:
    deadline = time.monotonic() + OUTAGE_LIMIT_S
    return retry_outage(
        lambda: _look(database, job_id, after),
        may_go_on=lambda: time.monotonic() < deadline,
        sleep=sleep,
    )


def _look(database: Database, job_id: uuid.UUID, after: int) -> News:
    with database.begin() as session:
        # The status first: a job's lines are stored before it is finished, so that none is missed.
        progress = build_progress(session, job_id)
        return News(progress=progress, lines=job_logs(session, job_id=job_id, after=after))

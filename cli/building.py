"""Waits for the build that a command enqueued, and reports how it ended."""

from __future__ import annotations

import sys
import uuid
from dataclasses import dataclass
from typing import NoReturn, Protocol

import click

from cli.patience import TIMED_OUT, Patience
from cli.printing import DOCUMENTS, print_document
from cli.screen import screen
from cli.source import Source
from cli.waiting import View, progress_of, show_to_end, why_stuck
from db.reads.progress import JobProgress
from db.schema.enums import JobStatus, Transition, job_is_insufficient_quota_error_code

FAILED = 1
REFUSED_BY_QUOTA = 3


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """The request, as given on the command line."""

    workspace: str
    owner: str
    transition: Transition
    patience: Patience
    output: str


class Enqueued(Protocol):
    """A build that was enqueued."""

    @property
    def build_id(self) -> uuid.UUID:
        """The build."""

    @property
    def job_id(self) -> uuid.UUID:
        """Its job."""


def finish(source: Source, request: BuildRequest, build: Enqueued) -> NoReturn:
    """Wait for the build unless detached, report it, and exit with its status."""
    if request.patience.detach:
        _detach(source, request, build)
    # With DOCUMENTS, standard output is only for the document.
    view = View(console=screen(err=request.output in DOCUMENTS), warn=_warn)
    limit_s = request.patience.limit_s
    ended = show_to_end(source, build.job_id, view, noun="build", limit_s=limit_s)
    if request.output in DOCUMENTS:
        print_document(_document(request, build, ended), request.output)
    if not ended.status.is_active:
        _report(request, ended, view)
    sys.exit(exit_status(ended))


def exit_status(ended: JobProgress) -> int:
    """Return the exit status for the end of the build."""
    if ended.status.is_active:
        return TIMED_OUT
    if ended.status is JobStatus.SUCCEEDED:
        return 0
    if job_is_insufficient_quota_error_code(ended.error_code):
        return REFUSED_BY_QUOTA
    return FAILED


def _detach(source: Source, request: BuildRequest, build: Enqueued) -> NoReturn:
    now = progress_of(source, build.job_id)
    if reason := why_stuck(now):
        _warn(reason)
    if request.output in DOCUMENTS:
        print_document(_document(request, build, now), request.output)
    else:
        click.echo(f"Job {build.job_id} was enqueued.")
    sys.exit(0)


def _report(request: BuildRequest, ended: JobProgress, view: View) -> None:
    if ended.status is not JobStatus.SUCCEEDED:
        _print_error(_sentence(request, ended, view))
    elif request.output not in DOCUMENTS:
        click.echo(
            f"Workspace {request.workspace}: {request.transition} {ended.status},"
            f" {ended.daily_cost} credits per day."
        )


def _sentence(request: BuildRequest, ended: JobProgress, view: View) -> str:
    if ended.status is JobStatus.CANCELED:
        return f"Error: the {request.transition} of {request.workspace} was canceled"
    reason = view.reason(ended)
    if not job_is_insufficient_quota_error_code(ended.error_code):
        return f"Error: the {request.transition} of {request.workspace} failed: {reason}"
    return (
        f"Error: the quota of {request.owner} refused the {request.transition} of"
        f" {request.workspace} (budget {ended.quota_budget},"
        f" consumed {ended.quota_credits_consumed} credits per day): {reason};"
        f" `provisionerd quota show {request.owner}` shows what consumes it"
    )


def _document(request: BuildRequest, build: Enqueued, now: JobProgress) -> dict[str, object]:
    return {
        "workspace": request.workspace,
        "transition": request.transition,
        "status": now.status,
        "error": now.error,
        "error_code": now.error_code,
        "daily_cost": now.daily_cost,
        "credits_consumed": now.quota_credits_consumed,
        "budget": now.quota_budget,
        "build_id": build.build_id,
        "job_id": build.job_id,
    }


def _warn(text: str) -> None:
    _print_error(f"Warning: {text}.")


def _print_error(text: str) -> None:
    click.echo(text, err=True)

"""Waits for the import that a push enqueued, and reports how it ended."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import click

from cli.patience import TIMED_OUT, Patience
from cli.printing import DOCUMENTS, print_document
from cli.screen import screen
from cli.source import Source
from cli.waiting import View, no_worker, progress_of, show_to_end
from db.catalog.versions import EnqueuedImport
from db.reads.progress import JobProgress
from db.schema.enums import JobErrorCode, JobStatus


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """The request, as given on the command line."""

    template: str
    tags: Mapping[str, str]
    activate: bool
    patience: Patience
    output: str


def finish(source: Source, request: ImportRequest, pushed: EnqueuedImport) -> NoReturn:
    """Wait for the import unless detached, report it, and exit with its status."""
    if request.patience.detach:
        _report_enqueued(request, pushed, progress_of(source, pushed.job_id))
        sys.exit(0)
    view = View(console=screen(err=request.output in DOCUMENTS), warn=_warn)
    limit_s = request.patience.limit_s
    ended = show_to_end(source, pushed.job_id, view, noun="import", limit_s=limit_s)
    if request.output in DOCUMENTS:
        print_document(_document(request, pushed, ended), request.output)
    if ended.status.is_active:
        sys.exit(TIMED_OUT)
    _report(request, pushed, ended, view)
    sys.exit(0 if ended.status is JobStatus.SUCCEEDED else 1)


def _report_enqueued(request: ImportRequest, pushed: EnqueuedImport, now: JobProgress) -> None:
    if now.workers == 0:
        _warn(no_worker(now))
    if request.output in DOCUMENTS:
        print_document(_document(request, pushed, now), request.output)
    else:
        click.echo(
            f"The import of {pushed.version_name} of template {request.template} was enqueued as"
            f" job {pushed.job_id}."
        )


def _report(request: ImportRequest, pushed: EnqueuedImport, ended: JobProgress, view: View) -> None:
    version = f"{pushed.version_name} of template {request.template}"
    if ended.status is JobStatus.CANCELED:
        click.echo(f"Error: the import of {version} was canceled", err=True)
    elif ended.status is not JobStatus.SUCCEEDED:
        click.echo(f"Error: the import of {version} failed: {_reason(ended, view)}", err=True)
    elif request.output not in DOCUMENTS:
        click.echo(_success(request, pushed))


def _success(request: ImportRequest, pushed: EnqueuedImport) -> str:
    if request.activate:
        return f"Template {request.template} is at {pushed.version_name}."
    return (
        f"Template {request.template} has the version {pushed.version_name}; `provisionerd template"
        f" activate {request.template} {pushed.version_name}` makes it active."
    )


def _reason(ended: JobProgress, view: View) -> str:
    reason = view.reason(ended)
    if ended.error_code is JobErrorCode.REQUIRED_TEMPLATE_VARIABLES:
        return f"{reason}; the active version stays as it is"
    return reason


def _document(
    request: ImportRequest, pushed: EnqueuedImport, now: JobProgress
) -> dict[str, object]:
    return {
        "template": request.template,
        "version": pushed.version_name,
        "version_id": pushed.version_id,
        "tags": dict(request.tags),
        "status": now.status,
        "error": now.error,
        "error_code": now.error_code,
        "job_id": pushed.job_id,
    }


def _warn(text: str) -> None:
    click.echo(f"Warning: {text}.", err=True)

"""Run one Terraform command of a build, log its output, and explain its failure."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from db.jobs.results import Timing
from db.jobs.statefiles import MAX_STATE_BYTES
from db.schema.enums import LogLevel, TimingStage
from provisioner.engines.port import BuildContext, EngineError, EngineInterruptedError
from provisioner.engines.terraform.arguments import unwritable
from provisioner.engines.terraform.files import VARIABLES_FILE
from provisioner.engines.terraform.garbage import garbage_variables
from provisioner.engines.terraform.messages import (
    MAX_EXPLANATION,
    STATE_DUMP,
    Diagnostic,
    Message,
    parse_message,
    plain_text,
)
from provisioner.engines.terraform.scope import scope_of
from provisioner.engines.terraform.timings import TimingLog
from provisioner.host import process
from provisioner.host.interrupt import InterruptReason
from provisioner.host.sandbox.limits import Limit
from provisioner.host.sandbox.port import NoSandbox, Sandbox
from provisioner.redaction.redaction import redaction_of

MAX_LINE = 1024 * 1024
"""Only this many characters of a longer line of output are read; a longer JSON message is lost,
unless it is the state."""
MAX_LOGGED = 16 * 1024
"""A longer line is cut to this many characters in the log."""

_TAIL_LINES = 20
_HEAD = 256  # the message of a line stands within this many characters
_CRASHED = ("fatal error: ", "panic: ")  # how Go begins a long dump of its stacks
_NO_MEMORY = ("out of memory", "cannot allocate memory")
_FRAME = " \t│╷╵"  # Terraform draws these characters around an error on a terminal
_OUTPUT = "Output: "  # of a provisioner's program: Terraform keeps the last 8192 bytes
_LOST = (
    "the process that watches over it was killed, so it was stopped; see whether the worker's host"
    " runs out of memory, then start the build again"
)
_AT_LIMIT = {
    Limit.MEMORY: "it used more memory than a build may use (PROVISIONERD_JOB_MEMORY_MEGABYTES)",
    Limit.PROCESSES: "it started more processes than a build may run (PROVISIONERD_JOB_PROCESSES)",
    Limit.DISK: "it used more disk space than a build may use (PROVISIONERD_JOB_DISK_MEGABYTES)",
}
_INTERRUPTED = {
    InterruptReason.CANCEL: "was canceled",
    InterruptReason.DRAIN: "was stopped because the worker shuts down",
    InterruptReason.LEASE_LOST: "was stopped because the worker lost its lease of the job",
    InterruptReason.DEADLINE: "was stopped because it took longer than {timeout}",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a command."""

    command: str  #: e.g. ``terraform apply``
    ended: process.Exit
    explanation: str  #: why it failed, if it did
    timeout: timedelta
    timings: tuple[Timing, ...]
    printed_state: bytes | None = None  #: the state, if the command could write it to no file
    refused_variables: frozenset[str] = frozenset()  #: see ``EngineError``

    def check(self, *, state: bytes | None = None) -> None:
        """Return if the command succeeded, even after an interrupt.

        Raises:
            EngineInterruptedError: it failed after an interrupt; with ``state`` and timings.
            EngineError: it failed by itself; with ``state`` and timings.
        """
        if self.ended.returncode == 0:
            return
        if self.ended.interrupted is None:
            message = f"{self.command}: {self.explanation}"
            error = EngineError(message, state=state, timings=self.timings)
            error.refused_variables = self.refused_variables
            raise error
        raise EngineInterruptedError(
            _interrupted(self.command, self.ended.interrupted, self.timeout),
            clean=not self.ended.killed,
            state=state,
            timings=self.timings,
        )


@dataclass(frozen=True, kw_only=True)
class Program:
    """A Terraform binary, and how its commands are run."""

    binary: Path
    grace: timedelta  #: how long an interrupted command may take to end before it is killed
    sandbox: Sandbox = field(default_factory=NoSandbox)


def run_command(
    program: Program,
    arguments: Sequence[str],
    *,
    context: BuildContext,
    stage: TimingStage,
    on_stdout: Callable[[str], None] | None = None,
) -> Outcome:
    """Run ``terraform <arguments>`` in the build's directory. Call ``check`` on the outcome.

    Its output goes to ``context.log``, without sensitive values. If ``on_stdout`` is given, it
    gets the standard output unchanged instead.

    Raises:
        EngineInterruptedError: the build was interrupted before the command started.
        EngineError: the binary cannot be started, or its directories cannot be prepared.
    """
    command = f"terraform {arguments[0]}"
    _check_interrupt(command, context)
    output = _Output(context, stage)
    started_at = datetime.now(UTC)
    binary = program.binary.resolve()  # a link may lead to where the sandbox shows nothing
    try:
        environment = {**garbage_variables(context, stage), **context.environment}
        scope = scope_of(binary, context, stage)
        confined = program.sandbox.confine((str(binary), *arguments), scope)
    except OSError as error:
        raise unwritable(arguments[0], error) from error
    try:
        ended = process.run(
            confined.command,
            cwd=context.directory,
            environment=environment,
            on_stdout=on_stdout or output.take_stdout,
            on_stderr=output.take_stderr,
            interrupt=context.interrupt,
            timeout=context.timeout,
            grace=program.grace,
            confinement=confined.confinement,
        )
    except OSError as error:
        reason = process.reason_of(error)
        raise EngineError(f'{command}: cannot run "{program.binary}": {reason}') from error
    return Outcome(
        command=command,
        ended=ended,
        explanation=_explanation(ended, output),
        timeout=context.timeout,
        timings=output.timings.finished(started_at, datetime.now(UTC)),
        printed_state=output.printed_state,
        refused_variables=output.refused_variables,
    )


def _explanation(ended: process.Exit, output: _Output) -> str:
    if ended.is_lost:
        return _LOST
    if ended.limit is not None:
        return _AT_LIMIT[ended.limit]
    return output.explanation(ended.returncode)


def _check_interrupt(command: str, context: BuildContext) -> None:
    if (reason := context.interrupt.reason) is not None:
        message = _interrupted(command, reason, context.timeout)
        raise EngineInterruptedError(message, clean=True)


def _interrupted(command: str, reason: InterruptReason, timeout: timedelta) -> str:
    return f"{command} {_INTERRUPTED[reason].format(timeout=timeout)}"


class _Output:
    """Takes the output of one command: logs it, keeps its first error and its timings."""

    def __init__(self, context: BuildContext, stage: TimingStage) -> None:
        self.timings = TimingLog(stage=stage)
        self.printed_state: bytes | None = None
        self._log = context.log
        self._redaction = redaction_of(context.sensitive)
        self._begun: dict[str, str] = {}  # secrets that may go on, by resource
        self._first_error: Diagnostic | None = None
        self.refused_variables: frozenset[str] = frozenset()  # by the first error
        self._failed: list[str] = []  # failed resources that no error has named yet
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._crash = ""  # the first line of a crash of Terraform itself
        self._whole_stdout = _WholeLines(self._take_line)
        self._whole_stderr = _WholeLines(self._take_error_line)

    def take_stdout(self, piece: str) -> None:
        self._whole_stdout.take(piece)

    def take_stderr(self, piece: str) -> None:
        self._whole_stderr.take(piece)

    def explanation(self, returncode: int) -> str:
        """Return why the command failed: its first error, or else the end of its error output."""
        if self._first_error is not None:
            return self._clean(self._first_error.explain())
        if any(words in self._crash for words in _NO_MEMORY):
            return _AT_LIMIT[Limit.MEMORY]
        text = self._crash or _end_of(self._tail)
        status = f"exit status {returncode}" if returncode >= 0 else f"signal {-returncode}"
        return f"{text[-MAX_EXPLANATION:]} ({status})" if text else status

    def _take_line(self, line: str) -> None:
        message = parse_message(line)
        if message is None:
            return
        self.timings.add(message)
        if message.diagnostic is not None:  # the message itself only repeats its summary
            self._take_diagnostic(message.diagnostic)
            return
        if message.type == "apply_errored":
            self._failed.append(message.resource)
        self.printed_state = message.state or self.printed_state
        if message.output and message.text.endswith(message.output):
            self._write_piece(message)
        else:
            self._write(message.level, message.text)

    def _write_piece(self, message: Message) -> None:
        """Write what a program printed; Terraform sends a line on when the program pauses."""
        begun = self._begun.pop(message.resource, "")
        shown, begun = self._redaction.apply_to_piece(begun, message.output)
        if begun:
            self._begun[message.resource] = begun
        self._write(message.level, message.text.removesuffix(message.output) + shown)

    def _take_diagnostic(self, diagnostic: Diagnostic) -> None:
        refused = diagnostic.refused_variables
        diagnostic = self._with_address(self._without_cut_secret(diagnostic))
        if diagnostic.filename == VARIABLES_FILE:  # our own file, which contains values
            diagnostic = dataclasses.replace(diagnostic, code="", values=())
        if diagnostic.severity is LogLevel.ERROR and self._first_error is None:
            self._first_error, self.refused_variables = diagnostic, refused
        self._write(diagnostic.severity, diagnostic.format())

    def _without_cut_secret(self, diagnostic: Diagnostic) -> Diagnostic:
        """Clean the texts before they are cut, and where Terraform has cut a program's output."""
        head, words, output = diagnostic.detail.partition(_OUTPUT)
        detail = self._redaction.apply(head) + words + self._redaction.apply_to_tail(output)
        summary = self._redaction.apply(diagnostic.summary)
        return dataclasses.replace(diagnostic, summary=summary, detail=detail)

    def _with_address(self, diagnostic: Diagnostic) -> Diagnostic:
        """Add the failed resources to an error that names none, as when a provider crashes."""
        if diagnostic.address in self._failed:
            self._failed.remove(diagnostic.address)
        elif not diagnostic.address and diagnostic.severity is LogLevel.ERROR:
            return dataclasses.replace(diagnostic, address=", ".join(self._failed[:3]))
        return diagnostic

    def _take_error_line(self, line: str) -> None:
        cleaned = self._clean(line)
        self._tail.append(cleaned)
        if not self._crash and cleaned.startswith(_CRASHED):
            self._crash = cleaned
        self._write(LogLevel.ERROR, line)

    def _write(self, level: LogLevel, text: str) -> None:
        for line in self._clean(text).split("\n"):
            if line.strip():
                self._log(level, line if len(line) <= MAX_LOGGED else f"{line[:MAX_LOGGED]}…")

    def _clean(self, text: str) -> str:
        cleaned = plain_text(self._redaction.apply(text))
        # A program may have given a part of a secret a color.
        return self._redaction.apply(cleaned) if "\x1b" in text else cleaned


def _end_of(tail: Iterable[str]) -> str:
    """Return the text from the first "Error: " on, or else the last five lines."""
    lines = list(filter(None, (line.strip(_FRAME) for line in tail)))
    starts = (number for number, line in enumerate(lines) if line.startswith("Error: "))
    return " ".join(lines[next(starts, -5) :]).removeprefix("Error: ")


class _WholeLines:
    """Joins the pieces of long lines, up to ``MAX_LINE`` characters; a state may be longer."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._pieces: list[str] = []
        self._length = 0

    def take(self, piece: str) -> None:
        if self._length < MAX_LINE or self._may_be_state():
            self._pieces.append(piece)
            self._length += len(piece)
        if piece.endswith("\n"):
            line = "".join(self._pieces).removesuffix("\n")
            self._pieces, self._length = [], 0
            self._take(line)

    def _may_be_state(self) -> bool:
        return self._length < MAX_STATE_BYTES and STATE_DUMP in self._pieces[0][:_HEAD]

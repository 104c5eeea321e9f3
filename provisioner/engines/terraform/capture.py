"""Run a Terraform command that changes nothing, for what it prints."""

from __future__ import annotations

from collections.abc import Sequence

from db.jobs.results import Timing
from db.schema.enums import TimingStage
from provisioner.engines.port import BuildContext, EngineError
from provisioner.engines.terraform.operation import Program, run_command

MAX_OUTPUT = 128 * 1024 * 1024
"""A plan with more characters of JSON is refused before it fills the memory; so is a graph."""


def capture(
    program: Program,
    arguments: Sequence[str],
    *,
    context: BuildContext,
    stage: TimingStage,
) -> tuple[str, tuple[Timing, ...]]:
    """Return the standard output of ``terraform <arguments>``, and how long it took.

    Raises:
        EngineError: the command failed or was interrupted, or printed more than ``MAX_OUTPUT``.
    """
    output = _Output(arguments[0])
    outcome = run_command(program, arguments, context=context, stage=stage, on_stdout=output.take)
    outcome.check()
    return output.text(), outcome.timings


class _Output:
    def __init__(self, command: str) -> None:
        self._command = command
        self._pieces: list[str] = []
        self._length = 0

    def take(self, piece: str) -> None:
        self._length += len(piece)
        if self._length <= MAX_OUTPUT:
            self._pieces.append(piece)

    def text(self) -> str:
        if self._length > MAX_OUTPUT:
            raise EngineError(
                f"terraform {self._command}: the output is longer than {MAX_OUTPUT} characters"
            )
        return "".join(self._pieces)

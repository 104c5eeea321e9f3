"""The options by which a command takes values of parameters, and how it prints a refusal."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from cli.printing import DOCUMENTS, print_document
from cli.remote.answers import as_pairs
from cli.table import plain
from cli.valuefiles import read_values, to_values
from db.catalog.builds import EnqueuedBuild
from db.errors import ParameterValidationError
from db.reads.parameters import check_ephemeral

REFUSED = 1


@dataclass(frozen=True, kw_only=True)
class GivenValues:
    """The values that the command line gives for one build."""

    parameters: Mapping[str, str]
    ephemeral: Mapping[str, str]
    preset: str | None

    def __bool__(self) -> bool:
        """Whether anything is given."""
        return bool(self.parameters or self.ephemeral or self.preset)

    @property
    def request(self) -> dict[str, Any]:
        """The arguments of ``enqueue_build``."""
        return {"parameters": {**self.parameters, **self.ephemeral}, "preset": self.preset}

    def check_ephemeral(self, session: Session, build: EnqueuedBuild) -> None:
        """Check that the values for one build are of parameters that keep no value.

        Raises:
            InvalidError: a parameter is not ephemeral.
        """
        check_ephemeral(session, build.build_id, self.ephemeral)

    @property
    def body(self) -> dict[str, Any]:
        """The fields of a request to the API."""
        return {
            "rich_parameter_values": as_pairs(self.parameters),
            "ephemeral_parameter_values": as_pairs(self.ephemeral),
            "preset": self.preset or "",
        }


def values_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for values to a command, which gets them as ``values``."""

    @click.option(
        "--param",
        multiple=True,
        metavar="NAME=VALUE",
        callback=to_values,
        help="Value of a template parameter, also for later builds; @FILE reads it, @- from"
        " standard input. Repeatable.",
    )
    @click.option(
        "--param-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File with values by name: JSON (- for standard input), or TOML (*.toml). --param"
        " takes precedence.",
    )
    @click.option(
        "--ephemeral-param",
        multiple=True,
        metavar="NAME=VALUE",
        callback=to_values,
        help="Value of an ephemeral parameter, only for this build. Repeatable.",
    )
    @click.option(
        "--preset", metavar="NAME", help="Preset of the template; takes precedence over values."
    )
    @functools.wraps(command)
    def call(
        *args: Any,
        param: dict[str, str],
        param_file: Path | None,
        ephemeral_param: dict[str, str],
        preset: str | None,
        **kwargs: Any,
    ) -> None:
        read = read_values(param_file) if param_file else {}
        values = GivenValues(parameters={**read, **param}, ephemeral=ephemeral_param, preset=preset)
        command(*args, values=values, **kwargs)

    return call


@contextmanager
def refusals(output: str) -> Iterator[None]:
    """Print a refusal of values, one line for each parameter, and exit with status 1."""
    try:
        yield
    except ParameterValidationError as error:
        _print(error, output)
        sys.exit(REFUSED)


def _print(error: ParameterValidationError, output: str) -> None:
    if output in DOCUMENTS:
        print_document(
            {
                "error": error.message,
                "error_code": error.error_code,
                "validations": [
                    {"field": found.field, "detail": found.detail} for found in error.validations
                ],
            },
            output,
        )
    for found in error.validations:
        hint = f"; choose one with --param {found.field}=VALUE" if found.is_missing else ""
        click.echo(f"Error: {plain(found.detail + hint)}", err=True)

"""A question to a person before something is destroyed."""

from __future__ import annotations

import sys

import click

yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask on a terminal.")


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, unless --yes was given; a script that names one thing is not asked.

    Raises:
        click.Abort: the answer was no.
    """
    if not yes and is_asked_by_a_person():
        click.confirm(question, abort=True, err=True)


def is_asked_by_a_person() -> bool:
    """Return whether a question on standard error can be seen and answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()

"""Every command and every option with bad values: no traceback, a status, one sentence.

The invocations come from click's own tree, so a new command or option is walked without a change.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from cli.main import COMMANDS, cli
from db.schema.tables import User
from tests.integration.cli.commandline import CommandLine, refused

# They would run until a signal: only what click refuses is tried.
SERVICES = {"demo", "up", "worker", "serve", "mcp", "exporter"}
TEXTS = (
    "",
    " ",
    "no-such",
    "alice/no-such",
    "../../etc/passwd",
    "' OR 1=1 --",
    "%s%n\\",
    "é\N{COMBINING ACUTE ACCENT}箱\N{PILE OF POO}",
    "x" * 3000,
    "\udcff",
)
NUMBERS = ("", "x", "1e3", "-99999999999999999999", "٣x")
NAMED = "no-such"  #: fills what a command needs in addition to the bad value


@dataclass(frozen=True)
class Invocation:
    """The arguments of one call, and whether they are wrong for sure."""

    arguments: Sequence[str]
    is_wrong: bool


def leaves(name: str) -> Iterator[tuple[list[str], click.Command]]:
    """Yield the commands below a name with their paths; groups that run by themselves, too."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield [name], command
    for inner, leaf in getattr(command, "commands", {}).items():
        yield [name, inner], leaf


def invocations(name: str) -> Iterator[Invocation]:
    # The texts in turn: all of them for every parameter would take minutes.
    texts = itertools.cycle(TEXTS)
    for path, command in leaves(name):
        needed = list(needs(command))
        yield Invocation([*path, *needed, "--no-such-option"], is_wrong=True)
        if not isinstance(command, click.Group):
            yield Invocation([*path, *needed, *["one-too-many"] * 40], is_wrong=True)
        if needed:
            yield Invocation(path, is_wrong=True)
        for parameter in command.params:
            for words, is_wrong in bad_words(parameter, texts):
                if name in SERVICES and not is_wrong:
                    continue
                others = list(needs(command, without=parameter))
                yield Invocation([*path, *others, *words], is_wrong=is_wrong)


def needs(command: click.Command, without: click.Parameter | None = None) -> Iterator[str]:
    """Yield words for the required parameters."""
    for parameter in command.params:
        if parameter.required and parameter is not without:
            if isinstance(parameter, click.Option):
                yield parameter.opts[0]
            yield usual_word(parameter.type)


def usual_word(kind: click.ParamType[Any]) -> str:
    if isinstance(kind, click.Choice):
        return str(kind.choices[0])
    if isinstance(kind, click.types.IntParamType):
        return "1"
    return NAMED


def bad_words(parameter: click.Parameter, texts: Iterator[str]) -> Iterator[tuple[list[str], bool]]:
    """Yield words that give a parameter a bad value, and whether click itself refuses them."""
    prefix = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
    if isinstance(parameter, click.Option):
        if parameter.is_flag:
            yield [f"{parameter.opts[0]}=x"], True
            return
        yield prefix, True  # without its value
    refused_values = values_of_no(parameter.type)
    # The two dashes: a value of an argument may begin with one.
    for value in refused_values or [next(texts)]:
        yield [*(prefix or ["--"]), value], bool(refused_values)


def values_of_no(kind: click.ParamType[Any]) -> Sequence[str]:
    """Return values that click refuses for a type; none for texts."""
    if isinstance(kind, click.Choice):
        return (*TEXTS[:3], "' OR 1=1 --")
    is_number = isinstance(kind, click.types.IntParamType | click.types.FloatParamType)
    return NUMBERS if is_number else ()


ALL = {name: list(invocations(name)) for name in COMMANDS}


def test_the_walk_has_at_least_600_invocations() -> None:
    assert sum(map(len, ALL.values())) >= 600


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_input_is_refused_in_one_sentence(run: CommandLine, alice: User, name: str) -> None:
    assert alice.username == "alice"

    results = [(one, run(*one.arguments)) for one in ALL[name]]

    offenders = [
        (one.arguments, result.exit_code, result.output[-300:], result.exception)
        for one, result in results
        if not is_clean(one, result)
    ]
    assert offenders == []


def is_clean(invocation: Invocation, result: Result) -> bool:
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return False
    if result.exit_code == 0:
        return not invocation.is_wrong
    sentences = [
        line for line in result.stderr.splitlines() if line.startswith(("Error:", "Abort"))
    ]
    return result.exit_code in {1, 2} and len(sentences) == 1 and "Traceback" not in result.output


def test_a_name_that_no_file_can_have_is_no_file(run: CommandLine) -> None:
    refused(run("state", "adopt", "x" * 3000), "no orphaned state begins with")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["jobs", "show", "zz"], id="an ID that is none"),
        pytest.param(["workspace", "start", "\udcff/box"], id="no text"),
    ],
)
def test_a_process_ends_as_cleanly(
    environment: Mapping[str, str | None], alice: User, arguments: list[str]
) -> None:
    assert alice.username == "alice"

    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=Path(__file__).parents[3],
        env={n: v for n, v in {**os.environ, **environment}.items() if v is not None},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=60,
    )

    assert ran.returncode in {1, 2}
    assert ran.stdout == ""
    assert ran.stderr.count("Error:") == 1
    assert "Traceback" not in ran.stderr

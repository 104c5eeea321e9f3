"""The outline of all commands, which completion reads instead of importing them.

``docs/generate.py`` writes ``outline.json`` from the commands themselves: for each, its summary and
its parameters. A shell that completes a word gets stand-ins with the same names and values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from cli.lazy import imported
from cli.vocabulary import FILES, named_by

SUGGESTIONS = "cli.suggestions:suggested"
FILE = Path(__file__).with_name("outline.json")
Outline = Mapping[str, Mapping[str, Any]]
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def stand_in(name: str) -> click.Command:
    """Return a command with the parameters and the commands of the one of that name."""
    outline: Outline = json.loads(FILE.read_text(encoding="utf-8"))
    return _command(outline, name)


def describe(path: str, command: click.Command) -> dict[str, object]:
    """Return the entry of a command in the outline.

    Args:
        path: the words of the command.
    """
    return {
        "help": command.get_short_help_str(100),
        "group": isinstance(command, click.Group),
        "params": [_description(path, parameter) for parameter in command.params],
    }


def completion_of(kind: str) -> Completion:
    """Return the function by which a parameter that takes names of a kind is completed."""

    def complete(
        context: click.Context, _parameter: click.Parameter, start: str
    ) -> list[CompletionItem]:
        found: list[CompletionItem] = imported(SUGGESTIONS)(kind, context, start)
        return found

    return complete


def _command(outline: Outline, path: str) -> click.Command:
    entry = outline[path]
    name = path.rpartition(" ")[2]
    params = [_parameter(**given) for given in entry["params"]]
    if not entry["group"]:
        return click.Command(name, params=params, help=entry["help"])
    inner = [one for one in outline if one.rpartition(" ")[0] == path]
    commands = [_command(outline, one) for one in inner]
    return click.Group(name, params=params, help=entry["help"], commands=commands)


def _description(path: str, parameter: click.Parameter) -> dict[str, object]:
    kind = parameter.type
    named = next(filter(None, (named_by(path, name) for name in parameter.opts)), None)
    found: dict[str, object] = {
        "names": [*parameter.opts, *parameter.secondary_opts],
        "is_flag": getattr(parameter, "is_flag", False) or None,
        "multiple": parameter.multiple or None,
        "nargs": parameter.nargs if parameter.nargs != 1 else None,
        "choices": list(kind.choices) if isinstance(kind, click.Choice) else None,
        "is_path": isinstance(kind, click.Path | click.File) or named == FILES or None,
        "named": named if named != FILES else None,
        "help": getattr(parameter, "help", None),
    }
    return {key: value for key, value in found.items() if value is not None}


def _parameter(
    *,
    names: Sequence[str],
    choices: Sequence[str] | None = None,
    is_path: bool = False,
    named: str | None = None,
    nargs: int = 1,
    **option: Any,
) -> click.Parameter:
    kind = click.Choice(choices) if choices else click.Path() if is_path else click.STRING
    complete = completion_of(named) if named else None
    if names[0].startswith("-"):
        kind_of_option = None if option.get("is_flag") else kind
        return click.Option(names, type=kind_of_option, shell_complete=complete, **option)
    return click.Argument(names, type=kind, nargs=nargs, shell_complete=complete)
